"""A person's own copy of a recipe, with the edit block that its run will have."""

import re
import shutil
from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.files import read_json
from kto_recipes.recipe.results import NOT_MEASURED
from kto_recipes.recipe.text import with_header
from kto_recipes.stages.run_files import Run, filled, places, weights

_RESERVED = ("deepspeed", "results")  # folders of recipes/ that hold no recipe
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def copy_recipe(source: str, dataset: str, name: str) -> Path:
    """Copy the recipe folder `source` to `name`, filled in for the run of `name` on `dataset`; the answer is it.

    All three are names of folders, in recipes/ and datasets/ below the working directory. Class weights are those
    of the dataset's manifest, or 1.0 where none has any yet.

    Raises:
        UserError: when one of them cannot be, with what it could be. Nothing is left half-written.
    """
    _refuse_unknown("recipe", "FROM", source, [path.parent.name for path in Path("recipes").glob("*/kto.yaml")])
    known = [path.parent.name for path in Path("datasets").glob("*/dataset.yaml")]
    _refuse_unknown("dataset", "DATASET", dataset, known)
    run = Run(Path("recipes", source), Path("datasets", dataset), Path("outputs", f"{name}--{dataset}"))
    target = Path("recipes", name)
    _refuse_name(name, target, has_sft=run.has_sft)
    partial = target.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for kind in ("sft", "kto") if run.has_sft else ("kto",):
            (partial / f"{kind}.yaml").write_text(_copied(run, kind, name), encoding="utf-8")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _copied(run: Run, kind: str, name: str) -> str:
    recipe = run.recipe / f"{kind}.yaml"
    values = {**places(run, kind), **(_weights(run) if kind == "kto" else {})}
    after = ", after SFT" if kind == "kto" and run.has_sft else ""
    header = {
        "Data": f"{run.dataset.name}, see {run.dataset}/dataset.yaml",
        "Run": f"make {kind} RECIPE={name} DATASET={run.dataset.name}"
        f"        (or: axolotl train recipes/{name}/{kind}.yaml{after})",
        "Measured": NOT_MEASURED,
    }
    text = filled(recipe, values)
    try:
        return with_header(text, header)
    except UserError as error:
        raise UserError(f"{recipe}: {error}") from None


def _weights(run: Run) -> dict[str, float]:
    for folder in (run.folder / "data", run.dataset):
        manifest = read_json(folder / "manifest.json") if (folder / "manifest.json").is_file() else {}
        if manifest.get("weights"):
            return weights(manifest)
    return {"kto_desirable_weight": 1.0, "kto_undesirable_weight": 1.0}


def _refuse_unknown(kind: str, variable: str, name: str, known: list[str]) -> None:
    if name not in known:
        said = f'there is no {kind} "{name}"' if name else f"no {kind} is named"
        raise UserError(f"{said}; {variable}= is one of: {', '.join(sorted(known)) or 'none yet'}")


def _refuse_name(name: str, target: Path, *, has_sft: bool) -> None:
    if not _PLAIN.fullmatch(name) or name in _RESERVED:
        raise UserError(
            f'"{name}" cannot be the name of a recipe; NAME= is letters, digits, ".", "_" and "-", begins with a '
            f"letter or digit, and is not one of: {', '.join(_RESERVED)}"
        )
    if name.endswith("-nosft") == has_sft:
        is_not = "has an sft.yaml, so NAME= must not end" if has_sft else "has no sft.yaml, so NAME= must end"
        raise UserError(f'"{name}": the recipe {is_not} in -nosft')
    if target.exists():
        raise UserError(f"{target} is there already and is never overwritten; choose another NAME= or delete it first")
