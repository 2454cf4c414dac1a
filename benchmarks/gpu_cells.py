"""What kto_gpu.py measures: real trainings of a few steps, one trainer, model, length and micro-batch each."""

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from kto_bench import (
    arguments,
    arranged,
    as_in_recipes,
    blocks_of,
    hh_lengths,
    new_trainer,
    number_tokenizer,
    text_rows,
)
from torch import nn
from transformers import PreTrainedModel, PrinterCallback
from trl import KTOTrainer

from kto_recipes.random_model import MINIATURE, REAL, new_model
from kto_recipes.trainer import FastKTOTrainer

MODELS = {
    "llama-3.1-8b": ({"special_tokens": {}}, REAL["llama"]),
    "qwen2.5-3b": ({"special_tokens": {"eos_token": "<|im_end|>"}}, REAL["qwen"]),
}
TOKENS, BATCHES = (1024, 2048), (8, 16, 4)  # those that matter most first: time may not suffice for all
HH_TOKENS = 1024  # what HH-RLHF's rows fit in; at other lengths they are that much longer
ROWS = 1600  # that buckets are made of
EPOCHS = 3
GIB = 2**30


@dataclass(frozen=True)
class Cell:
    model: str
    adapter: str  # lora: bfloat16 weights; qlora: 4-bit ones
    rows: str  # hh: lengths of HH-RLHF; full: every row as long as may be
    tokens: int
    batch: int


@dataclass
class Machine:
    """How cells are measured here; it keeps one base model, from which each training's adapter is taken off again."""

    quick: bool
    lora: int
    steps: int  # of hh rows; the first of a training does not count
    attention: str
    is_cuda: bool = field(default_factory=torch.cuda.is_available)
    _base: PreTrainedModel | None = None
    _base_is: tuple[str, str] | None = None

    def measured(self, cell: Cell, side: str) -> dict[str, Any]:
        """One training's figures; `outcome` is ok, oom, or what went wrong."""
        try:
            found = {"outcome": "ok", **self._trained(cell, side)}
        except torch.OutOfMemoryError:
            found = {"outcome": "oom"}
        except RuntimeError as error:  # cuBLAS and others run out of memory in words of their own
            found = {"outcome": f"failed: {str(error).splitlines()[0]}"}
        if found["outcome"] != "ok":
            self._base = None  # with whatever was on it
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()
        return found

    def _trained(self, cell: Cell, side: str) -> dict[str, Any]:
        base = self._base_of(cell)
        ours, text = cell_rows(cell, self.steps, self.quick, self.is_cuda)
        if self.is_cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        args = arguments(
            cell.batch,
            max_length=cell.tokens,
            use_cpu=not self.is_cuda,
            bf16=self.is_cuda,
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            max_steps=len(ours) // cell.batch,
            learning_rate=1e-6,
        )
        if side == "stock":
            trainer = new_trainer(_TimedStock, base, text, args, self.lora)
        else:  # the rows are in buckets already; without its sampler the first step is the one meant to be first
            trainer = new_trainer(_TimedOurs, base, ours, args, self.lora, as_in_recipes(length_buckets=False))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        found = _figures(trainer, self.is_cuda)
        base.disable_input_require_grads()
        self._base = trainer.model.unload()
        return found

    def _base_of(self, cell: Cell) -> PreTrainedModel:
        if self._base is None or self._base_is != (cell.model, cell.adapter):
            self._base, self._base_is = None, (cell.model, cell.adapter)
            gc.collect()
            self._base = _random_base(cell, self)
        return self._base


def cells(quick: bool) -> Iterator[Cell]:
    """All that are to be measured, those of one base model together, the most important first."""
    lengths = [("hh", TOKENS[0]), ("full", TOKENS[1]), ("full", TOKENS[0]), ("hh", TOKENS[1])]
    models, batches = tuple(MODELS), BATCHES
    if quick:
        models, batches, lengths = ("qwen2.5-3b",), (4,), [("hh", 64), ("full", 64)]
    for adapter in ("lora", "qlora"):
        for model in models if adapter == "lora" or find_spec("bitsandbytes") else ():
            for batch in batches:
                for rows, tokens in lengths:
                    yield Cell(model, adapter, rows, tokens, batch)


# --- rows and models ------------------------------------------------------------------------------------------


