"""What the doctor looks at: a recipe, a dataset and a run, and each stage's recipe as the run will have it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.prepare.manifest import read_manifest
from kto_recipes.recipe import load_recipe, recipe_header
from kto_recipes.recipe.checks import allowed_checks
from kto_recipes.recipe.results import Result, read_results, results_file
from kto_recipes.rows import KtoRow, SftRow, prompt_key, read_kto, read_sft
from kto_recipes.stages.run_files import filled, weights

SPLITS = ("train", "eval")


@dataclass(frozen=True)
class Plan:
    """Folders of the recipe, the prepared dataset and the run; GPUs to train on; dollars an hour, if known."""

    recipe: Path
    dataset: Path
    run: Path
    gpus: int = 1
    price: float | None = None

    @property
    def folder(self) -> Path:
        """Where the doctor writes."""
        return self.run / "doctor"

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """The recipe's stages in their order, `sft` where it has one and `kto`, as its files say."""
        paths = {stage: self.recipe / f"{stage}.yaml" for stage in ("sft", "kto")}
        return {stage: load_recipe(path) for stage, path in paths.items() if stage == "kto" or path.is_file()}

    @property
    def base_model(self) -> str:
        """The model that the first stage starts from."""
        return str(next(iter(self.stages.values())).get("base_model"))

    @property
    def header(self) -> dict[str, str]:
        return recipe_header(self.recipe / "kto.yaml")

    @property
    def allowed(self) -> list[str]:
        """The checks that kto.yaml accepts knowingly."""
        return allowed_checks(self.stages["kto"])

    def start_model(self, stage: str) -> str:
        """The model a stage can start from now: for KTO the SFT model where it is made already, else the base."""
        if stage == "kto" and "sft" in self.stages:
            made = self.run / "sft" / ("merged" if self.stages["sft"].get("adapter") else "")
            if (made / "done").is_file():
                return str(made)
        return self.base_model

    def data_folder(self, stage: str) -> Path | None:
        """Where the stage's rows are; None where KTO's undesirable answers are not made yet."""
        if stage == "sft":
            return self.dataset
        folders = (self.run / "data", self.dataset)
        return next((folder for folder in folders if (folder / "kto.train.jsonl").is_file()), None)

    def write_filled(self, stage: str, data: Path) -> Path:
        """Write the stage's recipe with its edit block filled in for the rows in the folder `data`.

        It differs from what the run will train in `base_model` alone, where the SFT model is not made yet.
        """
        values: dict[str, Any] = {
            "base_model": self.start_model(stage),
            "datasets": data / f"{stage}.train.jsonl",
            "dataset_prepared_path": self.folder / stage / "prepared",
            "output_dir": self.folder / stage / "output",
        }
        if self.stages[stage].get("test_datasets"):
            values["test_datasets"] = data / f"{stage}.eval.jsonl"
        if stage == "kto":
            values |= _suggested_weights(data)
        path = self.folder / f"{stage}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(self.recipe / f"{stage}.yaml", values), encoding="utf-8")
        return path

    def results(self) -> list[Result]:
        """What was measured of the recipe."""
        path = results_file(self.recipe.parent, self.recipe.name)
        return read_results(path) if path.is_file() else []

    def sft_rows(self) -> list[SftRow]:
        return read_sft(self.dataset / "sft.train.jsonl")

    def kto_rows(self) -> list[KtoRow]:
        """The rows to train on; where the undesirable ones are not made yet, other prompts' good answers stand in."""
        data = self.data_folder("kto")
        return (
            read_kto(data / "kto.train.jsonl") if data else stand_ins(read_kto(self.dataset / "positives.train.jsonl"))
        )


def stand_ins(positives: list[KtoRow]) -> list[KtoRow]:
    """`positives` as desirable rows, and as undesirable ones the same answers under the next prompt.

    Good enough to see whether training runs and how much it needs, and for nothing else.

    Raises:
        UserError: when all rows answer one prompt.
    """
    if len({prompt_key(row) for row in positives}) < 2:
        raise UserError("fewer than two prompts; no answer can stand in for another's")
    rotated = [*positives[1:], *positives[:1]]
    wrong = [
        KtoRow(prompt=row["prompt"], completion=other["completion"], label=False, meta=row["meta"])
        for row, other in zip(positives, rotated, strict=True)
    ]
    return [*positives, *wrong]


def _suggested_weights(data: Path) -> dict[str, float]:
    """What the manifest beside the rows suggests; nothing where there is none."""
    manifest = read_manifest(data) if (data / "manifest.json").is_file() else {}
    return weights(manifest) if manifest.get("weights") else {}
