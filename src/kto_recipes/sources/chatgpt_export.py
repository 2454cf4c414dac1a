"""ChatGPT's account export: its files, zipped or not, and the way through a conversation's tree of messages.

A conversation is a graph: an edited question or a regenerated answer starts another branch. What somebody saw is
found by going from a message to its parents; the order in the file says nothing.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812

from kto_recipes.errors import UserError
from kto_recipes.rows import Message
from kto_recipes.sources.json_stream import JsonStream, kind, open_file
from kto_recipes.sources.records import ReadOptions

FEEDBACK = "message_feedback.json"

_CONVERSATIONS = re.compile(r"conversations(?:-\d+)?\.json")
_FIRST_PART = re.compile(r"conversations-0+\.json")  # stands for all parts
_BAD_ZIP = (BadZipFile, RuntimeError, ValueError, OSError, EOFError, IndexError, struct.error, ZlibError, LZMAError)
_EMPTY_LIST = 4  # bytes: [] and a line break
_TEXTS = ("text", "multimodal_text")


def is_zip(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def thumbs_in_zip(path: Path) -> bool | None:
    """Whether the zip of an export has thumbs in it; none for what is no such zip."""
    try:
        with ZipFile(path) as archive:
            sizes = {info.filename.rsplit("/", 1)[-1]: info.file_size for info in archive.infolist()}
    except _BAD_ZIP:
        return None
    if not any(_CONVERSATIONS.fullmatch(name) for name in sizes):
        return None
    return sizes.get(FEEDBACK, 0) > _EMPTY_LIST


def files(path: Path) -> list[Path]:
    """What is read for the export at `path`: a zip alone, or a JSON file with those that belong to it."""
    with open_file(path) as file:
        if is_zip(file.read(4)):
            return [path]
    if path.name != FEEDBACK and not _FIRST_PART.fullmatch(path.name):
        return [path]
    others = [other for other in sorted(path.parent.iterdir()) if _CONVERSATIONS.fullmatch(other.name)]
    if path.name != FEEDBACK:
        return [other for other in others if other.name != "conversations.json"]
    return [path, *others]


def conversations(path: Path) -> Iterator[tuple[str, Any]]:
    """Every conversation of the export at `path`, with its place.

    Raises:
        UserError: when there is no file of conversations, or one that is not what it should be.
    """
    found = False
    for file in files(path):
        if file.name == FEEDBACK:
            continue
        for name in _members(file, _CONVERSATIONS):
            found = True
            yield from elements(file, name)
    if not found:
        raise UserError(f"{path}: found no conversations.json; put it beside this file, or give the whole .zip")


def mapping_of(conversation: Any, where: str, options: ReadOptions) -> dict[str, Any] | None:
    """A conversation's messages by id; none, and trouble, where it has none."""
    mapping = conversation.get("mapping") if isinstance(conversation, dict) else None
    if isinstance(mapping, dict):
        return mapping
    options.on_trouble(f'{where}: not a conversation of ChatGPT: it has no "mapping"; export the account again')
    return None


def elements(path: Path, name: str | None) -> Iterator[tuple[str, Any]]:
    """The elements of a list in JSON, each with its place; `name` is a file of the zip at `path`, none for no zip."""
    where = f"{path}: {name}" if name else str(path)
    with _opened(path, name) as file:
        stream = JsonStream(file, where)
        event, _ = stream.next()
        if event != "start_array":
            raise UserError(f"{where}: not of a ChatGPT export: the file holds a {kind(event)}, not a list")
        for number, (event, scalar) in enumerate(stream.elements()):
            yield f"{where}: [{number}]", stream.value(event, scalar)
        stream.end()


def feedback(path: Path) -> Iterator[tuple[str, Any]]:
    """Every thumb of the export at `path`, which is its message_feedback.json or its zip."""
    names = _members(path, re.compile(re.escape(FEEDBACK)))
    if not names:
        raise UserError(f"{path}: has no {FEEDBACK} in it: nobody gave a thumb, or the export is older than they are")
    for name in names:
        yield from elements(path, name)


def branch(mapping: dict[str, Any], node_id: Any) -> list[dict[str, Any]]:
    """The messages from a conversation's first to the node's, both included."""
    found = []
    seen = set()
    while isinstance(node_id, str) and node_id not in seen and isinstance(mapping.get(node_id), dict):
        seen.add(node_id)
        node = mapping[node_id]
        if isinstance(node.get("message"), dict):
            found.append(node["message"])
        node_id = node.get("parent")
    return found[::-1]


def turns(messages: list[dict[str, Any]]) -> list[Message]:
    """What the two said in turns; a question of pictures alone is an empty text.

    Hidden messages, tools and what is said to them, thoughts and everything that is no text are passed over: the
    pieces of an answer around a tool call are one turn.
    """
    said: list[Message] = []
    for message in messages:
        role = _field(message, "author", "role")
        if role not in ("system", "user", "assistant") or _is_unseen(message):
            continue
        text = _text(message)
        if not text.strip() and role != "user":
            continue
        if role == "system" and said:
            continue
        if said and said[-1]["role"] == role:
            said[-1]["content"] = "\n\n".join(part for part in (said[-1]["content"], text) if part)
        else:
            said.append(Message(role=role, content=text))
    return said


def with_words(said: list[Message]) -> list[Message]:
    """The turns less each question without words and the answer to it: nothing shows what it answers."""
    kept: list[Message] = []
    is_answerable = True
    for message in said:
        if message["role"] == "user":
            is_answerable = bool(message["content"].strip())
        if is_answerable:
            kept.append(message)
    return kept


def _is_unseen(message: dict[str, Any]) -> bool:
    """Whether it is no part of the conversation that is seen on the screen."""
    if _field(message, "metadata", "is_visually_hidden_from_conversation"):
        return True
    return message.get("recipient") not in (None, "all") or _field(message, "content", "content_type") not in _TEXTS


def _text(message: dict[str, Any]) -> str:
    parts = _field(message, "content", "parts")
    return "\n".join(part for part in parts if isinstance(part, str)) if isinstance(parts, list) else ""


def _field(message: dict[str, Any], outer: str, inner: str) -> Any:
    holder = message.get(outer)
    return holder.get(inner) if isinstance(holder, dict) else None


def _members(path: Path, wanted: re.Pattern[str]) -> list[str | None]:
    """The wanted files of a zip, in order; for another file itself, as none."""
    with open_file(path) as file:
        if not is_zip(file.read(4)):
            return [None]
    try:
        with ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if wanted.fullmatch(name.rsplit("/", 1)[-1]))
    except _BAD_ZIP as error:
        raise UserError(f"{path}: a zip that cannot be opened: {error}; download or copy it again") from None


@contextmanager
def _opened(path: Path, name: str | None) -> Iterator[IO[bytes]]:
    if name is None:
        with open_file(path) as file:
            yield file
        return
    try:
        with ZipFile(path) as archive, archive.open(name) as file:
            yield file
    except _BAD_ZIP as error:
        raise UserError(f"{path}: {name} in it cannot be read: {error}; download or copy it again") from None
