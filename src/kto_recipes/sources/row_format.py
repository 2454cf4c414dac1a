"""What formats of one record a row share: recognising, renaming columns, and going from row to row.

Such a format is a module with NAME, LOOKS_FOR, `fits(row)` and `records_of(row, where, options)`. The latter raises
`LeaveOut` for a record that cannot become a row, and ValueError with a sentence for one that cannot be read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from kto_recipes.errors import UserError
from kto_recipes.sources.records import LeftOut, Part, ReadOptions, Record
from kto_recipes.sources.shapes import LeaveOut
from kto_recipes.sources.tabular import Row, first_row, rows, unreadable

FIELDS = ("system", "prompt", "completion", "label", "chosen", "rejected", "conversation", "rater", "time")
_REQUIRED = ("prompt", "completion", "label", "chosen", "rejected")

RowsOf = Callable[[ReadOptions], Iterator[tuple[str, Row] | LeftOut]]
RecordsOf = Callable[[Row, str, ReadOptions], Iterator[Record]]


class RowFormat(Protocol):
    """A module that reads a row as records, wherever the row comes from."""

    NAME: str
    LOOKS_FOR: str

    @staticmethod
    def fits(row: Row) -> bool:
        """Whether a row with these columns is of this format."""

    @staticmethod
    def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
        """The records of one row.

        Raises:
            LeaveOut: with the reason why it cannot become a row of training data.
            ValueError: with a sentence, where it cannot be read.
        """


def file_fits(path: Path, fits: Callable[[Row], bool]) -> bool:
    row = first_row(path)
    return row is not None and fits(row)


def read_file(
    path: Path, options: ReadOptions, looks_for: str, fits: Callable[[Row], bool], records_of: RecordsOf
) -> Iterator[Record]:
    """The records of a file; see `records`."""
    return records(lambda how: rows(path, how), options, looks_for, fits, records_of)


def records(
    read_rows: RowsOf,
    options: ReadOptions,
    looks_for: str,
    fits: Callable[[Row], bool],
    records_of: RecordsOf,
) -> Iterator[Record]:
    """The records of rows that are all of one format, columns renamed as `options.fields` says.

    `read_rows` is called again when a label is 0: whether that is a bad answer or no vote, the other labels tell.

    Raises:
        UserError: when the first row is not of the format, or a column named in `fields` does not exist.
    """
    never_seen = set(options.fields.values())
    is_first = options.part is None or options.part.first_line == 1
    zeros = _Zeros(read_rows, options)
    for item in read_rows(options):
        if isinstance(item, LeftOut):
            yield item
            continue
        where, row = item
        if is_first:
            _check_fields(row, where, options)
        never_seen = {column for column in never_seen if not has_column(row, column)} if never_seen else never_seen
        row = renamed(row, options)
        if not fits(row):
            sentence = f"{columns_of(item[1])}; expected {looks_for}"
            if is_first:
                raise UserError(f"{where}: {sentence}")
            yield unreadable(where, f"a row of another shape: {sentence}; give it a file of its own", options)
            continue
        is_first = False
        if zeros.says_nothing(row):
            yield LeftOut("no vote", where)
            continue
        try:
            yield from records_of(row, where, options)
        except LeaveOut as left_out:
            yield LeftOut(left_out.reason, where)
        except ValueError as error:
            yield unreadable(where, str(error), options)
    if never_seen and options.part:
        options.seen.missing = never_seen
    elif never_seen:
        raise UserError(columns_missing(never_seen))


class _Zeros:
    """What a label of 0 means in a file: a bad answer beside 1, no vote between −1 and 1."""

    def __init__(self, read_rows: RowsOf, options: ReadOptions) -> None:
        self._read_rows = read_rows
        self._options = options
        self._are_no_vote: bool | None = None  # not known before the first 0

    def says_nothing(self, row: Row) -> bool:
        """Whether the label in `row` is a 0 that is no vote."""
        if isinstance(row.get("label"), bool):
            return False
        if self._options.part:
            return self._says_nothing_in(self._options.part, row)
        if all(_number(row.get(column)) != 0 for column in _LABELS) or self._is_explained():
            return False
        if self._are_no_vote is None:
            others = (item[1] for item in self._read_rows(ReadOptions()) if not isinstance(item, LeftOut))
            renamed_others = (renamed(other, self._options) for other in others)
            self._are_no_vote = any(_number(it.get(column)) == -1 for it in renamed_others for column in _LABELS)
        return self._are_no_vote

    def _says_nothing_in(self, part: Part, row: Row) -> bool:
        if self._is_explained():
            return False
        labels = {0.0, -1.0} & {_number(row.get(column)) for column in _LABELS}
        self._options.seen.labels |= labels
        return part.zero_is_no_vote and 0.0 in labels

    def _is_explained(self) -> bool:
        mapped = (_number(said) for said in self._options.label_map)
        return self._options.threshold is not None or 0 in mapped


_LABELS = ("label", "kto_tag")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def columns_of(row: Row) -> str:
    return f"found the columns {', '.join(map(str, row))}" if row else "found no columns"


def columns_missing(columns: set[str]) -> str:
    return f"no record has a column {', '.join(sorted(columns))}, named under fields: or by --map"


def has_column(row: Row, column: str) -> bool:
    return _value(row, column) is not _ABSENT


def renamed(row: Row, options: ReadOptions) -> Row:
    """`row` with our names for the columns that `options.fields` maps; a.b is field b of the object in a."""
    if not options.fields:
        return row
    taken = set(options.fields.values()) | set(options.fields)
    result = {column: value for column, value in row.items() if column not in taken}
    mapped = {ours: _value(row, column) for ours, column in options.fields.items()}
    return result | {ours: value for ours, value in mapped.items() if value is not _ABSENT}


_ABSENT = object()


def _value(row: Row, column: str) -> object:
    if column in row:
        return row[column]
    value: object = row
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _check_fields(row: Row, where: str, options: ReadOptions) -> None:
    for ours, column in options.fields.items():
        if ours not in FIELDS:
            raise UserError(f"{ours} is not a field that can be mapped; these are: {', '.join(FIELDS)}")
        if others := [other for other in options.fields if other != ours and options.fields[other] == column]:
            raise UserError(
                f"{ours} and {others[0]} are both mapped to the column {column}; {columns_of(row)}; "
                f"map each to its own: --map {ours}=COLUMN (fields: in dataset.yaml)"
            )
        if ours in _REQUIRED and not has_column(row, column):
            raise UserError(
                f"{where}: no column {column}, to which {ours} is mapped; {columns_of(row)}; "
                f"say which it is: --map {ours}=COLUMN (fields: in dataset.yaml)"
            )
