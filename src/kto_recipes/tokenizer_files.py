"""The files that make a tokenizer: which they are, what decides the tokens of a conversation, and what ends a reply."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kto_recipes.files import read_json, sha256
from kto_recipes.templates import template_settings

_PATTERNS = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges*", "chat_template*")


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder that make its tokenizer, with the chat template, by name."""
    return sorted({path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()})


def tokenizer_identity(folder: Path, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which tokens a conversation becomes: the tokenizer by content, and the template of `recipe`."""
    files = {path.name: sha256(path) for path in tokenizer_files(folder)}
    return {"tokenizer": files, "template": template_settings(recipe)}


def reply_ends(generation: Mapping[str, Any], tokenizer: Path) -> list[int]:
    """The ids that end a reply: a model's own and the template's end of turn.

    Args:
        generation: the model's generation_config.json.
        tokenizer: the folder of the tokenizer that the model was trained with.
    """
    own = generation.get("eos_token_id")
    return sorted({*(own if isinstance(own, list) else [own]), _end_of_turn(tokenizer)} - {None})


def _end_of_turn(tokenizer: Path) -> int:
    content = read_json(tokenizer / "tokenizer_config.json")["eos_token"]
    text = content["content"] if isinstance(content, dict) else content
    added = read_json(tokenizer / "tokenizer.json")["added_tokens"]
    return next(token["id"] for token in added if token["content"] == text)
