"""What a card tells of the evaluation: the report's own tables, as Markdown, and what was not measured."""

from collections.abc import Callable, Iterable
from typing import Any

from kto_recipes.card.data import STRATEGIES
from kto_recipes.report import judged, metrics, verdict
from kto_recipes.report.inputs import Run
from kto_recipes.report.metrics import Cell, Table

Clean = Callable[[str], str]


def results(run: Run, clean: Clean) -> dict[str, Any]:
    """Everything a card says of how good the model is; free texts go through `clean`."""
    evaluation = run.evaluation
    return {
        "verdict": clean(verdict.judge_run(evaluation, run.judges, run.regression).sentence),
        "table": _figures(evaluation) if evaluation and evaluation.get("models") else None,
        "definitions": _definitions(evaluation or {}, clean),
        "strategies": _strategies(evaluation or {}),
        "judges": [_judge(view, clean) for view in judged.judge_views(run.judges)],
        "regression": _regression(run, clean),
        "missing": [clean(sentence) for sentence in _missing(run)],
    }


def markdown(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of GitHub's Markdown."""
    lines = [list(columns), *map(list, rows)]
    cells = [[escaped(cell) for cell in line] for line in lines]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def escaped(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or the Hub's page takes for more than text."""
    plain = " ".join(str(text).split())
    for mark in "\\`|[]<":
        plain = plain.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return plain


def _cell(it: Cell) -> str:
    return f"{it.value} {it.interval}".strip()


def _figures(evaluation: dict[str, Any]) -> str:
    table: Table = metrics.comparison(evaluation)
    rows = [
        (f"{row.label}, {row.unit}" if row.unit else row.label, *map(_cell, row.cells), row.n) for row in table.rows
    ]
    return markdown(("", *table.columns, "n"), rows)


def _definitions(evaluation: dict[str, Any], clean: Clean) -> list[str]:
    definitions = evaluation.get("definitions")
    if not isinstance(definitions, dict):
        return []
    labels = {metric.key: metric.label for metric in metrics.metrics_of(evaluation)}
    labels |= {"interval": "Intervals", "style_classifier": "Style classifier", "z0": "z0"}
    return [f"**{labels[key]}**: {escaped(clean(str(text)))}" for key, text in definitions.items() if key in labels]


def _strategies(evaluation: dict[str, Any]) -> str | None:
    found = metrics.as_dict(evaluation.get("by_strategy"))
    groups = {name: it for name, it in found.items() if name in STRATEGIES}
    if not groups:
        return None
    table = metrics.by_group(groups)
    return markdown(("", *table.columns, "n"), [(row.label, *map(_cell, row.cells), row.n) for row in table.rows])


def _judge(view: dict[str, Any], clean: Clean) -> dict[str, Any]:
    rows = [(against, *map(_cell, cells)) for against, cells in view["rows"]]
    prompt = dict(view["facts"]).get("Prompt version", "")
    return {
        "title": escaped(clean(view["title"])),
        "prompt": escaped(clean(prompt)),
        "table": markdown(("", *judged.COLUMNS), rows) if rows else None,
        "missing": [escaped(clean(why)) for why in view["missing"]],
    }


def _regression(run: Run, clean: Clean) -> str | None:
    view = judged.regression_view(run.regression, run.evaluation)
    if view is None or not view["rows"]:
        return None
    rows = [(clean(task), metric, *map(_cell, cells), n) for task, metric, cells, n in view["rows"]]
    return markdown(("task", "metric", *view["columns"], "n"), rows)


def _missing(run: Run) -> list[str]:
    """What was not measured, in sentences."""
    found = [f"{name} cannot be read." for name in run.unread if not name.endswith("manifest.json")]
    if run.evaluation is None:
        found.append("Rewards, KL, length, repetition and style on held-out rows: this run was not evaluated.")
    else:
        found += _sentences(run.evaluation)
    if not run.judges:
        found.append(
            "Win rate: no judge, model or person, has compared its replies with those of the models before it."
        )
    if run.regression is None:
        found.append("Other abilities: no tasks were run before and after.")
    else:
        found += _sentences(run.regression)
    return found


def _sentences(source: dict[str, Any]) -> list[str]:
    missing = source.get("missing")
    return [str(why) for why in missing.values()] if isinstance(missing, dict) else []
