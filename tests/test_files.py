"""Files are whole or absent, and known by their content."""

import hashlib
from pathlib import Path

import pytest

from kto_recipes.errors import UserError
from kto_recipes.files import (
    atomic_write,
    model_sha256,
    read_json,
    sha256,
    write_json,
    write_text,
    write_text_if_changed,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_holds_what_was_written_and_nothing_lies_beside_it(tmp_path):
    with atomic_write(tmp_path / "a" / "rows.jsonl") as file:
        file.write(b"one\n")
        file.write(b"two\n")
    assert (tmp_path / "a" / "rows.jsonl").read_bytes() == b"one\ntwo\n"
    assert names(tmp_path / "a") == ["rows.jsonl"]


def test_the_final_name_does_not_exist_before_the_last_byte_is_written(tmp_path):
    path = tmp_path / "rows.jsonl"
    with atomic_write(path) as file:
        file.write(b"one\n" * 100_000)
        assert not path.exists()
    assert path.stat().st_size == 400_000


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_while_writing_leaves_nothing(tmp_path, failure):
    with pytest.raises(failure), atomic_write(tmp_path / "rows.jsonl") as file:
        file.write(b"half of ")
        raise failure
    assert names(tmp_path) == []


def test_a_failure_while_writing_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"before\n")
    with pytest.raises(ValueError, match="no"), atomic_write(path) as file:
        file.write(b"half of ")
        raise ValueError("no")
    assert path.read_bytes() == b"before\n"
    assert names(tmp_path) == ["rows.jsonl"]


def test_what_cannot_be_json_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert names(tmp_path) == []


def test_an_unchanged_text_is_not_written_again(tmp_path):
    path = tmp_path / "kto.yaml"
    assert write_text_if_changed(path, "β: 0.1\n")
    first = path.stat()
    assert not write_text_if_changed(path, "β: 0.1\n")
    assert path.stat().st_mtime_ns == first.st_mtime_ns
    assert path.stat().st_ino == first.st_ino
    assert write_text_if_changed(path, "β: 0.2\n")
    assert path.read_text(encoding="utf-8") == "β: 0.2\n"


def test_json_comes_back_as_it_went(tmp_path):
    write_json(tmp_path / "a.json", {"β": [1, None, "più"]})
    assert read_json(tmp_path / "a.json") == {"β": [1, None, "più"]}
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


def test_reading_json_that_is_missing_or_broken_says_which_file(tmp_path):
    with pytest.raises(UserError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_the_hash_of_a_file_is_sha_256_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-4's example
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_model_on_the_hub_is_known_by_its_name():
    assert model_sha256("meta-llama/Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"


def test_a_model_in_a_folder_is_known_by_weights_configuration_and_tokenizer_wherever_it_lies(tmp_path):
    for copy in ("a", "b"):
        write_text(tmp_path / copy / "config.json", "{}")
        write_text(tmp_path / copy / "model.safetensors", "weights")
        write_text(tmp_path / copy / "chat_template.jinja", "template")
    first = model_sha256(str(tmp_path / "a"))
    write_text(tmp_path / "b" / "done", "a stamp is no part of the model")
    write_text(tmp_path / "b" / "README.md", "nor is its card")
    assert model_sha256(str(tmp_path / "b")) == first
    for name in ("config.json", "model.safetensors", "chat_template.jinja", "tokenizer.json"):
        before = model_sha256(str(tmp_path / "b"))
        write_text(tmp_path / "b" / name, "other")
        assert model_sha256(str(tmp_path / "b")) != before
