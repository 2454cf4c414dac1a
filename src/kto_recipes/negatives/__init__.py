"""Undesirable answers where a person has only good ones: one module for each strategy.

A strategy is a function (positives, settings, context) → answers, one for each positive row, in order; an
answer that could not be made is None and is counted. What it needs of the run comes in the context.
"""

from collections.abc import Callable, Sequence
from typing import Any

from kto_recipes.negatives import base_sample, template
from kto_recipes.negatives.context import Context
from kto_recipes.rows import KtoRow

__all__ = ["STRATEGIES", "Context"]

STRATEGIES: dict[str, Callable[[Sequence[KtoRow], Any, Context], list[str | None]]] = {
    "base_sample": base_sample.make,
    "template": template.make,
}