@cache
def cell_rows(cell: Cell, steps: int, quick: bool, is_cuda: bool) -> tuple[Dataset, Dataset]:
    """Our blocks, one to begin with and those that count, and the same rows as text in random order."""
    if cell.rows == "full":
        count = 2 * cell.batch  # one step to begin with, and one
        lengths = np.full(count, cell.tokens * 3 // 4), np.full(count, cell.tokens - cell.tokens * 3 // 4)
        labels = np.arange(count) % 2 == 0
    else:
        prompts, completions, labels = hh_lengths(160 if quick else ROWS, seed=0)
        scale = cell.tokens / HH_TOKENS
        fitted = np.minimum(np.maximum(prompts * scale, 1), cell.tokens - 8).astype(int)
        lengths = fitted, np.maximum(completions * scale, 2).astype(int)
    rows = text_rows(*lengths, labels, seed=1)
    args = arguments(cell.batch, max_length=cell.tokens, use_cpu=not is_cuda)
    blocks = blocks_of(arranged(rows, args), cell.batch)
    if cell.rows == "hh":
        blocks = [blocks[int((i + 0.5) / steps * len(blocks))] for i in range(steps)]
        blocks = [blocks[len(blocks) // 2], *blocks]
    text = concatenate_datasets([blocks[0], concatenate_datasets(blocks[1:]).shuffle(seed=0)])
    return concatenate_datasets(blocks), text.select_columns(["prompt", "completion", "label"])


def _random_base(cell: Cell, machine: Machine) -> PreTrainedModel:
    recipe, real = MODELS[cell.model]
    dimensions = {**MINIATURE, "vocab_size": 4096} if machine.quick else real
    device = "cuda" if machine.is_cuda else "cpu"
    dtype = torch.bfloat16 if machine.is_cuda else torch.float32
    torch.manual_seed(0)
    with torch.device(device):
        model = new_model(recipe, number_tokenizer(), dimensions, dtype)
    model.set_attn_implementation(machine.attention)
    return _in_4_bit(model, dtype) if cell.adapter == "qlora" else model


def _in_4_bit(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """NF4 with double quantisation in place of every linear layer but the head, as a 4-bit model is loaded."""
    import bitsandbytes

    kind = {"quant_type": "nf4", "compress_statistics": True}
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not nn.Linear or layer is head:
                continue
            weight, bias = layer.weight.data, layer.bias
            with torch.device("meta"):
                small = bitsandbytes.nn.Linear4bit(
                    layer.in_features, layer.out_features, bias is not None, compute_dtype=dtype, **kind
                )
            small.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, **kind)
            small.bias = bias
            setattr(parent, name, small.to(weight.device))
    model.is_loaded_in_4bit = True
    model.hf_device_map = {"": model.device}
    return model


# --- timing ---------------------------------------------------------------------------------------------------


class _Timed:
    """Put before a trainer: the times of its steps, and their real tokens, without waiting for the GPU."""

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> torch.Tensor:
        start = _mark()
        loss = super().training_step(model, inputs, *rest)
        self.__dict__.setdefault("steps", []).append((start, _mark(), inputs["attention_mask"].sum(), loss))
        return loss


class _TimedStock(_Timed, KTOTrainer):
    pass


class _TimedOurs(_Timed, FastKTOTrainer):
    def _computed_reference(self, *rest: Any) -> Any:
        start = _mark()
        values = super()._computed_reference(*rest)
        self.reference = start, _mark()
        return values


def _mark() -> Any:
    if not torch.cuda.is_available():
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _seconds(start: Any, end: Any) -> float:
    return end - start if isinstance(start, float) else start.elapsed_time(end) / 1000


def _figures(trainer: Any, is_cuda: bool) -> dict[str, Any]:
    """Of the steps after the first; `step_and_pass_s` has a third of the reference pass, as three epochs do."""
    if is_cuda:
        torch.cuda.synchronize()
    steps = [_seconds(start, end) for start, end, _, _ in trainer.steps[1:]]
    tokens = [int(count) for _, _, count, _ in trainer.steps]
    whole = sum(steps)
    reference = _seconds(*trainer.reference) * sum(tokens[1:]) / sum(tokens) if hasattr(trainer, "reference") else 0.0
    return {
        "step_s": median(steps),
        "steps_s": steps,
        "pass_s": reference,
        "tokens": sum(tokens[1:]),
        "tokens_per_s": sum(tokens[1:]) / whole,
        "tokens_per_s_three_epochs": sum(tokens[1:]) / (whole + reference / EPOCHS),
        "peak_gib": torch.cuda.max_memory_allocated() / GIB if is_cuda else None,
        "first_loss": float(trainer.steps[0][3]),
    }
