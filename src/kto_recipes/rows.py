"""The row types every part reads and writes, and their validation.

A KTO row is one prompt, one completion and one label; an SFT row is one conversation. Rows stay plain
dictionaries, checked once where they enter.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from kto_recipes.errors import UserError
from kto_recipes.files import atomic_write


@with_config(ConfigDict(extra="forbid"))
class Message(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


@with_config(ConfigDict(extra="allow"))
class Meta(TypedDict):
    """Where a row comes from; `strategy` and `parent` only where the completion was made by us."""

    id: str
    group: str
    source: str
    strategy: NotRequired[str]
    parent: NotRequired[str]


@with_config(ConfigDict(extra="forbid"))
class KtoRow(TypedDict):
    """`completion` holds exactly one assistant message; `label` is true for a desirable one."""

    prompt: list[Message]
    completion: list[Message]
    label: bool
    meta: Meta


@with_config(ConfigDict(extra="forbid"))
class SftRow(TypedDict):
    messages: list[Message]
    meta: Meta


_KTO = TypeAdapter(KtoRow)
_SFT = TypeAdapter(SftRow)


def check_kto_row(value: Any, where: str) -> KtoRow:
    """`value` as a KTO row.

    Raises:
        UserError: naming `where`, the field and what was found there.
    """
    row = _validated(_KTO, value, where)
    if len(row["completion"]) != 1 or row["completion"][0]["role"] != "assistant":
        raise UserError(f"{where}: completion must be exactly one assistant message")
    if not row["completion"][0]["content"].strip():
        raise UserError(f"{where}: the completion is empty")
    if not row["prompt"] or row["prompt"][-1]["role"] != "user":
        raise UserError(f"{where}: the prompt must end with a user message")
    return row


def are_messages(value: Any) -> bool:
    """Whether `value` is a list of messages, with nothing else in them."""
    if type(value) is not list:
        return False
    for message in value:
        if type(message) is not dict or len(message) != 2 or type(message.get("content")) is not str:
            return False
        role = message.get("role")
        if role != "user" and role != "assistant" and role != "system":
            return False
    return True


def check_sft_row(value: Any, where: str) -> SftRow:
    """`value` as an SFT row; see `check_kto_row`."""
    row = _validated(_SFT, value, where)
    if not any(message["role"] == "assistant" for message in row["messages"]):
        raise UserError(f"{where}: no assistant message to learn from")
    return row


def _validated(adapter: TypeAdapter, value: Any, where: str) -> Any:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        found = orjson.dumps(first["input"], default=str).decode()[:80]
        if field == "label":
            raise UserError(f"{where}: label is {found}; KTO needs true or false") from None
        place = f"{field}: " if field else ""
        raise UserError(f"{where}: {place}{first['msg'].lower()}, found {found}") from None


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """The values of a JSON Lines file, each with its place (`file:line`) for messages."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                yield where, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise UserError(f"{where}: not valid JSON ({error})") from None


def read_kto(path: Path) -> list[KtoRow]:
    return [check_kto_row(value, where) for where, value in read_jsonl(path)]


def read_sft(path: Path) -> list[SftRow]:
    return [check_sft_row(value, where) for where, value in read_jsonl(path)]


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON value a line, whole or not at all; the answer is their number."""
    count = 0
    with atomic_write(path) as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def prompt_key(row: KtoRow) -> bytes:
    """Equal for rows that answer the same prompt."""
    return orjson.dumps(row["prompt"])


def completion_text(row: KtoRow) -> str:
    return row["completion"][0]["content"]
