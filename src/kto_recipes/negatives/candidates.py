"""Undesirable rows from a dataset's strategies: each its share, what the gate refuses counted."""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kto_recipes.negatives import STRATEGIES, Answer, Context, NotMade
from kto_recipes.negatives.gate import Gate
from kto_recipes.negatives.match_length import choose
from kto_recipes.progress import StartTask
from kto_recipes.rows import KtoRow, Message
from kto_recipes.settings import Negatives, Strategy

# Near a good answer on purpose: a reply that lost its tone has nearly the letters it had.
DERIVED = {"corrupt"}
OVERSAMPLED = 2  # answers made for each that is wanted, where only those of the right length are kept


@dataclass
class Made:
    """Undesirable rows by split, and how many were left out for what."""

    rows: dict[str, list[KtoRow]]
    left_out: Counter[str] = field(default_factory=Counter)


def make_negatives(
    positives: dict[str, list[KtoRow]],
    settings: Negatives,
    recipe: dict[str, Any],
    folder: Path,
    on_strategy: StartTask,
) -> Made:
    """Undesirable answers to the prompts of `positives`, by split.

    Each strategy runs once over both splits: loading a model costs more.
    """
    made = Made({split: [] for split in positives})
    gate = Gate(settings.gate, [row for rows in positives.values() for row in rows])
    for strategy, parents in _shares(positives, settings):
        name = strategy.strategy
        context = Context(recipe, settings.seed, positives, folder, on_strategy(name, len(parents)))
        answers = STRATEGIES[name]([row for _, row in parents], strategy, context)
        for (split, parent), answer in zip(parents, answers, strict=True):
            reason = (
                answer.reason if isinstance(answer, NotMade) else gate.refusal(parent, answer.text, name in DERIVED)
            )
            if reason is not None:
                made.left_out[f"{name}: {reason}"] += 1
            else:
                made.rows[split].append(_row(parent, answer, name, len(made.rows[split])))
    if settings.match_length:
        _match_length(made, positives, settings)
    return made


def _shares(
    positives: dict[str, list[KtoRow]], settings: Negatives
) -> Iterator[tuple[Strategy, list[tuple[str, KtoRow]]]]:
    """Every strategy that has something to do, with the rows it answers and their splits."""
    times = settings.per_positive * (OVERSAMPLED if settings.match_length else 1)
    parents = [(split, row) for split, rows in positives.items() for row in _drawn(rows, times, settings.seed)]
    random.Random(settings.seed).shuffle(parents)
    start = 0.0
    for strategy in settings.strategies:
        first, last = (round(part * len(parents)) for part in (start, start + strategy.share))
        start += strategy.share
        if first < last:
            yield strategy, _repeated(parents[first:last], getattr(strategy, "samples_per_prompt", 1))


def _drawn(rows: Sequence[KtoRow], times: float, seed: int) -> list[KtoRow]:
    """The prompts to answer: every one `times` times, the remainder drawn by the seed."""
    whole, part = divmod(times * len(rows), len(rows))
    return [*rows] * int(whole) + random.Random(seed).sample(rows, round(part))


def _repeated(parents: list[tuple[str, KtoRow]], times: int) -> list[tuple[str, KtoRow]]:
    """As many parents, but fewer different ones, each `times` times."""
    different = parents[: math.ceil(len(parents) / times)]
    return [parent for parent in different for _ in range(times)][: len(parents)]


def _match_length(made: Made, positives: dict[str, list[KtoRow]], settings: Negatives) -> None:
    for split, rows in made.rows.items():
        wanted = round(settings.per_positive * len(positives[split]))
        chosen = choose(positives[split], rows, wanted, settings.seed)
        kept = {row["meta"]["id"] for row in chosen}
        made.left_out.update(
            f"{row['meta']['strategy']}: not needed to match the lengths of the good answers"
            for row in rows
            if row["meta"]["id"] not in kept
        )
        made.rows[split] = chosen


def _row(parent: KtoRow, answer: Answer, strategy: str, number: int) -> KtoRow:
    meta = parent["meta"]
    return KtoRow(
        prompt=parent["prompt"],
        completion=[Message(role="assistant", content=answer.text)],
        label=False,
        meta={
            "id": f"{meta['id']}#{strategy}-{number}",
            "group": meta["group"],
            "source": meta["source"],
            "strategy": strategy,
            "parent": meta["id"],
            "settings": answer.settings,
        },
    )
