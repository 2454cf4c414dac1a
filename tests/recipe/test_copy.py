"""`make recipe`: somebody's own copy, whole or not at all, which differs only where their run does."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import REPO

from kto_recipes.errors import UserError
from kto_recipes.files import sha256_text, write_json
from kto_recipes.recipe import problems, recipe_header
from kto_recipes.recipe.copy import copy_recipe
from kto_recipes.stages.run_files import Run, write_run_files

SOURCE = "llama-3.1-8b-lora"
RECIPES = sorted(path.parent.name for path in (REPO / "recipes").glob("*/kto.yaml"))
WEIGHTS = {"desirable": 1.25, "undesirable": 1.0}
UNITY = {"desirable": 1.0, "undesirable": 1.0}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with this project's recipes and two datasets that were not prepared yet."""
    shutil.copytree(REPO / "recipes", tmp_path / "recipes")
    for name in ("mine", "other"):
        (tmp_path / "datasets" / name).mkdir(parents=True)
        (tmp_path / "datasets" / name / "dataset.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def new_name(source: str) -> str:
    return "my-nosft" if source.endswith("-nosft") else "my"


def test_the_copy_names_the_places_of_its_own_run() -> None:
    folder = copy_recipe(SOURCE, "mine", "my-llama")
    sft, kto = load(folder / "sft.yaml"), load(folder / "kto.yaml")
    assert sft["datasets"][0]["path"] == "datasets/mine/sft.train.jsonl"
    assert sft["test_datasets"][0]["path"] == "datasets/mine/sft.eval.jsonl"
    assert sft["output_dir"] == "outputs/my-llama--mine/sft"
    assert sft["base_model"] == "meta-llama/Llama-3.1-8B"
    assert kto["base_model"] == "outputs/my-llama--mine/sft/merged"
    assert kto["datasets"][0]["path"] == "outputs/my-llama--mine/data/kto.train.jsonl"
    assert kto["test_datasets"][0]["path"] == "outputs/my-llama--mine/data/kto.eval.jsonl"
    assert kto["output_dir"] == "outputs/my-llama--mine/kto"
    assert sft["dataset_prepared_path"] == kto["dataset_prepared_path"] == "outputs/my-llama--mine/prepared"


@pytest.mark.parametrize("source", RECIPES)
def test_a_copy_of_any_recipe_is_sound_and_differs_only_in_its_block_and_header(source: str, here: Path) -> None:
    folder = copy_recipe(source, "mine", new_name(source))
    originals = sorted((here / "recipes" / source).glob("*.yaml"))
    assert sorted(path.name for path in folder.iterdir()) == [path.name for path in originals]
    for original in originals:
        copy = folder / original.name
        assert problems(copy) == []
        old, new = (path.read_text(encoding="utf-8").split("# --- ") for path in (original, copy))
        assert new[2:] == old[2:]
        header = [line for line in new[0].splitlines() if line not in old[0].splitlines()]
        assert {line.partition(":")[0] for line in header} <= {"# Data", "# Run", "# Measured"}
        assert len(new[0].splitlines()) == len(old[0].splitlines())
        assert source not in new[0] + new[1]


@pytest.mark.parametrize("kind", ["sft", "kto"])
def test_the_copys_header_is_true(kind: str, here: Path) -> None:
    header = recipe_header(copy_recipe(SOURCE, "mine", "my-llama") / f"{kind}.yaml")
    assert header["Data"] == "mine, see datasets/mine/dataset.yaml"
    assert header["Run"].startswith(f"make {kind} RECIPE=my-llama DATASET=mine ")
    assert header["Run"].endswith(", after SFT)") == (kind == "kto")
    assert header["Measured"] == "not measured yet"
    named = re.findall(r"(?:recipes|datasets)/[\w./-]*\w", " ".join(header.values()))
    assert f"recipes/my-llama/{kind}.yaml" in named
    assert all((here / name).is_file() for name in named)


def test_a_measured_recipes_copy_is_not_measured(here: Path) -> None:
    source = here / "recipes" / SOURCE / "kto.yaml"
    text = source.read_text(encoding="utf-8")
    source.write_text(re.sub("(?m)^# Measured: .*$", "# Measured: see recipes/results/x.json", text), encoding="utf-8")
    assert recipe_header(copy_recipe(SOURCE, "mine", "my") / "kto.yaml")["Measured"] == "not measured yet"


def test_a_copy_without_sft_does_not_claim_to_come_after_it() -> None:
    folder = copy_recipe(f"{SOURCE.replace('lora', 'instruct-lora')}-nosft", "mine", "my-nosft")
    assert "after SFT" not in recipe_header(folder / "kto.yaml")["Run"]
    assert load(folder / "kto.yaml")["base_model"] == "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize(
    ("manifests", "expected"),
    [
        ({}, UNITY),
        ({"datasets/mine": None}, UNITY),
        ({"datasets/mine": WEIGHTS}, WEIGHTS),
        ({"outputs/my--mine/data": WEIGHTS}, WEIGHTS),
        ({"outputs/my--mine/data": WEIGHTS, "datasets/mine": UNITY}, WEIGHTS),
        ({"datasets/other": WEIGHTS}, UNITY),
    ],
)
def test_the_class_weights_are_those_of_the_data_where_they_are_known(
    manifests: dict[str, Any], expected: dict[str, float]
) -> None:
    for folder, weights in manifests.items():
        write_json(Path(folder, "manifest.json"), {"read": 1} | ({"weights": weights} if weights else {}))
    kto = load(copy_recipe(SOURCE, "mine", "my") / "kto.yaml")
    assert kto["kto_desirable_weight"] == expected["desirable"]
    assert kto["kto_undesirable_weight"] == expected["undesirable"]


