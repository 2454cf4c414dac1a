"""ShareGPT: {"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}, …], "system"?}.

An opening turn of the assistant and a last turn of the human are cut; conversations with tool calls are left out.
"""

from collections.abc import Iterator
from pathlib import Path

from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import dialogue, messages_of
from kto_recipes.sources.tabular import Row

NAME = "sharegpt"
LOOKS_FOR = "a column conversations with [{from, value}, …]"


def fits(row: Row) -> bool:
    return isinstance(row.get("conversations"), list)


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    yield dialogue(messages_of(row["conversations"], row.get("system")), where)


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
