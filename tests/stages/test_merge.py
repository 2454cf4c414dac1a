"""What a merged model must have besides weights: the tokenizer it was trained with, and an end to its answers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import LLAMA_RECIPE, llama_tokenizer, trained_tokenizer
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig

from kto_recipes.errors import UserError
from kto_recipes.files import model_sha256, write_json
from kto_recipes.stages.merge import _carry_tokenizer, merge_stage
from kto_recipes.templates import recipe_template

TOKENIZER = llama_tokenizer()
EOT, EOS = (TOKENIZER.convert_tokens_to_ids(token) for token in ("<|eot_id|>", "<|end_of_text|>"))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A stage's folder with the trained tokenizer, and in `merged` what the merge copies from the base model."""
    tokenizer = trained_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "merged").mkdir()
    llama_tokenizer().save_pretrained(tmp_path / "merged")
    LlamaConfig().save_pretrained(tmp_path / "merged")
    return tmp_path


def test_the_template_and_the_end_of_turn_reach_the_merged_model(stage: Path) -> None:
    before = AutoTokenizer.from_pretrained(stage / "merged")
    assert before.chat_template is None
    assert before.eos_token_id == EOS
    _carry_tokenizer(stage, stage / "merged")
    after = AutoTokenizer.from_pretrained(stage / "merged")
    assert after.chat_template == recipe_template(LLAMA_RECIPE)
    assert after.eos_token_id == EOT
    assert after.pad_token == "<|finetune_right_pad_id|>"


@pytest.mark.parametrize(
    ("known", "expected"),
    [({}, {EOT}), ({"eos_token_id": EOS}, {EOS, EOT}), ({"eos_token_id": [EOS, EOT]}, {EOS, EOT}), (None, {EOT})],
)
def test_generation_stops_at_the_end_of_turn_and_where_the_base_model_stopped(
    stage: Path, known: dict[str, Any] | None, expected: set[int]
) -> None:
    if known is not None:
        (stage / "merged" / "generation_config.json").write_text(json.dumps({**known, "temperature": 0.6}))
    _carry_tokenizer(stage, stage / "merged")
    config = GenerationConfig.from_pretrained(stage / "merged")
    assert set(config.eos_token_id) == expected
    assert len(config.eos_token_id) == len(expected)
    if known is not None:
        assert config.temperature == 0.6


def recipe(folder: Path) -> Path:
    path = folder / "sft.yaml"
    path.write_text(yaml.safe_dump({"base_model": str(folder), "output_dir": str(folder / "sft")}))
    return path


def test_a_stage_that_was_not_trained_is_not_merged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not trained yet; run scripts/train\.py"):
        merge_stage(recipe(tmp_path))


def test_a_merge_of_the_same_adapter_is_done_once(tmp_path: Path) -> None:
    stage = tmp_path / "sft"
    (stage / "merged").mkdir(parents=True)
    (stage / "adapter_model.safetensors").write_bytes(b"weights")
    (stage / "done").touch()
    write_json(stage / "merged" / "done", {"adapter_sha256": model_sha256(str(stage)), "sha256": "x"})
    assert merge_stage(recipe(tmp_path)) is False
    assert not (stage / "merge.log").exists()
