"""What every negative strategy is given, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kto_recipes.progress import OnDone
from kto_recipes.rows import KtoRow


@dataclass(frozen=True)
class Context:
    """What a run gives to a strategy.

    Attributes:
        recipe: the run's first stage, whose base model and template sampling uses.
        seed: of the dataset's `negatives`; the same seed and rows give the same answers.
        positives: all good answers by split. An answer made for one split must not hold text of the other.
        folder: the run's data folder, where a strategy that waits for a model keeps each answer as it comes.
        on_done: called with a number of rows as they are done.
    """

    recipe: dict[str, Any]
    seed: int
    positives: Mapping[str, Sequence[KtoRow]]
    folder: Path
    on_done: OnDone = lambda count: None


@dataclass(frozen=True)
class Answer:
    """An undesirable answer, and what of its making differs from row to row; the row's meta records it."""

    text: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NotMade:
    """Why there is no answer, in a few words: the reason it is counted under."""

    reason: str
