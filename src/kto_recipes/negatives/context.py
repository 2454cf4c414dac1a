"""What a run gives to every negative strategy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Context:
    """`recipe` is the run's first stage, whose base model and template sampling uses."""

    recipe: dict[str, Any]
    seed: int
    on_done: Callable[[int], None] = lambda count: None
