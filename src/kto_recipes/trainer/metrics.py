"""What TRL logs, under TRL's names, gathered in one message and read from the device once a log."""

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from kto_recipes.trainer.logps import HeadCall


@dataclass
class BatchSums:
    """Sums over a micro-batch, each a scalar: summed over ranks, they give every figure that is logged."""

    desirable: Tensor
    undesirable: Tensor
    reward_desirable: Tensor
    reward_undesirable: Tensor
    logps_desirable: Tensor
    logps_undesirable: Tensor
    logits_desirable: Tensor
    logits_undesirable: Tensor
    tokens_desirable: Tensor
    tokens_undesirable: Tensor
    entropy: Tensor
    tokens: Tensor

    @classmethod
    def of(cls, batch: dict[str, Tensor], logps: Tensor, ref_logps: Tensor, call: HeadCall, beta: float) -> "BatchSums":
        """Of log-probabilities [batch] under policy and reference, both without gradient."""
        desirable = batch["label"].to(logps.dtype)
        undesirable = 1 - desirable
        rewards = beta * (logps - ref_logps)
        tokens = call.positions.sum(1)
        row = call.positions.nonzero()[:, 0]
        logits = logps.new_zeros(len(logps)).index_add(0, row, call.mean_logits.to(logps.dtype))
        return cls(
            desirable=desirable.sum(),
            undesirable=undesirable.sum(),
            reward_desirable=(rewards * desirable).sum(),
            reward_undesirable=(rewards * undesirable).sum(),
            logps_desirable=(logps * desirable).sum(),
            logps_undesirable=(logps * undesirable).sum(),
            logits_desirable=(logits * desirable).sum(),
            logits_undesirable=(logits * undesirable).sum(),
            tokens_desirable=(tokens * desirable).sum(),
            tokens_undesirable=(tokens * undesirable).sum(),
            entropy=logps.new_zeros(()) if call.entropy is None else call.entropy.sum(),
            tokens=batch["attention_mask"].sum(),
        )


_NAMES = [field.name for field in fields(BatchSums)]


class KTOMetrics:
    """The micro-batches since the last log, kept on the device: reading each at once would wait for the GPU."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Tensor]] = {"train": [], "eval": []}

    def add(self, mode: str, sums: BatchSums, z0: Tensor, accelerator: Any) -> None:
        local = torch.stack([getattr(sums, name).float() for name in _NAMES])
        total = accelerator.gather(local[None]).sum(0)
        self._kept[mode].append(torch.cat([total, z0.detach().float().reshape(1)]))

    def taken(self, mode: str, with_entropy: bool) -> tuple[dict[str, list[float]], float]:
        """One value a micro-batch under each of TRL's names, and the tokens seen; what was kept is forgotten."""
        values: dict[str, list[float]] = {}
        tokens = 0.0
        kept, self._kept[mode] = self._kept[mode], []
        for row in torch.stack(kept).tolist() if kept else []:
            sums = dict(zip(_NAMES, row[:-1], strict=True))
            tokens += sums["tokens"]
            for name, value in {**_figures(sums, with_entropy), "kl": row[-1]}.items():
                if not math.isnan(value):
                    values.setdefault(name, []).append(value)
        return values, tokens


def _figures(sums: dict[str, float], with_entropy: bool) -> dict[str, float]:
    """TRL says chosen and rejected where the paper says desirable and undesirable; NaN where a class has no row."""
    figures = {}
    for trl, ours in (("chosen", "desirable"), ("rejected", "undesirable")):
        figures[f"rewards/{trl}"] = _ratio(sums[f"reward_{ours}"], sums[ours])
        figures[f"logps/{trl}"] = _ratio(sums[f"logps_{ours}"], sums[ours])
        figures[f"logits/{trl}"] = _ratio(sums[f"logits_{ours}"], sums[f"tokens_{ours}"])
    figures["rewards/margins"] = figures["rewards/chosen"] - figures["rewards/rejected"]
    if with_entropy:
        figures["entropy"] = _ratio(sums["entropy"], sums["tokens_desirable"] + sums["tokens_undesirable"])
    return figures


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan
