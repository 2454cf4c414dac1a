"""Reading a recipe file: its YAML and its header."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from kto_recipes.errors import UserError

HEADER_FIELDS = ("Goal", "Needs", "Data", "Run", "Measured")
_NUMBERS = {"one": 1, "two": 2, "four": 4, "eight": 8}


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key written twice, where PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands here a second time", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_recipe(path: Path) -> dict[str, Any]:
    """The keys and values of a recipe file.

    Raises:
        UserError: when the file is missing or is not a YAML mapping.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return load_mapping(path, "base_model:")


def load_mapping(path: Path, example: str) -> dict[str, Any]:
    """The keys and values of a YAML file, in which no key stands twice.

    Raises:
        UserError: when it is not a YAML mapping; the message gives keys such as `example`.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or no such date
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected keys such as {example}, found {type(value).__name__}")
    return value


def recipe_header(path: Path) -> dict[str, str]:
    """The header's fields, in the order they stand in: Goal, Needs, Data, Run, Measured."""
    fields = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        name, colon, value = line.lstrip("# ").partition(":")
        if colon and name in HEADER_FIELDS:
            fields[name] = value.strip()
    return fields


def with_header(text: str, values: dict[str, str]) -> str:
    """`text` with the values of header fields replaced, everything else kept to the letter.

    Raises:
        UserError: when the header has no line for a field.
    """
    header, block, rest = text.partition("\n\n")
    for field, value in values.items():
        header, count = re.subn(rf"(?m)^(# {field}: +).*$", lambda match, value=value: match[1] + value, header)
        if count != 1:
            raise UserError(f"the header has no line `# {field}:`")
    return header + block + rest


def gpus_needed(header: dict[str, str]) -> int:
    """How many GPUs the header's Needs names: `four 80 GB GPUs` are 4, `no GPU` is 0."""
    match = re.search(r"\b(\w+) (?:\d+ GB )?GPUs?\b", header["Needs"])
    return _NUMBERS.get(match[1], 0) if match else 0
