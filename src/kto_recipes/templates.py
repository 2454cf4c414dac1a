"""One chat template for SFT, KTO and inference: the one the recipe names."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError

_KEYS = ("chat_template", "chat_template_jinja", "special_tokens")


def template_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe says of its template, by key; what was made with another template is made again."""
    return {key: recipe.get(key) for key in _KEYS}


def recipe_template(recipe: dict[str, Any]) -> str | None:
    """The Jinja text that a recipe's `chat_template:` names in Axolotl; None for the tokenizer's own.

    Read from Axolotl's files without importing it, which takes seconds.
    """
    name = recipe.get("chat_template", "tokenizer_default")
    if name == "tokenizer_default":
        return None
    if name == "jinja":
        return recipe["chat_template_jinja"]
    template = Path(find_spec("axolotl").origin).parent / "utils/chat_templates/templates" / f"{name}.jinja"
    if not template.is_file():
        raise UserError(f"chat_template: {name!r} is not one of Axolotl's templates")
    return template.read_text(encoding="utf-8")


def set_template(tokenizer: Any, recipe: dict[str, Any]) -> None:
    """Make `tokenizer` render conversations as `recipe` does.

    Raises:
        UserError: when neither the recipe nor the tokenizer has a template.
    """
    template = recipe_template(recipe)
    if template is not None:
        tokenizer.chat_template = template
    if tokenizer.chat_template is None:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template; name one in the recipe, "
            "for example chat_template: llama3, or take a model that has one, as instruct models do"
        )
    eos = (recipe.get("special_tokens") or {}).get("eos_token")
    if eos is not None:
        tokenizer.eos_token = eos
    pad = (recipe.get("special_tokens") or {}).get("pad_token")
    if pad is not None:
        tokenizer.pad_token = pad
