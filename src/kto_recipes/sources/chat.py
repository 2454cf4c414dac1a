"""What every chat importer yields: chats of messages, in the order they were sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(slots=True)
class Reaction:
    """One emoji under a message, as it stands in the export; a reaction by the message's own author included.

    Attributes:
        emoji: the emoji itself, or what names one that is not of Unicode.
        count: how many people reacted so; may be more than the raters known.
        raters: each one's sender id, and when, in seconds since 1970, UTC, where that is known.
    """

    emoji: str
    count: int
    raters: list[tuple[str, float | None]] = field(default_factory=list)


@dataclass(slots=True)
class ChatMessage:
    """One message as it stands in the export.

    `text` is what a person wrote, "" where there is none. `left_out` names the reason why a message cannot
    be anybody's turn (a service notice, a picture without words, ...); such a message keeps its place so
    that the gaps between turns stay right. `time` is in seconds since 1970, UTC.
    """

    id: str
    time: float
    sender_id: str
    sender_name: str
    text: str
    left_out: str | None = None
    votes: list[Reaction] = field(default_factory=list)


@dataclass(slots=True)
class Chat:
    id: str
    name: str
    messages: list[ChatMessage] = field(default_factory=list)


class ChatSource(Protocol):
    """A module of this package that reads one chat format."""

    NAME: str
    LOOKS_FOR: str  # what tells the format, for a person whose file is not recognised

    @staticmethod
    def looks_like(head: bytes, path: Path) -> bool:
        """Whether the file at `path`, which starts with `head` (its first 64 KiB), is of this format."""

    @staticmethod
    def read(path: Path, where: str, *, date_order: str | None = None) -> Iterator[Chat]:
        """The chats of a file, one at a time; `where` names it in messages.

        `date_order` (dmy, mdy or ymd) is for formats whose dates can be read in more than one way.

        Raises:
            UserError: when the file is not what `looks_like` took it for.
        """
