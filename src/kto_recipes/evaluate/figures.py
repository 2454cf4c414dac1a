"""From numbers to figures: every measure of eval.json, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kto_recipes.evaluate.bootstrap import Figure, PromptBootstrap, figure
from kto_recipes.rows import KtoRow, prompt_key

Draws = dict[str, tuple[NDArray[np.float64], int]]


@dataclass
class HeldRows:
    """Held-out rows as arrays over rows (n,): which prompt each answers, its label, its strategy and source."""

    prompt: NDArray[np.intp]
    desirable: NDArray[np.bool_]
    strategy: NDArray[np.str_]
    source: NDArray[np.str_]
    n_prompts: int

    @classmethod
    def of(cls, rows: Sequence[KtoRow]) -> "HeldRows":
        index: dict[bytes, int] = {}
        prompt = np.array([index.setdefault(prompt_key(row), len(index)) for row in rows])
        return cls(
            prompt=prompt,
            desirable=np.array([row["label"] for row in rows]),
            strategy=np.array([row["meta"].get("strategy", "") for row in rows]),
            source=np.array([row["meta"]["source"] for row in rows]),
            n_prompts=len(index),
        )


def reward_draws(
    rewards: NDArray[np.float64], mismatched: NDArray[np.float64], held: HeldRows, boot: PromptBootstrap
) -> Draws:
    """Draws of everything that comes from rewards (n,), β included, of matched and mismatched pairs."""
    good, bad = held.desirable, ~held.desirable
    z0 = max(0.0, float(mismatched.mean()))
    right_side = np.where(good, rewards > z0, rewards < z0).astype(float)
    desirable = boot.means(rewards[good], held.prompt[good])
    undesirable = boot.means(rewards[bad], held.prompt[bad])
    return {
        "reward_desirable": (desirable, int(good.sum())),
        "reward_undesirable": (undesirable, int(bad.sum())),
        "margin": (desirable - undesirable, len(rewards)),
        "auc": (boot.aucs(rewards[good], held.prompt[good], rewards[bad], held.prompt[bad]), len(rewards)),
        "accuracy_z0": (boot.means(right_side, held.prompt), len(rewards)),
    }


def grouped_figures(
    rewards: NDArray[np.float64], held: HeldRows, boot: PromptBootstrap, by: NDArray[np.str_]
) -> dict[str, dict[str, Figure]]:
    """Undesirable reward, margin and AUC for each value of `by` (n,) among the undesirable rows.

    Each group of undesirable answers is compared with all desirable ones; those without a value are in none.
    """
    good = held.desirable
    result = {}
    for name in sorted(set(by[~good]) - {""}):
        bad = ~good & (by == name)
        undesirable = boot.means(rewards[bad], held.prompt[bad])
        margin = boot.means(rewards[good], held.prompt[good]) - undesirable
        auc = boot.aucs(rewards[good], held.prompt[good], rewards[bad], held.prompt[bad])
        result[str(name)] = {
            "reward_undesirable": figure(undesirable, int(bad.sum())),
            "margin": figure(margin, int(bad.sum() + good.sum())),
            "auc": figure(auc, int(bad.sum() + good.sum())),
        }
    return result


def reply_draws(
    *,
    sampled_log_ratio: NDArray[np.float64] | None,
    sampled_length: NDArray[np.float64],
    style_sampled: NDArray[np.float64] | None,
    style_greedy: NDArray[np.float64] | None,
    samples_per_prompt: int,
    boot: PromptBootstrap,
) -> Draws:
    """Draws of everything that comes from generated replies: sampled arrays are (P·S,), greedy ones (P,)."""
    n_prompts = boot.weights.shape[1]
    by_sample = np.repeat(np.arange(n_prompts), samples_per_prompt)
    draws: Draws = {"length": (boot.means(sampled_length, by_sample), len(sampled_length))}
    if sampled_log_ratio is not None:
        draws["kl"] = (boot.means(sampled_log_ratio, by_sample), len(sampled_log_ratio))
    if style_sampled is not None:
        draws["style_sampled"] = (boot.means(style_sampled, by_sample), len(style_sampled))
    if style_greedy is not None:
        draws["style_greedy"] = (boot.means(style_greedy, np.arange(n_prompts)), len(style_greedy))
    return draws


def figures(draws: Draws) -> dict[str, Figure]:
    return {name: figure(values, n) for name, (values, n) in draws.items()}


def paired_differences(later: Draws, earlier: Draws) -> dict[str, Figure]:
    """later − earlier under the same resamples, for what both have."""
    return {name: figure(values - earlier[name][0], n) for name, (values, n) in later.items() if name in earlier}
