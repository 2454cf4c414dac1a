"""What training may have broken: replies that repeat themselves, and tasks the model could do before."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from kto_recipes.report.figures import Figure, difference, of_model, percent, points, reference_of, shown, sign
from kto_recipes.report.limits import CONFIDENCE, DISTINCT_LEFT, REGRESSION_CHANGE, REGRESSION_FALL, REPETITION_RISE
from kto_recipes.report.metrics import as_dict, is_finite, number

BEFORE = {"sft": "after SFT", "base": "of the base model"}
LOWER_IS_BETTER = ("perplexity", "bits_per_byte", "brier_score", "ter", "mse", "mae")  # lm-evaluation-harness's names


@dataclass(frozen=True)
class Damage:
    """One thing that was looked at; `text` says what was found, with its interval."""

    kind: Literal["replies", "task"]
    is_broken: bool
    text: str


def of_replies(evaluation: dict[str, Any] | None) -> list[Damage]:
    """Repetition and variety of KTO's replies against its reference's."""
    found = []
    before, after = (of_model(evaluation, model, "repetition") for model in (reference_of(evaluation), "kto"))
    if after is not None and before is not None:
        change = difference(evaluation, "repetition") or _apart(after, before)
        broken = sign(change) > 0 and change["value"] >= REPETITION_RISE
        text = f"repetition in its replies went from {percent(before)} to {percent(after)}, {points(change)}"
        found.append(Damage("replies", broken, text))
    before, after = (of_model(evaluation, model, "distinct_2") for model in (reference_of(evaluation), "kto"))
    if after is not None and before is not None and before["value"] > 0:
        change = difference(evaluation, "distinct_2") or _apart(after, before)
        broken = sign(change) < 0 and after["value"] < DISTINCT_LEFT * before["value"]
        text = f"distinct-2 of its replies went from {shown(before, share=True)} to {shown(after, share=True)}"
        found.append(Damage("replies", broken, text))
    return found


def _apart(after: Figure, before: Figure) -> Figure:
    """after − before from two intervals alone: excludes 0 only where they do not overlap."""
    return {
        "value": after["value"] - before["value"],
        "low": after["low"] - before["high"],
        "high": after["high"] - before["low"],
    }


@dataclass(frozen=True)
class TaskChange:
    """A task's metric, KTO against `against`; the interval holds for all comparisons of the check at once."""

    task: str
    metric: str
    against: str
    change: Figure
    before: float
    lower_is_better: bool

    @property
    def is_share(self) -> bool:
        return not self.lower_is_better and all(0 <= it <= 1 for it in (self.before, self.after))

    @property
    def after(self) -> float:
        return self.before + self.change["value"]

    @property
    def is_fall(self) -> bool:
        """Whether it became worse for certain and by enough to matter; what is no share is compared with itself."""
        worse = sign(self.change) > 0 if self.lower_is_better else sign(self.change) < 0
        least = REGRESSION_FALL if self.is_share else REGRESSION_CHANGE * abs(self.before)
        return worse and abs(self.change["value"]) >= least


def task_changes(regression: dict[str, Any] | None, reference: str) -> list[TaskChange]:
    """KTO − reference and KTO − base for each task and metric.

    From the standard errors of both, as if the two models had answered different rows: on the same rows the true
    interval is narrower, so what is called a fall is one. With more comparisons each has to be clearer.
    """
    pairs = list(_pairs(regression, reference))
    if not pairs:
        return []
    width = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / len(pairs))
    found = []
    for task, metric, against, before, after in pairs:
        value = after["value"] - before["value"]
        error = width * math.hypot(after["stderr"], before["stderr"])
        change = {"value": value, "low": value - error, "high": value + error, "n": after.get("n")}
        lower = any(name in metric.split(",")[0] for name in LOWER_IS_BETTER)
        found.append(TaskChange(task, metric, against, change, before["value"], lower))
    return found


def _pairs(regression: dict[str, Any] | None, reference: str) -> Iterator[tuple[str, str, str, Figure, Figure]]:
    for task, metrics in as_dict((regression or {}).get("tasks")).items():
        for metric, models in as_dict(metrics).items():
            scored = {name: it for name, it in as_dict(models).items() if _is_score(it)}
            for against in dict.fromkeys((reference, "base")):
                if against in scored and "kto" in scored:
                    yield task, metric, against, scored[against], scored["kto"]


def _is_score(it: Any) -> bool:
    return isinstance(it, dict) and is_finite(it.get("value")) and is_finite(it.get("stderr"))


def of_tasks(regression: dict[str, Any] | None, reference: str) -> list[Damage]:
    """The tasks that fell, one by one; where none did, that in one."""
    changes = task_changes(regression, reference)
    falls = [Damage("task", True, _fall_text(it)) for it in changes if it.is_fall]
    if changes and not falls:
        names = ", ".join(dict.fromkeys(it.task for it in changes))
        return [Damage("task", False, f"no task of the regression check fell for certain ({names})")]
    return falls


def _fall_text(it: TaskChange) -> str:
    before = BEFORE[it.against]
    metric = it.metric.split(",")[0]
    if it.is_share:
        levels = f"{number(100 * it.before, 1)} % {before} to {number(100 * it.after, 1)} %"
        return f"{it.task} ({metric}) fell from {levels}, {points(it.change)}"
    went = "rose, where less is better," if it.lower_is_better else "fell"
    return f"{it.task} ({metric}) {went} from {it.before:.4g} {before} to {it.after:.4g}, {shown(it.change)}"
