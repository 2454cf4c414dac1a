"""How the tests of training and preference sets write files and read them."""

import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.rows import Message
from kto_recipes.sources.records import Dialogue, LeftOut, Rated, ReadOptions, Record


def stop(sentence: str) -> None:
    """What `on_trouble` does where a person wants to hear of the first record that cannot be read."""
    raise UserError(sentence)


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def records(source: ModuleType, folder: Path, *rows: Any, **options: Any) -> list[Record]:
    """What `source` makes of rows in JSON Lines; trouble stops it unless `on_trouble` is given."""
    path = write_lines(folder / "rows.jsonl", *rows)
    return list(source.read(path, ReadOptions(**{"on_trouble": stop} | options)))


def answers(found: list[Record]) -> list[tuple[list[Message], str, bool]]:
    """The prompt, answer and label of each record, all of which must be rated answers."""
    assert all(isinstance(record, Rated) for record in found), found
    return [(record.prompt, record.completion, record.label) for record in found]


def conversations(found: list[Record]) -> list[list[Message]]:
    assert all(isinstance(record, Dialogue) for record in found), found
    return [record.messages for record in found]


def reasons(found: list[Record]) -> list[str]:
    assert all(isinstance(record, LeftOut) for record in found), found
    return [record.reason for record in found]


def counts(found: list[Record]) -> Counter[str]:
    """How many of each: good, bad, dialogue, and the reasons of what was left out."""
    kinds: Counter[str] = Counter()
    for record in found:
        if isinstance(record, Rated):
            kinds["good" if record.label else "bad"] += 1
        else:
            kinds["dialogue" if isinstance(record, Dialogue) else record.reason] += 1
    return kinds


def turns(*texts: str, system: str | None = None) -> list[Message]:
    """Messages of the user and the assistant in turn."""
    start = [Message(role="system", content=system)] if system is not None else []
    return start + [
        Message(role="assistant" if number % 2 else "user", content=text) for number, text in enumerate(texts)
    ]
