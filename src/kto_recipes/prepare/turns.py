"""From a chat's messages to conversations of turns that alternate between the others and the persona."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from kto_recipes.errors import UserError
from kto_recipes.prepare.clean import neutralise_special_tokens
from kto_recipes.settings import Turns
from kto_recipes.sources.chat import Chat, ChatMessage


@dataclass(slots=True)
class Turn:
    """What one side said before the other spoke; `messages` is how many messages were merged into it: `parts`."""

    role: str  # "user" or "assistant"
    text: str
    messages: int
    parts: list[ChatMessage] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """Starts with a user turn, ends with a reply. `group` names the whole conversation before it was cut."""

    id: str
    group: str
    turns: list[Turn] = field(default_factory=list)


def find_persona(chat: Chat, persona: str) -> str:
    """The sender id of the persona, given as a display name or an id.

    Raises:
        UserError: listing who is in the chat, when the persona is not, or has no text there.
    """
    names = {m.sender_id: m.sender_name for m in chat.messages if m.left_out is None}
    matches = [sender for sender, name in names.items() if persona in (sender, name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"persona {persona!r} is the name of {len(matches)} people; give an id: {people(chat)}")
    raise UserError(f"persona {persona!r} wrote nothing in chat {chat.name!r}; in it are: {people(chat)}")


def people(chat: Chat) -> str:
    """Who wrote in a chat, for messages: the name, the id and how many messages, most first."""
    sent = senders(chat)[:20]
    return ", ".join(f"{name} ({sender}, {count} messages)" for sender, name, count in sent) or "nobody"


def senders(chat: Chat) -> list[tuple[str, str, int]]:
    """Who wrote in a chat: the id, the last name used and how many messages, most first."""
    said = [m for m in chat.messages if m.left_out is None]
    names = {m.sender_id: m.sender_name for m in said}
    return [(sender, names[sender], count) for sender, count in Counter(m.sender_id for m in said).most_common()]


def other_name(chat: Chat, persona_id: str) -> str:
    """Whom the persona talks to: the only other person, or the name of a group."""
    others = {m.sender_id: m.sender_name for m in chat.messages if m.left_out is None and m.sender_id != persona_id}
    return next(iter(others.values())) if len(others) == 1 else chat.name


def conversations(chat: Chat, persona_id: str, settings: Turns, left_out: Counter[str]) -> Iterator[Conversation]:
    """Cut a chat where it was silent, merge what one side sent in a row, and keep what is a dialogue.

    Every message ends up in a turn or is counted in `left_out` under a reason.
    """
    several = len({m.sender_id for m in chat.messages if m.left_out is None} - {persona_id}) > 1
    for stretch in _between_silences(chat.messages, settings.conversation_gap_hours * 3600):
        group = f"{chat.id}:{stretch[0].id}"
        turns: list[Turn] = []
        for message in stretch:
            if message.left_out is not None:
                left_out[message.left_out] += 1
                continue
            role = "assistant" if message.sender_id == persona_id else "user"
            text = message.text.strip()
            if several and role == "user":
                text = f"{message.sender_name}: {text}"
            text = neutralise_special_tokens(text)
            if turns and turns[-1].role == role:
                turns[-1].text += "\n" + text
                turns[-1].messages += 1
                turns[-1].parts.append(message)
            else:
                turns.append(Turn(role, text, 1, [message]))
        while turns and turns[0].role == "assistant":
            left_out["persona_spoke_first"] += turns.pop(0).messages
        while turns and turns[-1].role == "user":
            left_out["no_reply"] += turns.pop().messages
        for start in range(0, len(turns), settings.max_turns - settings.max_turns % 2):
            part = turns[start : start + settings.max_turns - settings.max_turns % 2]
            yield Conversation(id=f"{group}+{start}" if start else group, group=group, turns=part)


def _between_silences(messages: list[ChatMessage], gap: float) -> Iterator[list[ChatMessage]]:
    stretch: list[ChatMessage] = []
    for message in messages:
        if stretch and message.time - stretch[-1].time > gap:
            yield stretch
            stretch = []
        stretch.append(message)
    if stretch:
        yield stretch
