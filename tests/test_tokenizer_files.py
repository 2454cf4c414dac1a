"""The files that make a tokenizer, what decides the tokens of a conversation, and what ends a reply."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import LLAMA_RECIPE, llama_tokenizer, trained_tokenizer

from kto_recipes.files import read_json, write_json
from kto_recipes.tokenizer_files import reply_ends, tokenizer_files, tokenizer_identity

EOT = llama_tokenizer().convert_tokens_to_ids("<|eot_id|>")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, with a tokenizer as Transformers writes it and other files beside it."""
    trained_tokenizer().save_pretrained(tmp_path)
    for name in ("config.json", "generation_config.json", "model.safetensors", "done"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_the_files_are_those_of_the_tokenizer_and_its_template_alone(folder: Path) -> None:
    (folder / "vocab.json").write_text("{}")
    (folder / "tokenizer_old").mkdir()
    names = ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "vocab.json"]
    assert [path.name for path in tokenizer_files(folder)] == names


@pytest.mark.parametrize("key", ["chat_template", "chat_template_jinja", "special_tokens"])
def test_another_template_in_the_recipe_is_another_identity(folder: Path, key: str) -> None:
    of = tokenizer_identity(folder, LLAMA_RECIPE)
    assert of == tokenizer_identity(folder, LLAMA_RECIPE | {"learning_rate": 1e-5})
    assert of != tokenizer_identity(folder, LLAMA_RECIPE | {key: "another"})


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"])
def test_another_file_is_another_identity(folder: Path, name: str) -> None:
    of = tokenizer_identity(folder, LLAMA_RECIPE)
    (folder / "config.json").write_text('{"is": "no tokenizer"}')
    assert of == tokenizer_identity(folder, LLAMA_RECIPE)
    (folder / name).write_text("another")
    assert of != tokenizer_identity(folder, LLAMA_RECIPE)


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, []), ({"eos_token_id": None}, []), ({"eos_token_id": 0}, [0]), ({"eos_token_id": [9, 0]}, [0, 9])],
)
def test_a_reply_ends_where_the_model_ended_it_and_at_the_templates_end_of_turn(
    folder: Path, own: dict[str, Any], expected: list[int]
) -> None:
    assert reply_ends(own, folder) == sorted([*expected, EOT])


def test_an_end_of_turn_may_be_described_and_not_only_named(folder: Path) -> None:
    config = read_json(folder / "tokenizer_config.json")
    write_json(folder / "tokenizer_config.json", config | {"eos_token": {"content": "<|eot_id|>", "special": True}})
    assert reply_ends({}, folder) == [EOT]
