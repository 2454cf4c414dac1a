"""Open WebUI's feedback export (Admin, Evaluations, Feedbacks, Export): thumbs, each with a snapshot of its chat.

The chat is a tree, because an answer can be regenerated and a question edited: the prompt of a rated answer is what
stands above it, whichever branch was current, and nothing that was said later. Answers beside it were not rated.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import file_fits, read_file
from kto_recipes.sources.shapes import LeaveOut, label_of, messages_of, rated, seconds_of
from kto_recipes.sources.tabular import Row, kind_of
from kto_recipes.sources.votes import as_id, scalar

NAME = "openwebui"
LOOKS_FOR = "columns data (with rating), meta (with message_id) and snapshot: Admin, Evaluations, Feedbacks, Export"

# What the model thought and which tools it called, as Open WebUI writes them into an answer.
_ADDED = {"reasoning", "tool_calls", "code_interpreter"}
_TAG = re.compile(r"""<(/?)details\b((?:"[^"]*+"|[^">])*+)>""")
_TYPE = re.compile(r'\btype="([^"]*)"')


def fits(row: Row) -> bool:
    meta = row.get("meta")
    return ("data" in row and row.get("type") == "rating") or (isinstance(meta, dict) and "message_id" in meta)


def records_of(row: Row, where: str, options: ReadOptions) -> Iterator[Record]:
    data, meta = _object(row, "data"), _object(row, "meta")
    rating = scalar(data.get("rating"))
    if rating in (0, "0"):  # between −1 and 1: neither
        raise LeaveOut("no vote")
    label = label_of(rating, options)
    chat = _chat(row)
    *above, answer = _thread(chat, meta.get("message_id"))
    if answer.get("role") != "assistant":
        raise LeaveOut("not an answer")
    time = row.get("updated_at")
    yield rated(
        messages_of([_as_said(message) for message in above], _system(chat)),
        messages_of([_as_said(answer)])[0]["content"],
        label,
        where,
        conversation=as_id(meta.get("chat_id")) or as_id(row["snapshot"]["chat"].get("id")),
        rater=as_id(row.get("user_id")),
        time=seconds_of(row.get("created_at") if time is None else time),
    )


def _object(row: Row, key: str) -> Row:
    value = row.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {kind_of(value)}; expected an object")
    return value


def _chat(row: Row) -> Row:
    """What the snapshot says of the chat; exports made for sharing have none."""
    if row.get("snapshot") is None or _object(row, "snapshot").get("chat") is None:
        raise LeaveOut("no snapshot")
    return _object(_object(row["snapshot"], "chat"), "chat")


def _thread(chat: Row, message_id: Any) -> list[Row]:
    """The messages from the first down to the one with this id."""
    messages = _object(_object(chat, "history"), "messages")
    thread: list[Row] = []
    seen: set[str] = set()
    while message_id is not None:
        if not isinstance(message_id, str) or not isinstance(messages.get(message_id), dict):
            raise LeaveOut("broken thread" if thread else "rated message not found")
        if message_id in seen:
            raise LeaveOut("broken thread")
        seen.add(message_id)
        thread.append(messages[message_id])
        message_id = thread[-1].get("parentId")
    if not thread:
        raise LeaveOut("rated message not found")
    return thread[::-1]


def _system(chat: Row) -> str | None:
    """The chat's own system prompt; that of a model's settings is not in the export."""
    params = chat.get("params")
    system = params.get("system") if isinstance(params, dict) else None
    return system if isinstance(system, str) and system.strip() else None


def _as_said(message: Row) -> Row:
    """A message without what Open WebUI added to an answer.

    Raises:
        LeaveOut: when a file was attached: what the answer says of it cannot be learned from the text.
    """
    if message.get("files"):
        raise LeaveOut("attached file")
    content = message.get("content")
    if not isinstance(message.get("role"), str):
        raise ValueError(f"a message's role is {kind_of(message.get('role'))}; expected user or assistant")
    if message["role"] == "assistant" and isinstance(content, str):
        content = without_details(content)
    return {"role": message["role"], "content": content}


def without_details(text: str) -> str:
    """`text` without `<details type="reasoning">` and its like; one that is not closed goes on to the end."""
    kept, at, depth = [], 0, 0
    for tag in _TAG.finditer(text):
        if depth:
            depth += -1 if tag[1] else 1
            at = tag.end()
        elif not tag[1] and (kind := _TYPE.search(tag[2])) and kind[1] in _ADDED:
            kept.append(text[at : tag.start()])
            depth, at = 1, tag.end()
    if not depth:
        kept.append(text[at:])
    return "".join(kept).strip() if at else text


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_file(path, options, LOOKS_FOR, fits, records_of)
