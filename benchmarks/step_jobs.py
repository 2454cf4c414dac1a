"""What kto_step.py measures: the sides of a comparison, micro-batch by micro-batch in turn."""

import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from io import StringIO
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
    over,
    perturb,
    small_llama,
    text_rows,
)
from torch import nn
from trl import KTOTrainer

from kto_recipes.trainer import FastKTOTrainer

BATCH = 8
ROWS = 4620  # of HH-RLHF's harmless-base test; buckets are the closer the more rows there are
LORA_RANK = 8
DRAWS = 3000
EPOCHS = 3
# Of the loss of one batch in float32, stock against ours.
LOSS_TOLERANCE = 8e-7
# How far the weights are moved from the reference: an adapter's, and all.
MOVED = {"lora": 0.02, "full": 0.002}


@dataclass(frozen=True)
class Plan:
    """One model and method; `variants` are our trainer's settings by name."""

    model: str
    method: str
    alternations: int
    batches: int
    variants: dict[str, dict[str, bool]]
    checkpointing: bool
    quick: bool


@dataclass(frozen=True)
class Job:
    """One side: `run(batch)` is timed, for [alternation][micro-batch]."""

    run: Callable[[dict[str, Any]], object]
    model: nn.Module
    batches: list[list[dict[str, Any]]]


def measured(plan: Plan, on_batch: Callable[[int, int], None]) -> dict[str, Any]:
    """The samples of every side, CPU seconds a real token, one an alternation; and what follows from them."""
    bucketed, random = _rows(plan)
    stock = _trainer(plan, KTOTrainer, random)
    jobs, trainers = {"stock": _step(plan, stock)}, {}
    for name, changes in plan.variants.items():
        settings = as_in_recipes(**changes)
        rows = bucketed if settings.length_buckets else random
        trainer = trainers[name] = _trainer(plan, FastKTOTrainer, rows, settings)
        jobs[name] = _step(plan, trainer)
        if trainer.precompute_ref_logps:
            jobs[f"{name}, pass"] = Job(_reference_pass(trainer), trainer.model, jobs[name].batches)
    # with peft's own layers, which supervised fine-tuning has as well
    jobs["sft"] = Job(_sft_step(stock.model), stock.model, jobs["ours"].batches)
    differences = {name: _loss_difference(stock, trainer, jobs[name]) for name, trainer in trainers.items()}
    samples = _samples(jobs, plan.alternations, on_batch)
    return {
        "model": plan.model,
        "method": plan.method,
        "checkpointing": all(job.model.is_gradient_checkpointing for job in jobs.values()),
        "micro_batch_size": BATCH,
        "micro_batches": {name: sum(map(len, job.batches)) for name, job in jobs.items()},
        "padding": {name: _padding(job) for name, job in jobs.items() if name == "stock" or name in trainers},
        "loss_difference": differences,
        "losses_agree": max(differences.values()) <= LOSS_TOLERANCE,
        "speed_up": {name: _speed_up(samples, name) for name in trainers},
        "of_sft_step": {name: _ratio(samples[name], samples["sft"]) for name in ("stock", *trainers)},
        "samples": samples,
    }


