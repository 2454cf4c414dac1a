"""The conversations of a ChatGPT account, each as it stands: its current branch, good as a whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.sources.chatgpt_export import (
    branch,
    conversations,
    files,
    is_zip,
    mapping_of,
    thumbs_in_zip,
    turns,
    with_words,
)
from kto_recipes.sources.records import Dialogue, LeftOut, ReadOptions, Record

NAME = "chatgpt"
LOOKS_FOR = "conversations.json or conversations-000.json of a ChatGPT export, or its .zip without thumbs in it"

companions = files


def looks_like(head: bytes, path: Path) -> bool:
    if is_zip(head):
        return thumbs_in_zip(path) is False
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \n\r\t")
    return text.startswith("[") and '"mapping"' in text and ('"title"' in text or '"current_node"' in text)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    for where, conversation in conversations(path):
        yield _record(conversation, where, options)


def _record(conversation: Any, where: str, options: ReadOptions) -> Record:
    mapping = mapping_of(conversation, where, options)
    if mapping is None:
        return LeftOut("unreadable", where)
    messages = branch(mapping, conversation.get("current_node"))
    if not messages:
        return LeftOut("no current branch", where)
    said = with_words(turns(messages))
    if not any(message["role"] == "assistant" for message in said):
        return LeftOut("no reply", where)
    return Dialogue(said, str(conversation.get("conversation_id") or conversation.get("id") or where), where)
