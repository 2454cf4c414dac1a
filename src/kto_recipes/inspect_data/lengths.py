"""How long answers and whole rows are, in the recipe's tokens where its tokenizer is here, else in words."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kto_recipes.doctor.tokens import LocalTokenizer, RenderError
from kto_recipes.rows import KtoRow, completion_text

ROWS_COUNTED = 2000  # more are sampled by the seed: rendering a row takes about a millisecond
_BINS = 30


@dataclass
class Lengths:
    """Lengths of rows by label, in `unit`: of answers, and of whole rows with their prompt and template.

    `too_long` counts rows longer than `limit` tokens; None where tokens cannot be counted or there is no limit.
    """

    unit: str
    limit: int | None
    answers: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    rows: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    too_long: int | None = None

    @property
    def counted(self) -> int:
        return sum(map(len, self.answers.values()))


@dataclass(frozen=True)
class Quantiles:
    n: int
    low: float  # 5 of 100 are shorter
    median: float
    mean: float
    high: float  # 95 of 100 are not longer
    longest: int


def measure(rows: list[KtoRow], tokenizer: LocalTokenizer | None, limit: int | None, seed: int) -> Lengths:
    found = Lengths("words" if tokenizer is None else "tokens", limit)
    for row in rows if len(rows) <= ROWS_COUNTED else random.Random(seed).sample(rows, ROWS_COUNTED):
        found.answers[row["label"]].append(_answer(row, tokenizer))
        found.rows[row["label"]].append(_whole(row, tokenizer))
    if tokenizer is not None and limit is not None:
        found.too_long = sum(length > limit for lengths in found.rows.values() for length in lengths)
    return found


def quantiles(lengths: Sequence[int]) -> Quantiles | None:
    """None where there are no lengths."""
    if not lengths:
        return None
    low, median, high = np.percentile(lengths, [5, 50, 95])
    return Quantiles(len(lengths), float(low), float(median), float(np.mean(lengths)), float(high), max(lengths))


def histogram(by_label: dict[bool, list[int]]) -> dict[str, list[float]]:
    """`x`: where each bin starts; `desirable`, `undesirable`: the share of that class in it.

    The last bin holds all that is longer than 99 of 100, so that one long answer does not flatten the rest.
    """
    both = [length for lengths in by_label.values() for length in lengths]
    step = max(1, -(-int(np.percentile(both, 99)) // _BINS)) if both else 1
    edges = [step * i for i in range(_BINS + 1)]
    shares = {}
    for name, label in (("desirable", True), ("undesirable", False)):
        counts, _ = np.histogram(np.minimum(by_label[label], edges[-1]), bins=edges)
        shares[name] = [round(float(count) / max(len(by_label[label]), 1), 4) for count in counts]
    return {"x": [float(edge) for edge in edges[:-1]], **shares}


def _answer(row: KtoRow, tokenizer: LocalTokenizer | None) -> int:
    text = completion_text(row)
    return len(text.split()) if tokenizer is None else tokenizer.count(text)


def _whole(row: KtoRow, tokenizer: LocalTokenizer | None) -> int:
    """A template that does not render the row is the doctor's business; its text is counted without one."""
    texts = [message["content"] for message in [*row["prompt"], *row["completion"]]]
    if tokenizer is None:
        return sum(len(text.split()) for text in texts)
    try:
        return tokenizer.answer_tokens(row["prompt"], row["completion"])
    except RenderError:
        return sum(map(tokenizer.count, texts))
