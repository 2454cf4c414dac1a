"""Which tasks are run where nobody named any, and why these."""

from dataclasses import dataclass
from pathlib import Path

from kto_recipes.doctor.hub import is_reachable

TASKS = Path(__file__).parent / "tasks"  # the built-in ones, with their rows


@dataclass(frozen=True)
class Wanted:
    """A task of the harness; of its metrics the one named, or all; at most `limit` rows of it, or all."""

    name: str
    metric: str | None = None
    limit: int | None = None


# What alignment is known to cost: knowledge, reasoning in several steps, and truthfulness, which falls where a model
# learns to please. One metric each, because every further comparison makes the report's intervals wider.
HUB_TASKS = (
    Wanted("arc_challenge", "acc_norm,none"),
    Wanted("gsm8k", "exact_match,flexible-extract", 250),
    Wanted("truthfulqa_mc2", "acc,none"),
)
BUILT_IN = (Wanted("plain_facts"), Wanted("plain_arithmetic"), Wanted("plain_grammar"))
_PROBE = "allenai/ai2_arc"


def default_tasks(on_gpu: bool) -> tuple[tuple[Wanted, ...], str | None]:
    """The Hub's tasks where they can be had and a GPU makes them cheap; else the built-in ones, and why."""
    if not on_gpu:
        return BUILT_IN, "there is no GPU here"
    if not hub_is_reachable():
        return BUILT_IN, "the Hub cannot be reached from here"
    return HUB_TASKS, None


def hub_is_reachable() -> bool:
    """Whether data sets can be had from the Hub."""
    return is_reachable(_PROBE, "dataset")
