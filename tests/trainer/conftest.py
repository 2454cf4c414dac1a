"""The parts of small_trainers.py as fixtures, for tests that hold the trainer against TRL's."""

import gc
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from small_trainers import new_ours, new_stock, small_arguments, small_lora, small_model, small_tokenizer, text_rows
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import KTOConfig, KTOTrainer

from kto_recipes.trainer import FastKTOTrainer, fused_lora


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage() -> Iterator[None]:
    """Accelerate collects garbage whenever a training begins: what was imported until now is not looked through."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _what_is_logged_is_heard() -> None:
    """`kto_recipes.generation.quiet`, which other tests call, turns warnings off for the whole process."""
    logging.disable(logging.NOTSET)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return small_tokenizer()


@pytest.fixture
def new_model() -> Callable[..., LlamaForCausalLM]:
    """new_model(seed=0, **config): random float32 weights, large enough that no two tokens are equally likely."""
    return small_model


@pytest.fixture
def rows() -> Callable[..., Dataset]:
    """rows(n, seed=0, desirable=0.5): text rows of many lengths; every prompt is answered twice."""
    return text_rows


@pytest.fixture
def arguments(tmp_path: Path) -> Callable[..., KTOConfig]:
    """arguments(**changes): four rows a micro-batch, three steps, on a CPU."""
    return partial(small_arguments, tmp_path)


@pytest.fixture
def lora() -> LoraConfig:
    return small_lora()


@pytest.fixture
def trainers(tmp_path: Path) -> Callable[..., tuple[FastKTOTrainer, KTOTrainer]]:
    """trainers(full, settings, **arguments): ours and, on the very batches that ours made, TRL's."""

    def make(full: bool, settings: dict[str, Any], **changes: Any) -> tuple[FastKTOTrainer, KTOTrainer]:
        live = full and settings.get("precompute_ref") is False
        reference = {"ref_model": small_model(dtype=torch.float64)} if live else {}
        ours = new_ours(tmp_path, settings, full, changes=changes, **reference)
        return ours, new_stock(tmp_path, ours.train_dataset, full, changes=changes)

    return make


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Our own log lines, as they come; none was said in an earlier test."""
    fused_lora._say.cache_clear()
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("kto_recipes.trainer")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
