"""StackExchange pairs: {"question", "response_j", "response_k"}; j got the more votes."""

from collections.abc import Iterator
from pathlib import Path

from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import pair, prompt_of, text_of
from kto_recipes.sources.tabular import Row

NAME = "stack_exchange"
LOOKS_FOR = "columns question, response_j and response_k"


def fits(row: Row) -> bool:
    return {"question", "response_j", "response_k"} <= row.keys()


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    better, worse = (text_of(row[name], name) for name in ("response_j", "response_k"))
    yield from pair(prompt_of(text_of(row["question"], "question")), better, worse, where)


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
