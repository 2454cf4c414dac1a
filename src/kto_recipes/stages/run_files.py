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
        text = _filled(run.recipe / "sft.yaml", _sft_values(run))
        if write_text_if_changed(run.folder / "sft.yaml", text):
            written.append(run.folder / "sft.yaml")
    text = _filled(run.recipe / "kto.yaml", _kto_values(run))
    if write_text_if_changed(run.folder / "kto.yaml", text):
        written.append(run.folder / "kto.yaml")
    return written


def _sft_values(run: Run) -> dict[str, Any]:
    values = _data_values(run, "sft", run.dataset, read_manifest(run.dataset))
    return {**values, "output_dir": run.folder / "sft"}


def _kto_values(run: Run) -> dict[str, Any]:
    manifest = read_manifest(run.folder / "data")
    values = _data_values(run, "kto", run.folder / "data", manifest)
    values["output_dir"] = run.folder / "kto"
    values["kto_desirable_weight"] = manifest["weights"]["desirable"]
    values["kto_undesirable_weight"] = manifest["weights"]["undesirable"]
    if run.has_sft:
        is_adapter = "adapter" in load_recipe(run.recipe / "sft.yaml")
        values["base_model"] = run.folder / "sft" / "merged" if is_adapter else run.folder / "sft"
    return values


def _data_values(run: Run, kind: str, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """The lines that name data. The prepared folder's name is the data's content: Axolotl's own cache key has
    none, so the same path with new rows would be answered with the old ones."""
    names = {split: f"{kind}.{split}.jsonl" for split in ("train", "eval")}
    content = sha256_text("".join(manifest["written"][name]["sha256"] for name in names.values()))
    return {
        "datasets": folder / names["train"],
        "test_datasets": folder / names["eval"],
        "dataset_prepared_path": run.folder / "prepared" / content,
    }


def _filled(recipe: Path, values: dict[str, Any]) -> str:
    try:
        return fill_block(recipe.read_text(encoding="utf-8"), {key: str(value) for key, value in values.items()})
    except UserError as error:
        raise UserError(f"{recipe}: {error}") from None
