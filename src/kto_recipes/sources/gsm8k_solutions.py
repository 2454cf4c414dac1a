"""GSM8K's example model solutions: a question and, of each model, {"solution", "is_correct"}; one rated answer each."""

from collections.abc import Iterator
from pathlib import Path

from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import label_of, prompt_of, rated, text_of
from kto_recipes.sources.tabular import Row

NAME = "gsm8k_solutions"
LOOKS_FOR = "a column question and model solutions with solution and is_correct"


def fits(row: Row) -> bool:
    return "question" in row and any(True for _ in _solutions(row))


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    prompt = prompt_of(text_of(row["question"], "question"))
    for solution in _solutions(row):
        answer = text_of(solution["solution"], "solution")
        yield rated(prompt, answer, label_of(solution["is_correct"], options), where)


def _solutions(row: Row) -> Iterator[dict]:
    for value in row.values():
        if isinstance(value, dict) and {"solution", "is_correct"} <= value.keys():
            yield value


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
