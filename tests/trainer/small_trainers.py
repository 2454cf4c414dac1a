"""A small Llama, its tokenizer, rows, and trainers of ours and of TRL's on the very same batches."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import KTOConfig, KTOTrainer

from kto_recipes.tiny.corpus import conversations
from kto_recipes.tiny.tokenizer import train_tokenizer
from kto_recipes.trainer import FastKTOTrainer, TrainerSettings

VOCABULARY = 400
WEIGHTS = {"desirable_weight": 1.3, "undesirable_weight": 0.7}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
NAMES = [
    "kl",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "logps/chosen",
    "logits/chosen",
    "logits/rejected",
]
torch.set_num_threads(1)


@cache
def small_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer((m["content"] for c in conversations(100, seed=0) for m in c), VOCABULARY)


def small_model(
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    kind: type = LlamaForCausalLM,
    config: type = LlamaConfig,
    **more: Any,
) -> Any:
    """Random weights, large enough that no two tokens are equally likely."""
    torch.manual_seed(seed)
    model = kind(config(**{"vocab_size": len(small_tokenizer()), **TINY, **more})).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


@cache
def _words() -> list[str]:
    return [word for c in conversations(20, seed=1) for m in c for word in m["content"].split()]


def text_rows(n: int, seed: int = 0, desirable: float = 0.5) -> Dataset:
    """Rows of many lengths; every prompt is answered twice."""
    draw, words = random.Random(seed), _words()
    prompts = [" ".join(draw.choices(words, k=draw.randint(1, 12))) + f" {i}?" for i in range((n + 1) // 2)]
    count = round(n * desirable)
    labels = [i < count for i in range(n)]
    draw.shuffle(labels)
    return Dataset.from_list(
        [
            {
                "prompt": prompts[i % len(prompts)],
                "completion": " " + " ".join(draw.choices(words, k=draw.randint(1, 9))),
                "label": labels[i],
            }
            for i in range(n)
        ]
    )


def small_arguments(folder: Path, **changes: Any) -> KTOConfig:
    settings: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "max_steps": 3,
        "learning_rate": 1e-2,
        "beta": 0.1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": 64,
    }
    return KTOConfig(**{**settings, **changes})


def small_lora(**changes: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **changes})


class Stock(KTOTrainer):
    """TRL's trainer on rows that are tokenized and paired already."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        kept = ["prompt_ids", "completion_ids", "KL_completion_ids", "label"]
        return dataset.select_columns([name for name in kept if name in dataset.column_names])


def new_ours(folder: Path, settings: dict[str, Any] | None = None, full: bool = False, **more: Any) -> FastKTOTrainer:
    """Ours, in float64 and with policy and reference moved apart; `more` is as in `_new`."""
    chosen = TrainerSettings(**{"ref_cache_dir": None, **(settings or {})})
    return _new(FastKTOTrainer, folder, full, settings=chosen, **more)


def new_stock(folder: Path, train_dataset: Dataset, full: bool = False, **more: Any) -> Stock:
    """TRL's trainer with the same weights, on the rows that ours arranged."""
    reference = {"ref_model": more.get("model", small_model)(dtype=torch.float64)} if full else {}
    return _new(Stock, folder, full, train_dataset=train_dataset, **reference, **more)


def _new(
    kind: type,
    folder: Path,
    full: bool,
    *,
    model: Callable[..., Any] = small_model,
    changes: dict[str, Any] | None = None,
    apart: bool = True,
    **more: Any,
) -> Any:
    """A trainer: `model(dtype=…)` makes its policy, `changes` go to its arguments, `more` is what it takes itself."""
    set_seed(0)
    given = {"processing_class": small_tokenizer(), "peft_config": None if full else small_lora(), **more}
    if "train_dataset" not in given:
        given["train_dataset"] = text_rows(22)
    args = small_arguments(folder, **{**WEIGHTS, **(changes or {})})
    trainer = kind(model(dtype=torch.float64), args=args, **given)
    if apart:
        move_apart(trainer.model)
    return trainer


def move_apart(model: nn.Module) -> None:
    """LoRA's B is 0 at first, and a full policy its own reference: make policy and reference differ."""
    with torch.no_grad():
        draw = torch.Generator().manual_seed(7)
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))


def step(trainer: KTOTrainer, inputs: dict[str, Any]) -> dict[str, Any]:
    """The loss, the gradients and what would be logged for one micro-batch."""
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(inputs))
    loss.backward()
    logged: dict[str, float] = {}
    trainer.log(logged)
    gradients = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    return {"loss": loss.item(), "gradients": gradients, **logged}


def compare(ours: KTOTrainer, stock: KTOTrainer, inputs: dict[str, Any]) -> dict[str, Any]:
    """Holds the one against the other; the answer is TRL's."""
    found, expected = (step(trainer, inputs) for trainer in (ours, stock))
    assert found["loss"] == pytest.approx(expected["loss"], abs=8e-7)
    assert [name for name in NAMES if name in found] == [name for name in NAMES if name in expected]
    for name in (name for name in NAMES if name in expected):
        assert found[name] == pytest.approx(expected[name], abs=7e-5, rel=1e-5), name
    for name, gradient in expected["gradients"].items():
        torch.testing.assert_close(found["gradients"][name], gradient, atol=3e-6, rtol=1e-4, msg=name)
    return expected


def checkpointed(reentrant: bool = False) -> dict[str, Any]:
    """Arguments."""
    return {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": reentrant}}


def as_train_would(trainer: KTOTrainer) -> None:
    """Turns checkpoints on, which Trainer.train does."""
    trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    trainer.model.enable_input_require_grads()
    assert trainer.model.is_gradient_checkpointing


def distance(found: dict[str, torch.Tensor], exact: dict[str, torch.Tensor]) -> float:
    """Squares of what gradients are off by, each in parts of its own size, on average."""
    off = [(found[name].double() - value).square().sum() / value.square().sum() for name, value in exact.items()]
    return float(torch.stack(off).mean())


@contextmanager
def forwards(model: Any) -> Iterator[list[int]]:
    """Counts the forward passes of a causal model: one entry each, its number of rows."""
    seen: list[int] = []
    # of its decoder: an adapter calls the model's forward as a function, where no hook would see it
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(kwargs["input_ids"] if "input_ids" in kwargs else args[0])),
        with_kwargs=True,
    )
    try:
        yield seen
    finally:
        hook.remove()
