"""What every chat importer yields: chats of messages, in the order they were sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol


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


@dataclass(slots=True)
class Chat:
    id: str
    name: str
    messages: list[ChatMessage] = field(default_factory=list)


class ChatSource(Protocol):
    """A module of this package that reads one chat format."""

    NAME: str

    @staticmethod
    def looks_like(head: bytes) -> bool:
        """Whether a file that starts with `head` (its first 64 KiB) is of this format."""

    @staticmethod
    def read(data: bytes, where: str) -> Iterator[Chat]:
        """The chats of a whole file; `where` names it in messages.

        Raises:
            UserError: when the file is not what `looks_like` took it for.
        """
