"""Reading a recipe: what YAML accepts silently and a recipe must not."""

from pathlib import Path

import pytest

from kto_recipes.errors import UserError
from kto_recipes.recipe import load_recipe, recipe_header


def written(folder: Path, text: str) -> Path:
    path = folder / "kto.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read_as_yaml_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 1\nb: {c: [x, 2.5]}\nd: é  # comment\n")
    assert load_recipe(path) == {"a": 1, "b": {"c": ["x", 2.5]}, "d": "é"}


@pytest.mark.parametrize(
    "text",
    [
        "rl_beta: 0.1\nseed: 0\nrl_beta: 0.3\n",
        "special_tokens:\n  eos_token: a\n  eos_token: b\n",
        "datasets:\n  - path: a\n    path: b\n",
    ],
)
def test_a_key_written_twice_is_refused_with_its_name_and_line(tmp_path: Path, text: str) -> None:
    key = text.rstrip("\n").splitlines()[-1].strip(" -").partition(":")[0]
    with pytest.raises(UserError, match=rf"kto\.yaml: .*{key}.*second time.*line {len(text.splitlines())}"):
        load_recipe(written(tmp_path, text))


def test_the_same_key_in_two_mappings_is_no_repetition(tmp_path: Path) -> None:
    path = written(tmp_path, "datasets:\n  - path: a\n  - path: b\n")
    assert load_recipe(path)["datasets"] == [{"path": "a"}, {"path": "b"}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\n", "not valid YAML"),
        ("output_dir: {{OUT}}\n", "a key must be a name"),
        ("- a\n- b\n", "found list"),
        ("", "found NoneType"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        load_recipe(written(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "kto.yaml"))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kto.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(UserError, match="not valid YAML"):
        load_recipe(tmp_path / "kto.yaml")


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_recipe(tmp_path / name)


HEADER = """\
# Goal:     KTO, with a colon: and more
# Needs:    two CPU cores
# Data:     chats
# Run:      make demo        (or: axolotl train x.yaml)
# Measured: not measured yet
#
# Note: not a field

# Goal: a later comment is not the header
base_model: x # Data: nor is this
"""


def test_the_header_holds_its_five_fields_in_their_order(tmp_path: Path) -> None:
    assert list(recipe_header(written(tmp_path, HEADER)).items()) == [
        ("Goal", "KTO, with a colon: and more"),
        ("Needs", "two CPU cores"),
        ("Data", "chats"),
        ("Run", "make demo        (or: axolotl train x.yaml)"),
        ("Measured", "not measured yet"),
    ]


def test_a_header_without_a_field_lacks_that_field(tmp_path: Path) -> None:
    text = "".join(line for line in HEADER.splitlines(keepends=True) if "Data:  " not in line)
    assert list(recipe_header(written(tmp_path, text))) == ["Goal", "Needs", "Run", "Measured"]
