"""The edit block of a recipe: the only lines in which a run's YAML differs from its recipe."""

import math
import re

import yaml

from kto_recipes.errors import UserError

BLOCK_START = "# --- edit these lines in your copy "
_RULE = "# --- "
_TOP_KEY = re.compile(r"^(\w+):")


def fill_block(text: str, values: dict[str, str | float]) -> str:
    """`text` with the values of the edit block replaced, everything else kept to the letter.

    Keys are the block's own (`base_model`, `output_dir`, …); `datasets` and `test_datasets` stand for the
    `path:` line of their single entry. A comment behind a replaced value stays.

    Raises:
        UserError: when there is no edit block, or a key to fill is not in it.
    """
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if line.startswith(BLOCK_START)), None)
    if start is None:
        raise UserError(f"no edit block: expected a line that begins with {BLOCK_START!r}")
    end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith(_RULE)), len(lines))
    missing = set(values)
    key = None
    for index in range(start + 1, end):
        if match := _TOP_KEY.match(lines[index]):
            key = match[1]
            if key in values and key not in ("datasets", "test_datasets"):
                lines[index] = _with_value(lines[index], values[key])
                missing.discard(key)
        elif key in values and re.match(r"^\s+(- )?path:", lines[index]):
            lines[index] = _with_value(lines[index], values[key])
            missing.discard(key)
    if missing:
        raise UserError(f"the edit block has no line for {', '.join(sorted(missing))}")
    return "".join(lines)


def _with_value(line: str, value: str | float) -> str:
    head, _, tail = line.partition(":")
    comment = re.search(r"\s+#.*$", tail.rstrip("\n"))
    return f"{head}: {_scalar(value)}{comment[0] if comment else ''}\n"


def _scalar(value: str | float) -> str:
    """`value` as YAML reads it back: quoted where the plain text would mean something else, as in `runs/try #2`."""
    plain = str(value)
    try:
        is_plain = str(yaml.safe_load(f"key: {plain}")["key"]) == plain
    except yaml.YAMLError:
        is_plain = False
    return plain if is_plain else yaml.safe_dump(plain, default_style='"', allow_unicode=True, width=math.inf).strip()