def test_the_run_of_a_copy_differs_from_it_only_by_the_contents_of_its_data() -> None:
    folder = copy_recipe(SOURCE, "mine", "my")
    run = Run(folder, Path("datasets/mine"), Path("outputs/my--mine"))
    for kind, data in (("sft", run.dataset), ("kto", run.folder / "data")):
        written = {f"{kind}.{split}.jsonl": {"sha256": sha256_text(split)} for split in ("train", "eval")}
        write_json(data / "manifest.json", {"written": written, "weights": WEIGHTS})
    write_run_files(run)
    for kind in ("sft", "kto"):
        copy, filled = load(folder / f"{kind}.yaml"), load(run.folder / f"{kind}.yaml")
        differing = {key for key in copy if copy[key] != filled[key]}
        assert differing == {"dataset_prepared_path"} | ({"kto_desirable_weight"} if kind == "kto" else set())


def test_a_folder_that_is_there_is_never_overwritten(here: Path) -> None:
    (here / "recipes/my").mkdir()
    (here / "recipes/my/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="recipes/my is there already"):
        copy_recipe(SOURCE, "mine", "my")
    assert [path.name for path in (here / "recipes/my").iterdir()] == ["notes.txt"]


REFUSED = {
    "an unknown recipe": (("llama-9", "mine", "my"), f'"llama-9"; FROM= is one of: {", ".join(RECIPES)}'),
    "no recipe": (("", "mine", "my"), "no recipe is named; FROM= is one of: "),
    "a path as recipe": (("../recipes/llama-3.1-8b-lora", "mine", "my"), "FROM= is one of: "),
    "an unknown dataset": ((SOURCE, "theirs", "my"), 'no dataset "theirs"; DATASET= is one of: mine, other'),
    "no name": ((SOURCE, "mine", ""), "NAME= is letters, digits"),
    "a name with a slash": ((SOURCE, "mine", "a/b"), "NAME= is letters, digits"),
    "a name with a blank": ((SOURCE, "mine", "a b"), "NAME= is letters, digits"),
    "a hidden name": ((SOURCE, "mine", ".a"), "NAME= is letters, digits"),
    "the folder above": ((SOURCE, "mine", ".."), "NAME= is letters, digits"),
    "a name that reads as a flag": ((SOURCE, "mine", "-a"), "NAME= is letters, digits"),
    "a folder that holds no recipe": ((SOURCE, "mine", "results"), "is not one of: deepspeed, results"),
    "a name that denies the SFT": ((SOURCE, "mine", "my-nosft"), "NAME= must not end in -nosft"),
    "a name that promises SFT": (("qwen2.5-3b-lora-nosft", "mine", "my"), "NAME= must end in -nosft"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_what_could_be_and_nothing_is_written(case: str, here: Path) -> None:
    arguments, message = REFUSED[case]
    before = sorted(here.rglob("*"))
    with pytest.raises(UserError, match=re.escape(message)):
        copy_recipe(*arguments)
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("damage", ["# --- edit these lines in your copy", "# Run:"])
def test_a_recipe_that_cannot_be_filled_leaves_nothing_half_written(damage: str, here: Path) -> None:
    source = here / "recipes" / SOURCE / "kto.yaml"  # the second file of the two
    source.write_text(source.read_text(encoding="utf-8").replace(damage, "# Gone"), encoding="utf-8")
    before = sorted((here / "recipes").iterdir())
    with pytest.raises(UserError, match=rf"recipes/{SOURCE}/kto\.yaml: "):
        copy_recipe(SOURCE, "mine", "my")
    assert sorted((here / "recipes").iterdir()) == before


def test_what_a_killed_copy_left_is_in_nobodys_way(here: Path) -> None:
    (here / "recipes/.my.partial").mkdir()
    (here / "recipes/.my.partial/kto.yaml").write_text("half")
    assert load(copy_recipe(SOURCE, "mine", "my") / "kto.yaml")["rl"] == "kto"
    assert not (here / "recipes/.my.partial").exists()


def test_the_script_says_what_to_do_next(run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run_script("copy_recipe.py", "--source", SOURCE, "--dataset", "mine", "--name", "my")
    assert done.returncode == 0, done.stderr
    assert "make check RECIPE=my DATASET=mine\n" in done.stdout
    assert "make report RECIPE=my DATASET=mine\n" in done.stdout


def test_the_script_ends_with_one_sentence_on_a_mistake(
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    refused: Callable[[subprocess.CompletedProcess[str]], str],
) -> None:
    done = run_script("copy_recipe.py", "--source", SOURCE, "--dataset", "mine", "--name", "a b")
    assert '"a b" cannot be the name of a recipe' in refused(done)


def test_make_recipe_passes_its_three_names_on() -> None:
    names = ["FROM=tiny-llama-lora", "DATASET=chat-like-me", "NAME=my-tiny"]
    planned = subprocess.run(["make", "-n", "recipe", "VENV=", *names], cwd=REPO, capture_output=True, encoding="utf-8")
    assert "--source 'tiny-llama-lora' --dataset 'chat-like-me' --name 'my-tiny'" in planned.stdout
