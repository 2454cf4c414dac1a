"""The numbers of eval.json as a table of texts; the page and the terminal show the same ones.

Imports nothing heavy: `scripts/report.py --show` prints from here in a fraction of a second.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Estimate = dict[str, Any] | None  # {"value", "low", "high", "n"}
NONE = "–"
MOST_DECIMALS = 4


@dataclass(frozen=True)
class Metric:
    key: str
    label: str
    unit: str = ""
    share: bool = False  # lies in [0, 1]: always three decimals


METRICS = (
    Metric("reward_desirable", "Reward, desirable", "nats"),
    Metric("reward_undesirable", "Reward, undesirable", "nats"),
    Metric("margin", "Margin", "nats"),
    Metric("auc", "AUC", share=True),
    Metric("z0", "Reference point z0", "nats"),
    Metric("accuracy_z0", "Accuracy at z0", "share", share=True),
    Metric("kl", "KL to the reference", "nats"),
    Metric("length", "Answer length", "tokens"),
    Metric("distinct_1", "Distinct-1", "share", share=True),
    Metric("distinct_2", "Distinct-2", "share", share=True),
    Metric("repetition", "Repetition", "share", share=True),
    Metric("refusals", "Refusals", "share", share=True),
    Metric("style_greedy", "Style, greedy", "share", share=True),
    Metric("style_sampled", "Style, sampled", "share", share=True),
)
# Rewards are log-ratios to the reference model, so its own are 0 and what follows from them says nothing.
_OF_THE_REFERENCE = ("reward_desirable", "reward_undesirable", "margin", "auc", "z0", "accuracy_z0")
_GROUP_METRICS = ("reward_undesirable", "margin", "auc")


@dataclass(frozen=True)
class Cell:
    value: str
    interval: str = ""
    excludes_zero: bool = False  # only meaningful for a difference


@dataclass(frozen=True)
class Row:
    label: str
    unit: str
    cells: list[Cell]
    n: str


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[Row]


def stage_names(models: Iterable[str]) -> dict[str, str]:
    """The models that were measured, in order, with what a reader calls them."""
    present = set(models)
    names = {"base": "before SFT", "sft": "after SFT", "kto": "after KTO"}
    if "sft" not in present:
        names["base"] = "before KTO"
    return {key: name for key, name in names.items() if key in present}


def comparison(evaluation: dict[str, Any]) -> Table:
    """Rows = metrics, columns = the models in order, then KTO's difference to its reference."""
    models = evaluation.get("models") or {}
    names = stage_names(models)
    reference = "sft" if "sft" in models else "base"
    differences = (evaluation.get("differences") or {}).get(f"kto-{reference}") or {}
    rows = []
    for metric in metrics_of(evaluation):
        found = [(models[name] or {}).get(metric.key) for name in names]
        # each reward of the reference equals its z0, so neither its accuracy nor a difference to it says much
        difference = None if metric.key == "accuracy_z0" else differences.get(metric.key)
        cells = [
            Cell("reference") if name == reference and metric.key in _OF_THE_REFERENCE else cell(estimate, metric.share)
            for name, estimate in zip(names, found, strict=True)
        ]
        rows.append(Row(metric.label, metric.unit, [*cells, cell(difference, metric.share)], counted(found)))
    return Table([*names.values(), f"KTO − {'SFT' if reference == 'sft' else 'before'}"], rows)


def by_group(groups: dict[str, dict[str, Estimate]]) -> Table:
    """KTO's numbers for each strategy or each source: rows = groups, columns = metrics."""
    metrics = [metric for metric in METRICS if metric.key in _GROUP_METRICS]
    rows = []
    for name, group in groups.items():
        found = [(group or {}).get(metric.key) for metric in metrics]
        cells = [cell(e, metric.share) for e, metric in zip(found, metrics, strict=True)]
        rows.append(Row(str(name).replace("_", " "), "", cells, counted(found)))
    return Table([f"{m.label}, {m.unit}" if m.unit else m.label for m in metrics], rows)


def metrics_of(evaluation: dict[str, Any]) -> list[Metric]:
    """The known metrics that any model has, then those this module does not know, under their own names."""
    seen = {key: None for model in (evaluation.get("models") or {}).values() for key in model or {}}
    known = [metric for metric in METRICS if metric.key in seen]
    others = [key for key in seen if key not in {metric.key for metric in METRICS}]
    return known + [Metric(key, key) for key in others]


def cell(estimate: Estimate, share: bool = False) -> Cell:
    """A value and its interval as text, with a real minus sign; a dash where nothing was measured.

    A share has three decimals. Anything else is rounded by its own interval, whose width keeps two digits:
    −13.3 [−14.2, −12.5] beside −0.113 [−0.148, −0.078].
    """
    value, low, high = ((estimate or {}).get(key) for key in ("value", "low", "high"))
    if not is_finite(value):
        return Cell(NONE)
    if not (is_finite(low) and is_finite(high)):
        return Cell(number(value, 3 if share else _decimals(abs(value), 3)))
    decimals = 3 if share else _decimals(high - low, 2) if high > low else _decimals(abs(value), 3)
    interval = f"[{number(low, decimals)}, {number(high, decimals)}]"
    return Cell(number(value, decimals), interval, excludes_zero=low > 0 or high < 0)


def _decimals(size: float, digits: int) -> int:
    """How many decimals show so many digits of a number of this size."""
    if size == 0:
        return 0
    return min(max(digits - 1 - math.floor(math.log10(size)), 0), MOST_DECIMALS)


def counted(estimates: Iterable[Estimate]) -> str:
    """How many cases stand behind some estimates: one number, or the smallest and the largest."""
    n = {estimate["n"] for estimate in estimates if estimate and is_finite(estimate.get("n"))}
    return "–".join(f"{count:,}" for count in sorted({min(n), max(n)})) if n else NONE


def number(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}".replace("-", "−")
    return text.lstrip("−") if float(f"{value:.{decimals}f}") == 0 else text


def is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def as_dict(value: Any) -> dict[str, Any]:
    """`value` if it is one: a file that somebody else wrote may hold anything in its place."""
    return value if isinstance(value, dict) else {}
