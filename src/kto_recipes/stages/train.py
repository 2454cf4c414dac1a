"""A training stage that is done once, by content: Axolotl, watched and resumed.

The stage's folder holds inputs.json (what it was made from), train.log (Axolotl's output) and, written last,
`done`. The same inputs resume from the last whole checkpoint; other inputs move the folder aside first,
because Axolotl itself would resume into it and save the old model as the new one.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from kto_recipes.doctor.access import names_a_folder, refuse_no_access
from kto_recipes.doctor.first_pass import refuse_errors
from kto_recipes.errors import UserError
from kto_recipes.files import model_sha256, read_json, sha256, write_json, write_text
from kto_recipes.recipe import load_recipe
from kto_recipes.stages.axolotl import refuse_failure, start_axolotl
from kto_recipes.stages.checkpoints import TRAINER_STATE, last_whole, state_of
from kto_recipes.stages.invariant import check_first_step

DONE, INPUTS, LOG, METRICS = "done", "inputs.json", "train.log", "metrics.jsonl"
_POLL_SECONDS = 0.2


def train_stage(yaml: Path, on_log: Callable[[dict[str, Any]], None]) -> str:
    """Train what `yaml` says, unless that was done already; the answer says what was done.

    `on_log` gets each of the trainer's logs as it is made: step, max_steps, loss and the rest.

    Raises:
        UserError: for a recipe or data that would go wrong, missing data, or a training that failed.
    """
    refuse_errors(yaml)
    recipe = load_recipe(yaml)
    stage = Path(recipe["output_dir"])
    inputs = stage_inputs(yaml, recipe)
    if stage.is_dir() and any(stage.iterdir()) and _recorded_inputs(stage) != inputs:
        print(f"{stage}: made from other inputs; kept as {_move_aside(stage)}")
    if (stage / DONE).is_file():
        (stage / DONE).touch()
        return "was done already"
    refuse_no_access(str(recipe["base_model"]))
    stage.mkdir(parents=True, exist_ok=True)
    write_json(stage / INPUTS, inputs)
    checkpoint = last_whole(stage)
    how = "trained"
    if checkpoint is not None and _is_final(checkpoint):
        _finish_from(checkpoint, stage)
        how = f"taken from {checkpoint.name}, its last step"
    else:
        if checkpoint is not None:
            how = f"resumed from {checkpoint.name}"
        _run_axolotl(yaml, recipe, on_log)
    if recipe.get("rl") == "kto":
        check_first_step(state_of(stage)["log_history"], recipe)
    write_text(stage / DONE, f"{state_of(stage)['global_step']} steps\n")
    return how


def stage_inputs(yaml: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """What a stage's result depends on, by content."""
    data = {}
    for entry in [*(recipe.get("datasets") or []), *(recipe.get("test_datasets") or [])]:
        path = Path(entry["path"])
        if path.suffix and not path.is_file():
            raise UserError(f"{yaml}: {path}: no such file; prepare the data first")
        data[str(path)] = sha256(path) if path.is_file() else entry.get("revision", "a Hub dataset")
    base = str(recipe["base_model"])
    if names_a_folder(base) and not Path(base).is_dir():
        raise UserError(f"{yaml}: base_model {base}: no such folder; run the stage before this one first")
    return {"yaml": sha256(yaml), "data": data, "base_model": model_sha256(base)}


def _recorded_inputs(stage: Path) -> dict[str, Any] | None:
    """What a stage says it was made from; None where it does not say, as after `axolotl train` by hand."""
    return read_json(stage / INPUTS) if (stage / INPUTS).is_file() else None


def _move_aside(stage: Path) -> Path:
    number = 1
    while (aside := stage.with_name(f"{stage.name}.old-{number}")).exists():
        number += 1
    stage.rename(aside)
    return aside


def _is_final(checkpoint: Path) -> bool:
    state = state_of(checkpoint)
    return state["global_step"] >= state["max_steps"]


def _finish_from(checkpoint: Path, stage: Path) -> None:
    """Make a finished stage of its final checkpoint: resuming there would train a step too many."""
    resume_only = ("optimizer", "scheduler", "rng_state", "training_args")
    for path in checkpoint.iterdir():
        if path.is_file() and not path.name.startswith(resume_only):
            shutil.copy2(path, stage / path.name)


def _run_axolotl(yaml: Path, recipe: dict[str, Any], on_log: Callable[[dict[str, Any]], None]) -> None:
    stage = Path(recipe["output_dir"])
    metrics = stage / METRICS
    seen = metrics.stat().st_size if metrics.is_file() else 0
    with (stage / LOG).open("ab") as log:
        process = start_axolotl(["train", str(yaml), *_launcher()], recipe, log)
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                seen = _pass_on(metrics, seen, on_log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    _pass_on(metrics, seen, on_log)
    if process.returncode != 0 or not (stage / TRAINER_STATE).is_file():
        refuse_failure(f"axolotl train {yaml}", process.returncode, stage / LOG)


def _launcher() -> list[str]:
    """One process without a launcher; several GPUs go through accelerate, which Axolotl starts by itself."""
    gpus = os.environ.get("GPUS", "1")
    return ["--launcher", "python"] if gpus == "1" else ["--launcher", "accelerate", "--", f"--num_processes={gpus}"]


def _pass_on(metrics: Path, seen: int, on_log: Callable[[dict[str, Any]], None]) -> int:
    """Hand the whole lines after byte `seen` to `on_log`; the answer is where to go on.

    A value that is no number (JSON has no NaN) is left out: a diverged loss shows in the log and the invariant.
    """
    if not metrics.is_file():
        return seen
    with metrics.open("rb") as file:
        file.seek(seen)
        for line in file:
            if not line.endswith(b"\n"):
                break
            seen += len(line)
            on_log({key: value for key, value in orjson.loads(line).items() if value is not None})
    return seen
