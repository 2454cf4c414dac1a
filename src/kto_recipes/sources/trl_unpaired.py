"""TRL's unpaired preferences: {"prompt", "completion", "label"} as text or messages, and their relatives.

Read as well: a completion that holds the whole conversation (KTO-mix, Axolotl's argilla_chat), a system column beside
text (Axolotl's tutorials), and a collector's log with metadata.user_id and metadata.timestamp.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import FAR_AHEAD, label_of, prompt_and_answer, rated, seconds_of
from kto_recipes.sources.tabular import Row

NAME = "trl_unpaired"
LOOKS_FOR = "columns completion and label, and prompt unless the completion is a whole conversation"


def fits(row: Row) -> bool:
    return {"completion", "label"} <= row.keys() and ("prompt" in row or isinstance(row["completion"], list))


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    prompt, answer = prompt_and_answer(row.get("prompt"), row["completion"], row.get("system"))
    metadata = row.get("metadata") if isinstance(row.get("metadata"), dict) else {}
    rater = row.get("rater", metadata.get("user_id"))
    yield rated(
        prompt,
        answer,
        label_of(row["label"], options),
        where,
        conversation=row.get("conversation"),
        rater=None if rater in (None, "") else str(rater),
        time=seconds_of(row.get("time", metadata.get("timestamp"))),
    )


def is_plain(row: Row) -> bool:
    """Whether what `records_of` makes of a row are its own values, as they are: most rows of a large vote log.

    Finding that out takes a third of the time that `records_of` takes.
    """
    text = row.get("completion")
    return (
        type(row.get("label")) is bool
        and type(text) is str
        and text != ""
        and not text.isspace()
        and _is_plain_prompt(row.get("prompt"))
        and type(row.get("conversation")) is str
        and row["conversation"] != ""
        and type(row.get("rater", "")) is str
        and type(row.get("time", 0)) is int
        and 0 <= row.get("time", 0) < FAR_AHEAD
        and "system" not in row
        and "metadata" not in row
    )


def _is_plain_prompt(value: Any) -> bool:
    """Messages of the user and the assistant in turn, the last one the user's and not empty."""
    if type(value) is not list or not value:
        return False
    before = ""
    for message in value:
        if type(message) is not dict or len(message) != 2 or type(message.get("content")) is not str:
            return False
        role = message.get("role")
        if role == before or (role != "user" and role != "assistant" and (role != "system" or before)):
            return False
        before = role
    return before == "user" and not value[-1]["content"].isspace() and value[-1]["content"] != ""


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
