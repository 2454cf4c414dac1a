"""Class weights: λ_D and λ_U so that both classes pull about equally."""

from collections.abc import Iterable
from typing import TypedDict

from kto_recipes.rows import KtoRow

# λ_D·n_D / (λ_U·n_U) should lie in [1, 3/2] (KTO paper, arXiv 2402.01306, eq. 9); the older text and TRL say
# [1, 4/3]. A ratio that satisfies both is suggested, and what lies outside the wider range is reported.
TARGET = (1.0, 4 / 3)
ALLOWED = (1.0, 3 / 2)


class Weights(TypedDict):
    n_desirable: int
    n_undesirable: int
    desirable: float
    undesirable: float
    ratio: float


def ratio(n_desirable: int, n_undesirable: int, desirable: float, undesirable: float) -> float:
    """λ_D·n_D / (λ_U·n_U)."""
    return desirable * n_desirable / (undesirable * n_undesirable)


def suggest(n_desirable: int, n_undesirable: int) -> Weights:
    """Weights that bring the ratio into [1, 4/3], the larger class keeping 1.0; both counts must be above 0.

    Rounded up to two decimals, so that rounding cannot take the ratio below 1.
    """
    desirable = undesirable = 1.0
    plain = n_desirable / n_undesirable
    if plain < TARGET[0]:
        desirable = _round_up(1 / plain)
    elif plain > TARGET[1]:
        # rounded down for the same reason: a smaller λ_U makes the ratio larger
        undesirable = max(int(plain * 100) / 100, 0.01)
    return Weights(
        n_desirable=n_desirable,
        n_undesirable=n_undesirable,
        desirable=desirable,
        undesirable=undesirable,
        ratio=round(ratio(n_desirable, n_undesirable, desirable, undesirable), 4),
    )


def count_labels(rows: Iterable[KtoRow]) -> tuple[int, int]:
    """How many rows are desirable and how many undesirable."""
    labels = [row["label"] for row in rows]
    return sum(labels), len(labels) - sum(labels)


def _round_up(value: float) -> float:
    return -int(-value * 100 // 1) / 100
