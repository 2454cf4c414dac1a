"""Importers: one module per input format, found by content."""

from collections.abc import Iterator
from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.sources import telegram
from kto_recipes.sources.chat import Chat, ChatMessage, ChatSource

__all__ = ["CHAT_SOURCES", "Chat", "ChatMessage", "read_chats"]

CHAT_SOURCES: dict[str, ChatSource] = {source.NAME: source for source in (telegram,)}
_HEAD_BYTES = 64 * 1024


def read_chats(path: Path, format_name: str | None = None) -> Iterator[Chat]:
    """The chats of an export, by its `format_name` or, without one, by what the file looks like.

    Raises:
        UserError: for a missing, empty or unrecognised file, or one that is not of the format given.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the exported file in it (Telegram calls it result.json)")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes); export it again")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    _refuse_html(head, path)
    if format_name is not None:
        if format_name not in CHAT_SOURCES:
            raise UserError(f"format {format_name!r} is not known; known are: {', '.join(CHAT_SOURCES)}")
        source = CHAT_SOURCES[format_name]
    else:
        source = next((source for source in CHAT_SOURCES.values() if source.looks_like(head)), None)
        if source is None:
            raise UserError(f"{path}: not recognised; looked for: {', '.join(CHAT_SOURCES)}")
    return source.read(path.read_bytes(), str(path))


def _refuse_html(head: bytes, path: Path) -> None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise UserError(
            f"{path}: this is an HTML export. In Telegram Desktop choose Export chat history, "
            "then Format: Machine-readable JSON, and use the result.json it writes"
        )