def _rows(plan: Plan) -> tuple[Dataset, Dataset]:
    """Blocks of our order, tokenized; and as many rows as stock is to have, text in random order."""
    rows, lengths, blocks = _all_rows(plan.quick)
    drawn = np.random.default_rng(2).permutation(len(rows) // BATCH * BATCH).reshape(-1, BATCH)
    of_ours = np.array([[*map(_row_lengths, block)] for block in blocks])
    stock, ours = (_alike(each, plan.batches, plan.alternations) for each in (lengths[drawn], of_ours))
    return concatenate_datasets([blocks[number] for number in ours]), rows.select(drawn[stock].ravel())


def _row_lengths(row: dict[str, Any]) -> tuple[int, int]:
    return len(row["prompt_ids"]), len(row["completion_ids"])


def _alike(lengths: np.ndarray, each: int, alternations: int) -> np.ndarray:
    """Numbers of blocks: `each` an alternation, one of every part of all sizes.

    Of many draws an alternation takes the one that is most like all blocks together in what the cost of a token depends
    on: padding, completions, and what attention looks at. So an interval shows the machine more than the draw.

    Args:
        lengths: [blocks, BATCH, 2], tokens of each prompt and completion.
    """
    whole, completions = lengths.sum(2), lengths[..., 1]
    longest = whole.max(1)
    kinds = (whole.sum(1), completions.sum(1), longest * BATCH, completions.max(1) * BATCH, longest**2 * BATCH)
    counts = np.stack(kinds, axis=1)
    usual = counts.sum(0) / counts[:, 0].sum()
    left = np.array_split(np.argsort(longest, kind="stable"), each)
    draw, found = np.random.default_rng(3), []
    for _ in range(alternations):
        draws = np.stack([draw.choice(part, DRAWS) for part in left], axis=1)
        sums = counts[draws].sum(1)
        unlike = sums / sums[:, :1] / usual - 1
        found.append(draws[(unlike**2).sum(1).argmin()])
        left = [part[part != taken] for part, taken in zip(left, found[-1], strict=True)]
    return np.concatenate(found)


@cache
def _all_rows(quick: bool) -> tuple[Dataset, np.ndarray, list[Dataset]]:
    """All rows as text, tokens of their prompts and completions [rows, 2], and the blocks that our trainer makes."""
    prompts, completions, labels = hh_lengths(160 if quick else ROWS, seed=0)
    if quick:
        prompts, completions = prompts // 8 + 1, completions // 8 + 2
    rows = text_rows(prompts, completions, labels, seed=1)
    return rows, np.stack([prompts, completions], axis=1), blocks_of(arranged(rows, arguments(BATCH)), BATCH)


def _trainer(plan: Plan, kind: type[KTOTrainer], rows: Dataset, settings: Any = None) -> KTOTrainer:
    needs_reference = plan.method == "full" and (settings is None or not settings.precompute_ref)
    args = arguments(
        BATCH, gradient_checkpointing=plan.checkpointing, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    with redirect_stderr(StringIO()):  # its bars would run through ours
        trainer = new_trainer(
            kind,
            small_llama(plan.model),
            rows,
            args,
            LORA_RANK if plan.method == "lora" else None,
            settings,
            small_llama(plan.model) if needs_reference else None,
        )
    perturb(trainer, MOVED[plan.method])
    if plan.checkpointing:  # which Trainer.train turns on
        trainer.model.gradient_checkpointing_enable(args.gradient_checkpointing_kwargs)
    return trainer


# --- what is timed --------------------------------------------------------------------------------------------


def _step(plan: Plan, trainer: KTOTrainer) -> Job:
    batches = [trainer.data_collator(block.to_list()) for block in blocks_of(trainer.train_dataset, BATCH)]
    each = len(batches) // plan.alternations
    parts = [batches[start : start + each] for start in range(0, len(batches), each)]
    return Job(lambda batch: trainer.training_step(trainer.model, dict(batch)), trainer.model, parts)


def _reference_pass(trainer: KTOTrainer) -> Callable[[dict[str, Any]], object]:
    return lambda batch: trainer.compute_ref_log_probs(trainer.model, batch)


def _sft_step(model: nn.Module) -> Callable[[dict[str, Any]], object]:
    """Cross-entropy of the same completions, as supervised fine-tuning does it, forward and backward."""

    def step(batch: dict[str, Any]) -> None:
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()

    return step


def _samples(jobs: dict[str, Job], alternations: int, on_batch: Callable[[int, int], None]) -> dict[str, list[float]]:
    for job in jobs.values():  # what is done once at a first call is not a step
        _cpu_seconds(job, min(job.batches[0], key=lambda batch: batch["input_ids"].numel()))
    done, total = 0, sum(len(part) for job in jobs.values() for part in job.batches)
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for alternation in range(alternations):
        seconds = dict.fromkeys(jobs, 0.0)
        parts = {name: job.batches[alternation] for name, job in jobs.items()}
        for number in range(max(map(len, parts.values()))):
            for name in list(jobs)[:: 1 if number % 2 == 0 else -1]:
                if number < len(parts[name]):
                    seconds[name] += _cpu_seconds(jobs[name], parts[name][number])
                    done += 1
                    on_batch(done, total)
        for name, part in parts.items():
            samples[name].append(seconds[name] / sum(int(batch["attention_mask"].sum()) for batch in part))
    return samples


def _cpu_seconds(job: Job, batch: dict[str, Any]) -> float:
    start = time.process_time()
    job.run(batch)
    seconds = time.process_time() - start
    job.model.zero_grad()
    return seconds


# --- what follows ---------------------------------------------------------------------------------------------


def _loss_difference(stock: KTOTrainer, ours: KTOTrainer, job: Job) -> float:
    """The largest difference in the loss of one and the same batch, over the first alternation's first two."""
    with torch.no_grad():
        losses = [
            [float(trainer.compute_loss(trainer.model, dict(batch))) for trainer in (stock, ours)]
            for batch in job.batches[0][:2]
        ]
    return max(abs(theirs - own) for theirs, own in losses)


def _speed_up(samples: dict[str, list[float]], name: str) -> dict[str, dict[str, float]]:
    """Over stock: of a step, and of three epochs with the one-off reference pass."""
    once = samples.get(f"{name}, pass", [0.0] * len(samples[name]))
    whole = [step + reference / EPOCHS for step, reference in zip(samples[name], once, strict=True)]
    return {"step": _ratio(samples["stock"], samples[name]), "three_epochs": _ratio(samples["stock"], whole)}


def _ratio(above: list[float], below: list[float]) -> dict[str, float]:
    return over([a / b for a, b in zip(above, below, strict=True)])


def _padding(job: Job) -> dict[str, float]:
    """The share of positions that are padding: of the sequences, and of the mismatched ones."""
    batches = [batch for part in job.batches for batch in part]
    masks = {"policy": "attention_mask", "mismatched": "KL_attention_mask"}
    return {
        name: 1 - sum(int(b[mask].sum()) for b in batches) / sum(b[mask].numel() for b in batches)
        for name, mask in masks.items()
    }
