"""OpenAI's chat format for fine-tuning: {"messages": [{"role", "content"}, …]} on each line.

A reply of weight 0 is not to be learned, and what follows it rests on it, so the dialogue ends before it and the rest
is left out, counted as "weight 0".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.sources.records import LeftOut, ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import dialogue, messages_of
from kto_recipes.sources.tabular import Row

NAME = "openai_messages"
LOOKS_FOR = "a column messages with [{role, content}, …]"


def fits(row: Row) -> bool:
    return isinstance(row.get("messages"), list)


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    messages = messages_of(row["messages"], row.get("system"))
    weights = [_weight(message) for message in row["messages"]]
    weights = [None] * (len(messages) - len(weights)) + weights  # a system column adds a message
    cut = next((at for at, it in enumerate(messages) if it["role"] == "assistant" and weights[at] == 0), None)
    if cut is not None:
        yield LeftOut("weight 0", where)
        if all(it["role"] != "assistant" for it in messages[:cut]):
            return
    yield dialogue(messages[:cut], where)


def _weight(message: dict[str, Any]) -> Any:
    weight = message.get("weight")
    return message.get("loss_weight") if weight is None else weight


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
