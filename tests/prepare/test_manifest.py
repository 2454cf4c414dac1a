"""The manifest: its sums are checked, and it is current only for the same inputs, settings and outputs."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, write_json
from kto_recipes.prepare.manifest import (
    describe_input,
    describe_output,
    is_current,
    read_manifest,
    write_manifest,
)

SETTINGS = {"seed": 0, "turns": {"max_turns": 16}}


def prepared(folder: Path, **changed: Any) -> list[dict[str, Any]]:
    """A folder with an input, two outputs and a manifest; the answer is the inputs' description."""
    (folder / "result.json").write_bytes(b"the export")
    (folder / "sft.jsonl").write_bytes(b"1\n")
    (folder / "kto.jsonl").write_bytes(b"1\n2\n3\n")
    inputs = [describe_input(folder / "result.json", folder)]
    values: dict[str, Any] = {
        "dataset": "chats",
        "inputs": inputs,
        "read": 5,
        "left_out": Counter({"repeated": 1, "empty": 1}),
        "written": {
            "sft.jsonl": describe_output(folder / "sft.jsonl", 1, 0, 0),
            "kto.jsonl": describe_output(folder / "kto.jsonl", 3, 2, 1),
        },
        "counted": ("kto.jsonl",),
        "settings": SETTINGS,
    }
    write_manifest(folder, **(values | changed))
    return inputs


def test_it_says_what_went_in_what_came_out_and_why_the_rest_did_not(tmp_path):
    prepared(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["dataset"] == "chats"
    assert manifest["inputs"] == [
        {
            "path": "result.json",
            "sha256": hashlib.sha256(b"the export").hexdigest(),
            "bytes": len(b"the export"),
        }
    ]
    assert (manifest["read"], manifest["left_out"]) == (5, {"empty": 1, "repeated": 1})
    assert manifest["written"]["kto.jsonl"] == {
        "rows": 3,
        "desirable": 2,
        "undesirable": 1,
        "sha256": hashlib.sha256(b"1\n2\n3\n").hexdigest(),
    }
    assert manifest["settings"] == SETTINGS
    assert set(manifest["versions"]) >= {"kto-recipes", "transformers", "torch"}


@pytest.mark.parametrize("wrong", [{"read": 6}, {"read": 4}, {"left_out": Counter()}, {"counted": ("sft.jsonl",)}])
def test_a_sum_that_does_not_add_up_is_not_written(tmp_path, wrong):
    with pytest.raises(AssertionError, match="do not add up"):
        prepared(tmp_path, **wrong)
    assert not (tmp_path / "manifest.json").exists()


def test_it_is_current_for_the_same_inputs_and_settings_and_untouched_outputs(tmp_path):
    assert is_current(tmp_path, prepared(tmp_path), SETTINGS)


def test_without_a_manifest_nothing_is_current(tmp_path):
    inputs = prepared(tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert not is_current(tmp_path, inputs, SETTINGS)


def test_another_input_is_not_current_even_of_the_same_size(tmp_path):
    prepared(tmp_path)
    (tmp_path / "result.json").write_bytes(b"the exporT")
    assert not is_current(tmp_path, [describe_input(tmp_path / "result.json", tmp_path)], SETTINGS)
    assert not is_current(tmp_path, [], SETTINGS)


def test_other_settings_are_not_current(tmp_path):
    inputs = prepared(tmp_path)
    assert not is_current(tmp_path, inputs, SETTINGS | {"seed": 1})
    assert not is_current(tmp_path, inputs, SETTINGS | {"more": None})


@pytest.mark.parametrize("name", ["sft.jsonl", "kto.jsonl"])
def test_an_output_that_was_changed_or_deleted_is_not_current(tmp_path, name):
    inputs = prepared(tmp_path)
    (tmp_path / name).write_bytes(b"1\n2\n4\n")
    assert not is_current(tmp_path, inputs, SETTINGS)
    (tmp_path / name).unlink()
    assert not is_current(tmp_path, inputs, SETTINGS)


def test_what_another_version_of_the_package_made_is_not_current(tmp_path):
    inputs = prepared(tmp_path)
    manifest = read_json(tmp_path / "manifest.json")
    manifest["versions"]["kto-recipes"] = "0.0.0"
    write_json(tmp_path / "manifest.json", manifest)
    assert not is_current(tmp_path, inputs, SETTINGS)


def test_reading_a_manifest_that_is_not_there_says_which_command_makes_it(tmp_path):
    folder = tmp_path / "votes"
    with pytest.raises(UserError, match=r"votes/manifest\.json: no such file; .*make data DATASET=votes"):
        read_manifest(folder)
