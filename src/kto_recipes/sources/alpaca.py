"""Alpaca: {"instruction", "input", "output", "system"?, "history"?: [[question, answer], …]}.

The prompt is the instruction and, below it, the input where there is one. With a label (or LLaMA-Factory's kto_tag)
the output is a rated answer; with chosen and rejected in place of output it is a pair; else it is learned.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.rows import Message
from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import dialogue, label_of, messages_of, pair, rated, text_of
from kto_recipes.sources.tabular import Row

NAME = "alpaca"
LOOKS_FOR = "columns instruction and output, or instruction, chosen and rejected"


def fits(row: Row) -> bool:
    return "instruction" in row and ("output" in row or {"chosen", "rejected"} <= row.keys())


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    prompt = _prompt(row)
    if "output" not in row:
        yield from pair(prompt, text_of(row["chosen"], "chosen"), text_of(row["rejected"], "rejected"), where)
        return
    answer = text_of(row["output"], "output")
    tag = next((name for name in ("label", "kto_tag") if name in row), None)
    if tag is not None:
        yield rated(prompt, answer, label_of(row[tag], options), where)
    else:
        yield dialogue([*prompt, Message(role="assistant", content=answer)], where)


def _prompt(row: Row) -> list[Message]:
    question = text_of(row["instruction"], "instruction")
    if row.get("input"):
        question += "\n" + text_of(row["input"], "input")
    turns = []
    for asked, answered in _history(row.get("history") or []):
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return messages_of([*turns, {"role": "user", "content": question}], row.get("system"))


def _history(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in value):
        raise ValueError("history must be a list of [question, answer]")
    return [(text_of(asked, "history"), text_of(answered, "history")) for asked, answered in value]


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
