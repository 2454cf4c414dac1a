"""A run's sft.yaml and kto.yaml: the recipe, verbatim but for its edit block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.files import sha256_text, write_text_if_changed
from kto_recipes.prepare.manifest import read_manifest
from kto_recipes.recipe import fill_block, load_recipe


@dataclass(frozen=True)
class Run:
    """Where a run finds its parts; every path is as it will stand in the YAML."""

    recipe: Path
    dataset: Path
    folder: Path

    @property
    def has_sft(self) -> bool:
        return (self.recipe / "sft.yaml").is_file()


def write_run_files(run: Run) -> list[Path]:
    """Write the run's YAML files where their content changed; the answer is which were written.

    Raises:
        UserError: when the dataset or the run's KTO data was not prepared yet.
    """
    written = []
    if run.has_sft:
        text = filled(run.recipe / "sft.yaml", _sft_values(run))
        if write_text_if_changed(run.folder / "sft.yaml", text):
            written.append(run.folder / "sft.yaml")
    text = filled(run.recipe / "kto.yaml", _kto_values(run))
    if write_text_if_changed(run.folder / "kto.yaml", text):
        written.append(run.folder / "kto.yaml")
    return written


def places(run: Run, kind: str) -> dict[str, Path]:
    """The lines of `kind`.yaml's edit block that are known before there is any data: where things lie.

    `kind` is sft or kto; the base model is among them only where it is the run's own SFT model.
    """
    data = run.dataset if kind == "sft" else run.folder / "data"
    values = {
        "datasets": data / f"{kind}.train.jsonl",
        "test_datasets": data / f"{kind}.eval.jsonl",
        "dataset_prepared_path": run.folder / "prepared",
        "output_dir": run.folder / kind,
    }
    if kind == "kto" and run.has_sft:
        is_adapter = "adapter" in load_recipe(run.recipe / "sft.yaml")
        values["base_model"] = run.folder / "sft" / "merged" if is_adapter else run.folder / "sft"
    return values


def weights(manifest: dict[str, Any]) -> dict[str, float]:
    """The class weights that a manifest suggests, by their keys in the edit block of kto.yaml."""
    return {f"kto_{name}_weight": manifest["weights"][name] for name in ("desirable", "undesirable")}


def filled(recipe: Path, values: dict[str, Any]) -> str:
    """The text of the file `recipe` with `values` in its edit block.

    Raises:
        UserError: naming the file, when it has no such block or no line for one of the values.
    """
    try:
        return fill_block(recipe.read_text(encoding="utf-8"), {key: str(value) for key, value in values.items()})
    except UserError as error:
        raise UserError(f"{recipe}: {error}") from None


def _sft_values(run: Run) -> dict[str, Any]:
    return _with_content(places(run, "sft"), read_manifest(run.dataset))


def _kto_values(run: Run) -> dict[str, Any]:
    manifest = read_manifest(run.folder / "data")
    return {**_with_content(places(run, "kto"), manifest), **weights(manifest)}


def _with_content(values: dict[str, Path], manifest: dict[str, Any]) -> dict[str, Any]:
    """`values` with the data's content in the prepared folder's name: Axolotl's own cache key has none, so the
    same path with new rows would be answered with the old ones."""
    names = [values[key].name for key in ("datasets", "test_datasets")]
    content = sha256_text("".join(manifest["written"][name]["sha256"] for name in names))
    return {**values, "dataset_prepared_path": values["dataset_prepared_path"] / content}
