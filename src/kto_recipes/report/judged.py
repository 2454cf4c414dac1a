"""Win rates and the regression check as tables of texts; a file that holds something else is said to."""

from typing import Any

from kto_recipes.report import damage
from kto_recipes.report.figures import Figure, figure, percent, reference_of, sign
from kto_recipes.report.limits import EVEN
from kto_recipes.report.metrics import NONE, Cell, as_dict, cell, is_finite, number, stage_names
from kto_recipes.report.tables import flatten, moment

COLUMNS = ("Win rate", "Length held equal", "Wins", "Ties", "Losses", "Unreadable", "First one wins", "Sign test, p")


def judge_views(judges: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One table for each judge, its rows being what KTO was compared with."""
    return [_judge(name, judge) for name, judge in judges.items()]


def _judge(name: str, judge: dict[str, Any]) -> dict[str, Any]:
    compared = as_dict(judge.get("compared"))
    rows = [(_against(pair), _cells(it)) for pair, it in compared.items() if isinstance(it, dict) and "win_rate" in it]
    cost = as_dict(judge.get("cost"))
    by = judge.get("judge") or name
    return {
        "title": "Judged by people, blind" if by == "human" else f"Judged by {by}",
        "rows": rows,
        "definitions": list(as_dict(judge.get("definitions")).items()),
        "missing": _missing(judge) + ([] if rows else [f"judge/{name} holds no win rate; make it again (make judge)."]),
        "facts": [
            ("Prompt version", str(judge.get("prompt_version") or "not recorded")),
            ("Made", moment(judge.get("created")) or "not recorded"),
            *[(label, _money(cost.get(key)) if key == "dollars" else _count(cost.get(key))) for key, label in _COST],
            *flatten(as_dict(judge.get("settings"))),
        ],
    }


_COST = (
    ("requests", "Requests"),
    ("cached", "Of them from the cache"),
    ("prompt_tokens", "Tokens of prompts"),
    ("completion_tokens", "Tokens of answers"),
    ("dollars", "Cost"),
)


def _against(pair: str) -> str:
    return {"kto-sft": "KTO against after SFT", "kto-base": "KTO against base"}.get(pair, str(pair))


def _cells(it: dict[str, Any]) -> list[Cell]:
    rate, equal, bias = (figure(it.get(key)) for key in ("win_rate", "win_rate_length_controlled", "position_bias"))
    p = it.get("sign_test_p")
    return [
        rate_cell(rate),
        rate_cell(equal),
        *(Cell(_count(it.get(key))) for key in ("wins", "ties", "losses", "unreadable")),
        cell(bias, share=True),
        Cell(NONE if not is_finite(p) else "< 0.001" if p < 0.001 else number(p, 3)),
    ]


def rate_cell(rate: Figure | None) -> Cell:
    """A win rate in percent, with whether it excludes that each side wins half."""
    if rate is None:
        return Cell(NONE)
    value, _, interval = percent(rate).partition(" [")
    return Cell(value, f"[{interval}", excludes_zero=sign(rate, EVEN) != 0)


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else NONE


def _money(value: Any) -> str:
    return f"${value:,.2f}" if is_finite(value) else "not known"


def _missing(source: dict[str, Any]) -> list[str]:
    return [f"{what}: {why}" for what, why in as_dict(source.get("missing")).items()]


def regression_view(regression: dict[str, Any] | None, evaluation: dict[str, Any] | None) -> dict[str, Any] | None:
    """Rows = tasks and their metrics, columns = the models, then KTO's change; None without a check."""
    if regression is None:
        return None
    tasks = as_dict(regression.get("tasks"))
    models = {m for metrics in tasks.values() for it in as_dict(metrics).values() for m in as_dict(it)}
    names, reference = stage_names(models), reference_of(evaluation or {"models": models})
    changes = {(it.task, it.metric): it for it in damage.task_changes(regression, reference) if it.against == reference}
    rows = []
    for task, metrics in tasks.items():
        for metric, scores in as_dict(metrics).items():
            cells = [_score(as_dict(scores).get(model)) for model in names]
            n = sorted({it["n"] for it in as_dict(scores).values() if isinstance(it, dict) and is_finite(it.get("n"))})
            rows.append((task, metric.split(",")[0], [*cells, _change(changes.get((task, metric)))], _range(n)))
    return {
        "columns": [*names.values(), f"KTO − {'SFT' if reference == 'sft' else 'before'}"],
        "rows": rows,
        "missing": _missing(regression),
        "settings": flatten(as_dict(regression.get("settings"))),
    }


def _score(it: Any) -> Cell:
    if not isinstance(it, dict) or not is_finite(it.get("value")):
        return Cell(NONE)
    error = it.get("stderr")
    return Cell(number(it["value"], 3), f"± {number(error, 3)}" if is_finite(error) else "")


def _change(it: damage.TaskChange | None) -> Cell:
    return cell(None if it is None else it.change, share=True)


def _range(n: list[int]) -> str:
    return "–".join(f"{count:,}" for count in dict.fromkeys((n[0], n[-1]))) if n else NONE
