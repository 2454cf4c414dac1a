"""Every recipe in recipes/, found by glob: nothing wrong with it, a whole header, and one order."""

import re
from pathlib import Path

import pytest

from kto_recipes.recipe import load_recipe, problems, recipe_header
from kto_recipes.recipe.text import HEADER_FIELDS

REPO = Path(__file__).parents[2]
RECIPES = sorted((REPO / "recipes").glob("*/*.yaml"))
FOLDERS = sorted({path.parent for path in RECIPES})
SECTIONS = ["edit these lines in your copy", "method", "adapter", "batch and schedule", "machine", "reporting"]

every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def sections_of(text: str) -> list[str]:
    return re.findall(r"^# --- (.+?) -+$", text, flags=re.MULTILINE)


def test_there_are_recipes_to_test() -> None:
    assert REPO / "recipes" / "tiny-llama-lora" / "kto.yaml" in RECIPES


@every_recipe
def test_nothing_is_wrong_with_the_recipe(path: Path) -> None:
    assert problems(path) == []


@every_recipe
def test_the_recipe_is_named_for_its_stage(path: Path) -> None:
    assert path.stem == ("kto" if load_recipe(path).get("rl") == "kto" else "sft")


@every_recipe
def test_the_header_comes_first_and_has_its_five_fields_filled(path: Path) -> None:
    header = recipe_header(path)
    assert tuple(header) == HEADER_FIELDS
    assert all(header.values())
    assert path.read_text(encoding="utf-8").startswith("# Goal:")


@every_recipe
def test_the_files_that_the_header_names_are_there(path: Path) -> None:
    named = re.findall(r"(?:recipes|datasets|scripts|docs)/[\w./-]*\w", " ".join(recipe_header(path).values()))
    assert named
    assert [name for name in named if not (REPO / name).exists()] == []


@every_recipe
def test_the_sections_stand_in_the_one_order(path: Path) -> None:
    has_adapter = "adapter" in load_recipe(path)
    expected = [section for section in SECTIONS if section != "adapter" or has_adapter]
    assert sections_of(path.read_text(encoding="utf-8")) == expected


@every_recipe
def test_the_edit_block_holds_what_a_run_fills_in_and_nothing_else(path: Path) -> None:
    block = path.read_text(encoding="utf-8").split("# --- ")[1]
    keys = ["base_model", "datasets", "test_datasets", "dataset_prepared_path", "output_dir"]
    if path.stem == "kto":
        keys += ["kto_desirable_weight", "kto_undesirable_weight"]
    assert re.findall(r"^(\w+):", block, flags=re.MULTILINE) == keys


@every_recipe
def test_no_key_is_blank_and_none_is_commented_out(path: Path) -> None:
    assert [key for key, value in load_recipe(path).items() if value is None] == []
    below_header = path.read_text(encoding="utf-8").partition("# --- ")[2]
    assert re.findall(r"^\s*#\s*[a-z_]+:.*$", below_header, flags=re.MULTILINE) == []


@every_recipe
def test_the_header_says_how_to_run_it_on_stock_axolotl(path: Path) -> None:
    header = path.read_text(encoding="utf-8").partition("# --- ")[0]
    said = " ".join(line.lstrip("# ") for line in header.splitlines())
    deletions = {
        "kto": "delete the `plugins:` line, the `kto:` block and both `type:` lines, "
        "and add `skip_prepare_dataset: true`",
        "sft": "delete the `plugins:` line",
    }
    assert deletions[path.stem] in said


@every_folder
def test_a_folder_has_a_kto_recipe_and_an_sft_one_unless_its_name_says_not(folder: Path) -> None:
    names = ["kto.yaml"] if folder.name.endswith("-nosft") else ["kto.yaml", "sft.yaml"]
    assert sorted(path.name for path in folder.glob("*.yaml")) == names
