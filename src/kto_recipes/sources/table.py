"""Any table (JSON Lines, a JSON array, CSV, TSV, Parquet) whose columns dataset.yaml names under fields:.

prompt, completion and label make rated answers, with system, conversation, rater and time where they exist; prompt,
chosen and rejected make pairs. A column that is called so already needs no name.
"""

from collections.abc import Iterator
from pathlib import Path

from kto_recipes.sources import trl_paired, trl_unpaired
from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import read_file
from kto_recipes.sources.tabular import Row, first_row

NAME = "table"
LOOKS_FOR = (
    "columns prompt, completion and label, or prompt, chosen and rejected; "
    "say which is which: --map prompt=COLUMN (fields: in dataset.yaml)"
)


def fits(row: Row) -> bool:
    return trl_unpaired.fits(row) or trl_paired.fits(row)


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    kind = trl_unpaired if trl_unpaired.fits(row) else trl_paired
    return kind.records_of(row, where, options)


def looks_like(head: bytes, path: Path) -> bool:
    """Whether it is a table at all, so that its columns can be told to a person: the last format to ask."""
    return first_row(path) is not None


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
