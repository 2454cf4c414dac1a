"""A run's YAML files: the recipe but for its edit block, written only when their content changes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import REPO

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, sha256_text, write_json
from kto_recipes.stages.run_files import Run, write_run_files

LONG_AGO = 1_000_000_000
SETTINGS = ("base_model", "datasets", "test_datasets", "dataset_prepared_path", "output_dir")


def set_content(folder: Path, name: str, content: str) -> None:
    """Record in a folder's manifest that the data file `name` holds `content`."""
    path = folder / "manifest.json"
    manifest = (
        read_json(path) if path.is_file() else {"written": {}, "weights": {"desirable": 1.25, "undesirable": 1.0}}
    )
    manifest["written"][name] = {"sha256": sha256_text(content)}
    write_json(path, manifest)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose paths are relative, as the Makefile gives them."""
    monkeypatch.chdir(tmp_path)
    run = Run(REPO / "recipes" / "tiny-llama-lora", Path("datasets/chats"), Path("outputs/mine"))
    for split in ("train", "eval"):
        set_content(run.dataset, f"sft.{split}.jsonl", split)
        set_content(run.folder / "data", f"kto.{split}.jsonl", split)
    return run


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def age(run: Run) -> None:
    for path in run.folder.glob("*.yaml"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def ages(run: Run) -> dict[str, bool]:
    """For each of the run's files whether it is still as old as `age` made it."""
    return {path.stem: path.stat().st_mtime == LONG_AGO for path in run.folder.glob("*.yaml")}


def test_both_files_are_written_and_name_the_runs_own_places(run: Run) -> None:
    assert write_run_files(run) == [run.folder / "sft.yaml", run.folder / "kto.yaml"]
    sft, kto = load(run.folder / "sft.yaml"), load(run.folder / "kto.yaml")
    assert sft["datasets"][0]["path"] == "datasets/chats/sft.train.jsonl"
    assert sft["test_datasets"][0]["path"] == "datasets/chats/sft.eval.jsonl"
    assert sft["output_dir"] == "outputs/mine/sft"
    assert kto["datasets"][0]["path"] == "outputs/mine/data/kto.train.jsonl"
    assert kto["test_datasets"][0]["path"] == "outputs/mine/data/kto.eval.jsonl"
    assert kto["output_dir"] == "outputs/mine/kto"
    assert kto["base_model"] == "outputs/mine/sft/merged"


def test_sft_keeps_the_recipes_base_model(run: Run) -> None:
    write_run_files(run)
    assert load(run.folder / "sft.yaml")["base_model"] == load(run.recipe / "sft.yaml")["base_model"]


def test_the_weights_come_from_the_manifest_of_the_runs_data(run: Run) -> None:
    write_run_files(run)
    kto = load(run.folder / "kto.yaml")
    assert (kto["kto_desirable_weight"], kto["kto_undesirable_weight"]) == (1.25, 1.0)


@pytest.mark.parametrize("stage", ["sft", "kto"])
def test_a_run_differs_from_its_recipe_only_in_the_edit_block(run: Run, stage: str) -> None:
    write_run_files(run)
    recipe, written = ((f / f"{stage}.yaml").read_text(encoding="utf-8") for f in (run.recipe, run.folder))
    head, block, *rest = recipe.split("# --- ")
    written_head, written_block, *written_rest = written.split("# --- ")
    assert (written_head, written_rest) == (head, rest)
    pairs = list(zip(block.splitlines(), written_block.splitlines(), strict=True))
    changed = {old.strip().partition(":")[0] for old, new in pairs if old != new}
    assert changed <= {*SETTINGS, "kto_desirable_weight", "- path"}
    assert {"output_dir", "- path"} <= changed


def test_unchanged_files_are_not_touched(run: Run) -> None:
    write_run_files(run)
    age(run)
    assert write_run_files(run) == []
    assert ages(run) == {"sft": True, "kto": True}


@pytest.mark.parametrize(
    ("change", "rewritten"),
    [
        (lambda run: set_content(run.dataset, "sft.train.jsonl", "new"), "sft"),
        (lambda run: set_content(run.dataset, "sft.eval.jsonl", "new"), "sft"),
        (lambda run: set_content(run.folder / "data", "kto.train.jsonl", "new"), "kto"),
        (lambda run: set_content(run.folder / "data", "kto.eval.jsonl", "new"), "kto"),
    ],
)
def test_other_data_at_the_same_path_rewrite_one_file_with_another_prepared_folder(
    run: Run, change: Callable[[Run], None], rewritten: str
) -> None:
    write_run_files(run)
    before = load(run.folder / f"{rewritten}.yaml")
    age(run)
    change(run)
    assert write_run_files(run) == [run.folder / f"{rewritten}.yaml"]
    assert [name for name, old in ages(run).items() if not old] == [rewritten]
    after = load(run.folder / f"{rewritten}.yaml")
    assert after.pop("dataset_prepared_path") != before.pop("dataset_prepared_path")
    assert after == before


def test_the_prepared_folder_returns_with_the_content(run: Run) -> None:
    write_run_files(run)
    first = (run.folder / "sft.yaml").read_bytes()
    set_content(run.dataset, "sft.train.jsonl", "new")
    write_run_files(run)
    set_content(run.dataset, "sft.train.jsonl", "train")
    write_run_files(run)
    assert (run.folder / "sft.yaml").read_bytes() == first


def test_an_edited_run_file_is_written_again(run: Run) -> None:
    write_run_files(run)
    path = run.folder / "kto.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("rl_beta: 0.1", "rl_beta: 0.3"), encoding="utf-8")
    assert write_run_files(run) == [path]
    assert load(path)["rl_beta"] == 0.1


def copied_recipe(run: Run, folder: Path, *stages: str) -> Run:
    folder.mkdir()
    for stage in stages:
        (folder / f"{stage}.yaml").write_bytes((run.recipe / f"{stage}.yaml").read_bytes())
    return Run(folder, run.dataset, run.folder)


def test_without_sft_kto_starts_from_the_recipes_base_model(run: Run, tmp_path: Path) -> None:
    run = copied_recipe(run, tmp_path / "tiny-nosft", "kto")
    assert write_run_files(run) == [run.folder / "kto.yaml"]
    assert load(run.folder / "kto.yaml")["base_model"] == load(run.recipe / "kto.yaml")["base_model"]


def test_full_weights_are_not_merged_before_kto(run: Run, tmp_path: Path) -> None:
    run = copied_recipe(run, tmp_path / "tiny-full", "sft", "kto")
    path = run.recipe / "sft.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("adapter: lora\n", ""), encoding="utf-8")
    write_run_files(run)
    assert load(run.folder / "kto.yaml")["base_model"] == "outputs/mine/sft"


def test_a_recipe_without_an_edit_block_is_refused_with_its_name(run: Run, tmp_path: Path) -> None:
    run = copied_recipe(run, tmp_path / "mine", "sft", "kto")
    (run.recipe / "sft.yaml").write_text("base_model: x\n")
    with pytest.raises(UserError, match=r"mine/sft\.yaml: no edit block"):
        write_run_files(run)


@pytest.mark.parametrize("missing", ["dataset", "data"])
def test_data_that_were_not_prepared_are_asked_for(run: Run, missing: str) -> None:
    folder = run.dataset if missing == "dataset" else run.folder / "data"
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json: no such file"):
        write_run_files(run)
