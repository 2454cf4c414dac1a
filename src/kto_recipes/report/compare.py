"""Several runs side by side: what was set differently, what came of it, and what forbids the comparison."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.report import curves, health, judged, metrics, tables
from kto_recipes.report.figures import figure
from kto_recipes.report.inputs import Run, read_run
from kto_recipes.report.metrics import NONE, Cell, Row, Table
from kto_recipes.report.verdict import judge_run

COLOURS = 8  # of runs in a plot; more begin anew
_DRAWN = ("kto-margin", "kto-loss", "kto-kl")
_PLACES = ("output_dir", "dataset_prepared_path")  # differ in every run and say nothing


def read_runs(names: Iterable[str], outputs: Path = Path("outputs")) -> list[Run]:
    """The runs of `names`, each a folder or the name of one in `outputs`, once each.

    Raises:
        UserError: when one of them is no run, or fewer than two are left.
    """
    folders = {}
    for name in names:
        folder = Path(name) if Path(name).is_dir() else outputs / name
        folders[folder.resolve()] = folder
    if len(folders) < 2:
        raise UserError('a comparison needs two runs or more (make compare RUNS="a b")')
    runs = [read_run(folder) for folder in folders.values()]
    if len({run.name for run in runs}) < len(runs):
        for run, folder in zip(runs, folders.values(), strict=True):
            run.name = str(folder)
    return runs


# --- what differs -----------------------------------------------------------------------------------------


def settings(runs: list[Run]) -> Table:
    """The settings of the recipes that are not the same in all runs that have the recipe, and data that are not."""
    of_runs = [_settings(run) for run in runs]
    rows = []
    for key in dict.fromkeys(key for found in of_runs for key in found):
        stage = key.partition(" ")[0]
        having = [found for run, found in zip(runs, of_runs, strict=True) if stage == "data" or stage in run.settings]
        if len({found.get(key, NONE) for found in having}) > 1:
            rows.append(Row(key, "", [Cell(found.get(key, NONE)) for found in of_runs], ""))
    return Table([run.name for run in runs], rows)


def _settings(run: Run) -> dict[str, str]:
    """`kto rl_beta` → "0.1"; a path inside the run is written as outputs/<run>, so that only the rest counts."""
    found = {}
    for stage, values in run.settings.items():
        for key, value in tables.flatten({key: it for key, it in values.items() if key not in _PLACES}):
            found[f"{stage} {key}"] = value.replace(f"outputs/{run.name}/", "outputs/<run>/")
    for file, about in ((run.data or {}).get("written") or {}).items():
        found[f"data {file}"] = f"{about.get('rows', NONE)} rows, {str(about.get('sha256', NONE))[:12]}"
    return found


# --- what came of it ----------------------------------------------------------------------------------------


def figures(runs: list[Run]) -> Table:
    """KTO's figures, rows = measures, columns = runs; then win rates and the regression check."""
    rows = []
    evaluations = [run.evaluation or {} for run in runs]
    known = {metric.key: metric for evaluation in evaluations for metric in metrics.metrics_of(evaluation)}
    for metric in known.values():
        found = [((it.get("models") or {}).get("kto") or {}).get(metric.key) for it in evaluations]
        found = [it if isinstance(it, dict) else None for it in found]
        cells = [metrics.cell(it, metric.share) for it in found]
        rows.append(Row(metric.label, metric.unit, cells, metrics.counted(found)))
    return Table([run.name for run in runs], [*rows, *_win_rates(runs), *_scores(runs)])


def _win_rates(runs: list[Run]) -> list[Row]:
    pairs = {}
    for run in runs:
        for name, judge in run.judges.items():
            for against, it in metrics.as_dict(judge.get("compared")).items():
                rate = figure(it.get("win_rate")) if isinstance(it, dict) else None
                if rate is not None:
                    pairs.setdefault((judge.get("judge") or name, against), {})[run.name] = rate
    rows = []
    for (judge, against), rates in pairs.items():
        cells = [judged.rate_cell(rates.get(run.name)) for run in runs]
        label = f"Win rate over {'SFT' if against == 'kto-sft' else 'base'}, {judge}"
        rows.append(Row(label, "%", cells, metrics.counted(rates.values())))
    return rows


