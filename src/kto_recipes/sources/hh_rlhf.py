"""Anthropic's HH-RLHF: chosen and rejected dialogues as text, blocks "\\n\\nHuman: …" and "\\n\\nAssistant: …" in turn.

The last Assistant block is the answer and what stands before it the prompt. Only "Human:" and "Assistant:" that follow
an empty line open a block; people also write them inside a line. Copies with a prompt of such blocks are read as well.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.rows import Message
from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import LeaveOut, pair, text_of
from kto_recipes.sources.tabular import Row

NAME = "hh_rlhf"
LOOKS_FOR = 'columns chosen and rejected, or a prompt, as text that begins with "\\n\\nHuman:"'

_BLOCK = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def fits(row: Row) -> bool:
    texts = [row.get(name) for name in ("chosen", "rejected")]
    start = row.get("prompt") if row.get("prompt") is not None else texts[0]
    return all(isinstance(text, str) for text in texts) and isinstance(start, str) and bool(_BLOCK.match(start))


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    above, chosen = _split(_whole(row, "chosen"))
    above_rejected, rejected = _split(_whole(row, "rejected"))
    if above != above_rejected:
        raise LeaveOut("prompts differ")
    yield from pair(above, chosen, rejected, where)


def _whole(row: Row, column: str) -> str:
    prompt: Any = row.get("prompt")
    return (text_of(prompt, "prompt") if prompt is not None else "") + text_of(row[column], column)


def _split(text: str) -> tuple[list[Message], str]:
    """The prompt's messages and the answer; the one space after each colon belongs to the format."""
    pieces = _BLOCK.split(text)
    if pieces[0].strip():
        raise ValueError('the dialogue does not begin with "\\n\\nHuman:"')
    blocks = zip(pieces[1::2], pieces[2::2], strict=True)
    messages = [Message(role=_ROLES[who], content=said.removeprefix(" ")) for who, said in blocks]
    if not messages or messages[-1]["role"] != "assistant":
        raise LeaveOut("no reply")
    return messages[:-1], messages[-1]["content"]


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
