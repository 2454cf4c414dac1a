"""Random models have the shape of the real ones, to the parameter."""

from pathlib import Path

import pytest
import torch
from tiny_models import REPO
from transformers import AutoModelForCausalLM, AutoTokenizer

from kto_recipes.random_model import MINIATURE, REAL, family, new_model, new_tokenizer, write_random_model
from kto_recipes.recipe import load_recipe

RECIPES = REPO / "recipes"
# As the Hub counts the weights of meta-llama/Llama-3.1-8B and of Qwen/Qwen2.5-3B-Instruct.
PARAMETERS = {"llama-3.1-8b-lora": 8_030_261_248, "qwen2.5-3b-lora": 3_085_938_688}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_real_dimensions_give_the_real_number_of_parameters(name: str) -> None:
    recipe = load_recipe(RECIPES / name / "kto.yaml")
    with torch.device("meta"):
        model = new_model(recipe, new_tokenizer(recipe), REAL[family(recipe)], torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("recipe", "architecture", "eos", "has_template"),
    [
        ("llama-3.1-8b-lora", "LlamaForCausalLM", "<|end_of_text|>", False),
        ("llama-3.1-8b-instruct-lora", "LlamaForCausalLM", "<|eot_id|>", True),
        ("qwen2.5-3b-lora", "Qwen2ForCausalLM", "<|endoftext|>", True),
        ("tiny-llama-lora", "LlamaForCausalLM", "<|end_of_text|>", False),
    ],
)
def test_a_written_miniature_is_of_the_recipes_kind(
    recipe: str, architecture: str, eos: str, has_template: bool, tmp_path: Path
) -> None:
    write_random_model(load_recipe(RECIPES / recipe / "kto.yaml"), MINIATURE, tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert type(model).__name__ == architecture
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.eos_token == eos
    assert (tokenizer.chat_template is not None) == has_template
    assert model.dtype == torch.float32


def test_llamas_positions_are_scaled_as_llama_3_1_does_it() -> None:
    recipe = load_recipe(RECIPES / "llama-3.1-8b-lora" / "kto.yaml")
    with torch.device("meta"):
        rope = new_model(recipe, new_tokenizer(recipe), MINIATURE, torch.float32).config.rope_parameters
    assert (rope["rope_type"], rope["rope_theta"], rope["factor"]) == ("llama3", 500000.0, 8.0)