def _scores(runs: list[Run]) -> list[Row]:
    views = [judged.regression_view(run.regression, run.evaluation) for run in runs]
    found: dict[tuple[str, str], dict[int, tuple[Cell, str]]] = {}
    for i, view in enumerate(views):
        if view is None or "after KTO" not in view["columns"]:
            continue
        at = view["columns"].index("after KTO")
        for task, metric, cells, n in view["rows"]:
            found.setdefault((task, metric), {})[i] = (cells[at], n)
    rows = []
    for (task, metric), at in found.items():
        cells = [at[i][0] if i in at else Cell(NONE) for i in range(len(runs))]
        rows.append(Row(f"{task}, {metric}", "", cells, next(iter(at.values()))[1]))
    return rows


def verdicts(runs: list[Run]) -> list[dict[str, str]]:
    found = []
    for run in runs:
        verdict = judge_run(run.evaluation, run.judges, run.regression)
        checkup = health.check_up(health.patient_of(run.states, run.settings, run.evaluation, run.empty))
        ill = [note.symptom for note in checkup.notes if note.level == "ill"]
        found.append({"run": run.name, "verdict": verdict.sentence, "ill": "; ".join(ill)})
    return found


# --- what forbids the comparison, and what is missing -----------------------------------------------------------


def warnings(runs: list[Run]) -> list[str]:
    """Why figures may not be compared, one sentence each, and what each run lacks."""
    found = []
    if _differ(runs, lambda it: (it.get("inputs") or {}).get("rows")):
        found.append(
            "The runs were evaluated on different held-out rows: their figures cannot be compared. Evaluate them on "
            "the same ones (the same kto.eval.jsonl)."
        )
    if _differ(runs, lambda it: (it.get("settings") or {}).get("beta")):
        found.append(
            "The runs have different β, and rewards and margins are multiples of it: compare AUC, KL, style and win "
            "rates, not rewards."
        )
    if _differ(runs, _reference_model):
        found.append(
            "KTO began at different models: rewards and KL are measured from where each run began, so they do not say "
            "which run ended better."
        )
    sampling = ("samples_per_prompt", "max_new_tokens", "seed")
    if _differ(runs, lambda it: str([(it.get("settings") or {}).get(key) for key in sampling])):
        found.append("The runs were evaluated with other settings: lengths, KL and style are not quite comparable.")
    return found + [f"{run.name}: {text}" for run in runs for text in _lacks(run)]


def _differ(runs: list[Run], value: Callable[[dict[str, Any]], Any]) -> bool:
    """Whether a value is not the same in all evaluations that have it."""
    found = [value(run.evaluation) for run in runs if run.evaluation]
    return len({it for it in found if it is not None}) > 1


def _reference_model(evaluation: dict[str, Any]) -> Any:
    models = (evaluation.get("inputs") or {}).get("models") or {}
    return models.get(evaluation.get("reference") or "sft") if isinstance(models, dict) else None


def _lacks(run: Run) -> list[str]:
    lacks = [f"{name} cannot be read: {why}." for name, why in run.unread.items()]
    if run.evaluation is None and "eval.json" not in run.unread:
        lacks.append("eval.json is missing, so this run has no figures (make eval).")
    state = run.states.get("kto")
    if state is None:
        lacks.append("KTO left no log, so there are no curves.")
    elif state.get("is_cut_short"):
        lacks.append("KTO's training was stopped, or still runs.")
    missing = (run.evaluation or {}).get("missing") or {}
    return lacks + [str(why) for why in missing.values()]


# --- curves -----------------------------------------------------------------------------------------------------


def plots(runs: list[Run]) -> list[dict[str, Any]]:
    """Margin, loss and KL of all runs; a run's training is drawn without a name where its evaluations have one."""
    of_runs = {run.name: {it["id"]: it for it in curves.plots_of("kto", run.states.get("kto") or {})} for run in runs}
    found = []
    for id in _DRAWN:
        series = []
        for i, drawn in enumerate(of_runs.values()):
            series += _named(drawn[id]["series"], runs[i].name, f"run-{i % COLOURS}")
        plot = next(iter(of_runs.values()))[id]
        notes = [] if series else ["No run has logged it."]
        found.append(plot | {"series": series, "notes": notes})
    return found


def _named(series: list[dict[str, Any]], run: str, role: str) -> list[dict[str, Any]]:
    evaluated = any(it["split"] == "evaluation" and len(it["x"]) > 1 for it in series)
    return [it | {"name": run, "role": role, "is_unnamed": evaluated and it["split"] == "train"} for it in series]
