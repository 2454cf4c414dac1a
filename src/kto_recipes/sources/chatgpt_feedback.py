"""The thumbs of a ChatGPT account: message_feedback.json beside conversations.json, or both in the export's zip."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from kto_recipes.sources.chatgpt_export import (
    FEEDBACK,
    branch,
    conversations,
    feedback,
    files,
    is_zip,
    mapping_of,
    thumbs_in_zip,
    turns,
    with_words,
)
from kto_recipes.sources.records import LeftOut, Rated, ReadOptions, Record, as_label

NAME = "chatgpt_feedback"
LOOKS_FOR = f"{FEEDBACK} of a ChatGPT export, or its .zip with thumbs in it"

companions = files


@dataclass(slots=True)
class _Vote:
    message: str
    label: bool
    rater: str | None
    time: float | None
    where: str


def looks_like(head: bytes, path: Path) -> bool:
    if is_zip(head):
        return thumbs_in_zip(path) is True
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \n\r\t")
    fields = ('"message_id"', '"conversation_id"', '"rating"')
    return text.startswith("[") and (path.name == FEEDBACK or all(field in text for field in fields))


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    votes: dict[str, list[_Vote]] = defaultdict(list)
    for where, given in feedback(path):
        vote = _vote(given, where, options)
        if isinstance(vote, LeftOut):
            yield vote
        else:
            votes[str(given.get("conversation_id") or vote.message)].append(vote)
    if not votes:
        return
    for where, conversation in conversations(path):
        mapping = mapping_of(conversation, where, options)
        if mapping is None:
            continue
        for name in _names(conversation, mapping, votes):
            for vote in votes.pop(name, []):
                yield _rated(vote, mapping, name)
    for vote in (vote for remaining in votes.values() for vote in remaining):
        yield LeftOut("deleted conversation", vote.where)


def _names(conversation: dict[str, Any], mapping: dict[str, Any], votes: dict[str, list[_Vote]]) -> set[str]:
    """What the votes may call a conversation. Some exports give it no id; its messages tell then."""
    ids = {str(conversation[key]) for key in ("conversation_id", "id") if conversation.get(key)}
    return ids or {name for name, given in votes.items() if any(_node(mapping, vote.message) for vote in given)}


def _vote(given: Any, where: str, options: ReadOptions) -> _Vote | LeftOut:
    if not isinstance(given, dict) or not isinstance(given.get("message_id"), str):
        options.on_trouble(f'{where}: not a thumb of ChatGPT: it has no "message_id"; export the account again')
        return LeftOut("unreadable", where)
    try:
        label = as_label(given.get("rating"), options)
    except ValueError as error:
        options.on_trouble(f"{where}: {error}")
        return LeftOut("unreadable", where)
    if label is None:
        return LeftOut("no vote", where)
    rater = given.get("user_id")
    return _Vote(given["message_id"], label, str(rater) if rater else None, _time(given.get("create_time")), where)


def _rated(vote: _Vote, mapping: dict[str, Any], conversation: str) -> Record:
    """The answer up to the message that was rated, and everything above it on its own branch."""
    messages = branch(mapping, _node(mapping, vote.message))
    if not messages:
        return LeftOut("deleted message", vote.where)
    said = turns(messages)
    if not said or said[-1]["role"] != "assistant":
        return LeftOut("not an answer", vote.where)
    if len(said) < 2 or said[-2]["role"] != "user" or not said[-2]["content"].strip():
        return LeftOut("no question", vote.where)
    *prompt, answer = with_words(said)
    return Rated(prompt, answer["content"], vote.label, conversation, vote.where, vote.rater, vote.time)


def _node(mapping: dict[str, Any], message_id: str) -> str | None:
    """The node of a message; its id is the message's, in all exports seen."""
    if message_id in mapping:
        return message_id
    for node_id, node in mapping.items():
        message = node.get("message") if isinstance(node, dict) else None
        if isinstance(message, dict) and message.get("id") == message_id:
            return node_id
    return None


def _time(value: Any) -> float | None:
    """Seconds since 1970 of a number or of a date; none for what is neither."""
    try:
        if not isinstance(value, str):
            return float(value) if isfinite(float(value)) else None
        date = datetime.fromisoformat(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
