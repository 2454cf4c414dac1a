"""Evaluate a run: measure its models, and write held_out.jsonl, samples.jsonl and, last, eval.json."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kto_recipes.evaluate.bootstrap import RESAMPLES
from kto_recipes.evaluate.definitions import DEFINITIONS, INTERVAL, STYLE_CLASSIFIER
from kto_recipes.evaluate.lines import held_out_lines, sample_lines
from kto_recipes.evaluate.measure import EvalSettings
from kto_recipes.evaluate.measured import Asked, Found, measure
from kto_recipes.evaluate.models import RunModels, run_models
from kto_recipes.evaluate.result import beta_of, figures_of, missing_of
from kto_recipes.evaluate.style import NoStyleError, StyleClassifier, persona_rows, style_classifier
from kto_recipes.files import model_sha256, read_json, sha256, write_json
from kto_recipes.kept import KeptParts
from kto_recipes.progress import StartTask
from kto_recipes.rows import KtoRow, read_kto, write_jsonl

_VERSIONED = ("kto-recipes", "axolotl", "trl", "transformers", "peft", "torch", "scikit-learn")
RESULT, HELD_OUT, SAMPLES = "eval.json", "held_out.jsonl", "samples.jsonl"
PARTS = "eval"  # the folder of what was measured, by part


def evaluate_run(run: Path, settings: EvalSettings, start_task: StartTask) -> bool:
    """Write `run`/held_out.jsonl, samples.jsonl and eval.json; False when they were current already.

    What cannot be measured is named in eval.json under "missing", and the rest is measured. A run that was killed goes
    on after the last part that it kept in `run`/eval, and ends with the same figures.

    Args:
        run: the run's folder.
        settings: how much is sampled.
        start_task: called with a name and an amount of work; answers what to call as work is done.

    Raises:
        UserError: when a stage of the run has not finished, or its rows are not what they must be.
    """
    models = run_models(run)
    rows_path = _held_out_path(models.recipe)
    inputs = eval_inputs(models, rows_path, settings)
    if _is_current(run, inputs):
        (run / RESULT).touch()  # for make, which goes by the clock
        return False
    rows = read_kto(rows_path) if rows_path.is_file() else []
    if rows:
        result = _evaluated(run, models, rows, rows_path, settings, start_task)
    else:
        result = _nothing_held_out(run, models, rows_path)
    write_json(
        run / RESULT,
        {
            "run": run.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in _VERSIONED},
            "settings": {**asdict(settings), "beta": beta_of(models.recipe), "resamples": RESAMPLES},
            "definitions": {**DEFINITIONS, "interval": INTERVAL, "style_classifier": STYLE_CLASSIFIER},
            **result,
            "inputs": inputs,
        },
    )
    return True


def eval_inputs(models: RunModels, rows: Path, settings: EvalSettings) -> dict[str, Any]:
    """What eval.json depends on, by content."""
    return {
        "models": {name: model_sha256(path) for name, path in models.paths.items()},
        "rows": sha256(rows) if rows.is_file() else None,
        "beta": beta_of(models.recipe),
        "settings": asdict(settings),
        "definitions": DEFINITIONS,
        "version": version("kto-recipes"),
    }


def _held_out_path(recipe: dict[str, Any]) -> Path:
    """The file of held-out rows; where the recipe names none, the place where it would be."""
    entries = recipe.get("test_datasets") or [{"path": Path(recipe["output_dir"]).parent / "data" / "kto.eval.jsonl"}]
    return Path(entries[0]["path"])


def _is_current(run: Path, inputs: dict[str, Any]) -> bool:
    if not all((run / name).is_file() for name in (RESULT, HELD_OUT, SAMPLES)):
        return False
    return read_json(run / RESULT).get("inputs") == inputs


def _evaluated(
    run: Path, models: RunModels, rows: list[KtoRow], rows_path: Path, settings: EvalSettings, start_task: StartTask
) -> dict[str, Any]:
    missing = {}
    try:
        train = persona_rows(rows_path.with_name("kto.train.jsonl"))
    except NoStyleError as reason:
        train, missing["style"] = [], str(reason)
    asked = Asked(models, rows, [row["prompt"] for row in train[: settings.style_train_prompts]], settings)
    found = measure(asked, KeptParts(run / PARTS), start_task)
    style = None
    try:
        style = _style(train, found, settings)
    except NoStyleError as reason:
        missing["style"] = str(reason)
    missing = {**missing_of(asked, found), **missing}
    result = figures_of(asked, found, style)
    write_jsonl(run / HELD_OUT, held_out_lines(asked, found))
    write_jsonl(run / SAMPLES, sample_lines(asked, found))
    return {**result, "missing": missing} if missing else result


def _style(train: Sequence[KtoRow], found: Found, settings: EvalSettings) -> StyleClassifier | None:
    if not train:
        return None
    if found.style_replies is None:
        raise NoStyleError("The base model did not reply, so that the style classifier could not be trained.")
    return style_classifier(train, found.style_replies, settings.seed)


def _nothing_held_out(run: Path, models: RunModels, rows_path: Path) -> dict[str, Any]:
    write_jsonl(run / HELD_OUT, [])
    write_jsonl(run / SAMPLES, [])
    why = (
        f"{rows_path} holds no row, so that nothing was measured: split some rows off (split.eval_fraction in "
        "dataset.yaml), name them under test_datasets in kto.yaml, and evaluate again."
    )
    nothing = {key: {} for key in ("differences", "by_strategy", "by_source")}
    return {
        "reference": models.reference,
        "models": {name: {} for name in models.paths},
        **nothing,
        "missing": {"held_out": why},
    }
