"""The template a recipe names is Axolotl's own text for that name, and sets what generation stops at."""

import pytest
from tiny_models import LLAMA_RECIPE, llama_tokenizer

from kto_recipes.errors import UserError
from kto_recipes.templates import recipe_template, set_template


@pytest.mark.parametrize("name", ["llama3", "qwen_25", "chatml"])
def test_a_named_template_is_what_axolotl_resolves_the_name_to(name: str) -> None:
    from axolotl.utils.chat_templates import get_chat_template

    assert recipe_template({"chat_template": name}) == get_chat_template(name)


@pytest.mark.parametrize("recipe", [{}, {"chat_template": "tokenizer_default"}])
def test_without_a_name_the_tokenizers_own_template_stays(recipe: dict[str, str]) -> None:
    tokenizer = llama_tokenizer()
    tokenizer.chat_template = "its own"
    set_template(tokenizer, recipe)
    assert recipe_template(recipe) is None
    assert tokenizer.chat_template == "its own"


def test_a_template_may_stand_in_the_recipe_itself() -> None:
    recipe = {"chat_template": "jinja", "chat_template_jinja": "{{ messages }}"}
    tokenizer = llama_tokenizer()
    set_template(tokenizer, recipe)
    assert tokenizer.chat_template == "{{ messages }}"


def test_a_name_axolotl_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match="'llama33' is not one of Axolotl's templates"):
        recipe_template({"chat_template": "llama33"})


def test_neither_a_name_nor_a_template_of_its_own_is_refused() -> None:
    with pytest.raises(UserError, match="has no chat template"):
        set_template(llama_tokenizer(), {})


def test_the_recipes_special_tokens_replace_the_base_models_and_no_id_is_new() -> None:
    tokenizer = llama_tokenizer()
    size, end_of_turn = len(tokenizer), tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert tokenizer.eos_token == "<|end_of_text|>"
    set_template(tokenizer, LLAMA_RECIPE)
    assert tokenizer.eos_token_id == end_of_turn
    assert tokenizer.pad_token == "<|finetune_right_pad_id|>"
    assert len(tokenizer) == size


def test_without_special_tokens_the_tokenizers_own_stay() -> None:
    tokenizer = llama_tokenizer()
    set_template(tokenizer, {"chat_template": "llama3"})
    assert tokenizer.eos_token == "<|end_of_text|>"
