"""The edit block: filling it changes the lines of the values given, and no other byte."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kto_recipes.errors import UserError
from kto_recipes.recipe import fill_block

RECIPE = """\
# Goal:     a recipe
base_model: above # not in the block

# --- edit these lines in your copy ------
base_model: old/base # why this one
datasets:
  - path: old/train.jsonl  # the training split
    type: chat_template
    split: train
test_datasets:
  - type: chat_template
    path: old/eval.jsonl
# path: a comment
output_dir:   old/out
kto_desirable_weight: 1.0

# --- method -----------------------------
rl: kto
output_dir_of_nothing: 1
base_model: below\t# trailing blanks   
datasets_below:
  - path: old/train.jsonl
"""  # noqa: W291
VALUES = {
    "base_model": "new/base",
    "datasets": "new/train.jsonl",
    "test_datasets": "new/eval.jsonl",
    "output_dir": "new/out",
    "kto_desirable_weight": 1.25,
}
FILLED = {
    4: "base_model: new/base # why this one\n",
    6: "  - path: new/train.jsonl  # the training split\n",
    11: "    path: new/eval.jsonl\n",
    13: "output_dir: new/out\n",
    14: "kto_desirable_weight: 1.25\n",
}


def test_filling_replaces_the_values_keeps_comments_and_touches_nothing_else() -> None:
    lines = RECIPE.splitlines(keepends=True)
    expected = [FILLED.get(index, line) for index, line in enumerate(lines)]
    assert fill_block(RECIPE, VALUES) == "".join(expected)


@pytest.mark.parametrize("key", VALUES)
def test_filling_one_key_leaves_the_other_keys_of_the_block(key: str) -> None:
    before = RECIPE.splitlines(keepends=True)
    after = fill_block(RECIPE, {key: VALUES[key]}).splitlines(keepends=True)
    changed = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert len(changed) == 1
    assert after[changed[0]] == FILLED[changed[0]]


@pytest.mark.parametrize("key", ["rl", "output_dir_of_nothing", "learning_rate", "path", "datasets_below"])
def test_a_key_that_is_not_in_the_block_is_an_error(key: str) -> None:
    with pytest.raises(UserError, match=f"no line for {key}$"):
        fill_block(RECIPE, {**VALUES, key: "x"})


def test_datasets_without_a_path_line_are_an_error() -> None:
    with pytest.raises(UserError, match="no line for test_datasets"):
        fill_block(RECIPE.replace("    path: old/eval.jsonl\n", ""), VALUES)


def test_a_recipe_without_a_block_is_an_error() -> None:
    with pytest.raises(UserError, match="no edit block"):
        fill_block(RECIPE.replace("# --- edit these lines in your copy", "# --- edit"), VALUES)


def test_a_block_that_ends_the_file_is_filled_to_its_end() -> None:
    text = "# --- edit these lines in your copy ---\nbase_model: a\noutput_dir: b"
    assert yaml.safe_load(fill_block(text, {"output_dir": "c"})) == {"base_model": "a", "output_dir": "c"}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=12))
def test_whatever_a_run_is_called_axolotl_reads_it_back_from_the_block(name: str) -> None:
    path = f"outputs/{name}/sft"
    filled = yaml.safe_load(
        fill_block(RECIPE.split("# --- method")[0], {**VALUES, "base_model": name, "datasets": path})
    )
    assert str(filled["base_model"]) == name
    assert filled["datasets"][0]["path"] == path


@pytest.mark.parametrize("name", ["runs/try #2", "a: b", "yes", "007", "- x", "'", "{x}", " x ", "null"])
def test_a_value_that_plain_yaml_would_misread_is_quoted(name: str) -> None:
    filled = yaml.safe_load(fill_block(RECIPE.split("# --- method")[0], {"base_model": name}))
    assert filled["base_model"] == name


def test_a_real_recipe_filled_with_its_own_values_is_itself() -> None:
    path = Path(__file__).parents[2] / "recipes" / "tiny-llama-lora" / "kto.yaml"
    text = path.read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    values = {key: recipe[key] for key in ("base_model", "output_dir", "dataset_prepared_path", "kto_desirable_weight")}
    values |= {key: recipe[key][0]["path"] for key in ("datasets", "test_datasets")}
    assert fill_block(text, values) == text
