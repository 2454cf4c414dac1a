"""Telegram Desktop's JSON export (`result.json`): one chat, or a whole account's chats.

Schema: https://core.telegram.org/import-export and the exporter's own source. Exports from before mid-2021
have integer `from_id` and no `date_unixtime`; both are read.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.sources.chat import Chat, ChatMessage

NAME = "telegram"

_FENCES = {"code": ("`", "`"), "pre": ("```\n", "\n```")}


def looks_like(head: bytes) -> bool:
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \n\r\t")
    chat = '"messages"' in text and ('"type"' in text or '"from"' in text)
    return text.startswith("{") and (chat or '"chats"' in text or '"personal_information"' in text)


def read(data: bytes, where: str) -> Iterator[Chat]:
    export = _parse(data, where)
    if not isinstance(export, dict):
        raise UserError(f"{where}: not a Telegram export: the file holds a {type(export).__name__}, not an object")
    if "messages" in export:
        chats = [export]
    else:
        blocks = [export.get("chats"), export.get("left_chats")]
        chats = [chat for block in blocks if isinstance(block, dict) for chat in block.get("list") or []]
    if not chats:
        raise UserError(f'{where}: not a Telegram export: found neither "messages" (one chat) nor "chats" (an account)')
    for number, chat in enumerate(chats):
        yield _chat(chat, where if len(chats) == 1 else f"{where}: chats.list[{number}]")


def _parse(data: bytes, where: str) -> Any:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not valid UTF-8 at byte {error.start}; export it again as JSON") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        byte = len(text[: error.pos].encode())
        raise UserError(
            f"{where}: not valid JSON at byte {byte} (line {error.lineno}, column {error.colno}): {error.msg}; "
            "the export may have been cut short, export it again"
        ) from None


def _chat(chat: Any, where: str) -> Chat:
    messages = chat.get("messages") if isinstance(chat, dict) else None
    if not isinstance(messages, list):
        raise UserError(f'{where}: not a Telegram chat: "messages" is not a list')
    result = Chat(id=str(chat.get("id", "chat")), name=_whole(str(chat.get("name") or chat.get("type") or "chat")))
    time = 0.0
    for number, message in enumerate(messages):
        place = f"{where}: messages[{number}]"
        if not isinstance(message, dict):
            raise UserError(f"{place}: not an object")
        time = _time(message, place, before=time)
        result.messages.append(_message(message, number, time, place))
    return result


def _message(message: dict, number: int, time: float, place: str) -> ChatMessage:
    text = _text(message.get("text", ""), place)
    sender_id = message.get("from_id", message.get("actor_id", message.get("from")))
    return ChatMessage(
        id=str(message.get("id", number)),
        time=time,
        sender_id=f"user{sender_id}" if isinstance(sender_id, int) else str(sender_id),
        sender_name=_whole(str(message.get("from") or message.get("actor") or "Deleted account")),
        text=_whole(text),
        left_out=_reason_to_leave_out(message, text),
    )


def _reason_to_leave_out(message: dict, text: str) -> str | None:
    """Why a message is not a turn of the person who sent it, if it is not.

    An edit is no reason: the server marks a message as edited when it gets its first reaction.
    """
    if message.get("type", "message") != "message":
        return "service"
    if "forwarded_from" in message:
        return "forwarded"
    if "via_bot" in message:
        return "via_bot"
    if not text.strip():
        is_media = any(key in message for key in ("photo", "file", "media_type", "poll", "location_information"))
        return "media_without_text" if is_media else "empty"
    if _is_bot_command(message["text"]):
        return "bot_command"
    return None


def _is_bot_command(value: Any) -> bool:
    """Whether a text is nothing but commands such as /start."""
    parts = [part for part in value if not isinstance(part, str) or part.strip()] if isinstance(value, list) else []
    return bool(parts) and all(isinstance(part, dict) and part.get("type") == "bot_command" for part in parts)


def _text(value: Any, place: str) -> str:
    """A message's text with inline code, code blocks and link targets put back as Markdown."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise UserError(f'{place}: "text" is a {type(value).__name__}; expected a string or a list')
    parts = []
    for part in value:
        if isinstance(part, str):
            parts.append(part)
            continue
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise UserError(f'{place}: a part of "text" is neither a string nor an object with a text')
        before, after = _FENCES.get(part.get("type"), ("", ""))
        if part.get("type") == "text_link" and part.get("href"):
            before, after = "[", f"]({part['href']})"
        parts.append(before + part["text"] + after)
    return "".join(parts)


def _whole(text: str) -> str:
    """`text` with each half of a character (a lone surrogate), which no file can hold, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _time(message: dict, place: str, before: float) -> float:
    """Seconds since 1970. `date` is the exporting machine's local time, so `date_unixtime` goes first.

    A message without either ("unsupported" has only an id) was sent when the one before it was, at `before`:
    it must not look like a silence.
    """
    if "date_unixtime" in message:
        try:
            return float(message["date_unixtime"])
        except (TypeError, ValueError):
            raise UserError(f'{place}: "date_unixtime" is {message["date_unixtime"]!r}, not a number') from None
    try:
        return datetime.fromisoformat(message.get("date", "")).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return before
