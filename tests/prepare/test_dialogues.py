"""Conversations without votes: cut after replies, and each reply with what stood before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_recipes.prepare.dialogues import cut, replies
from kto_recipes.rows import Message

ROLES = st.lists(st.sampled_from(["user", "assistant"]), max_size=14)


def turns(roles: str | list[str]) -> list[Message]:
    names = {"u": "user", "a": "assistant"}
    return [Message(role=names.get(role, role), content=str(n)) for n, role in enumerate(roles)]


def kinds(messages: list[Message]) -> str:
    return "".join(message["role"][0] for message in messages)


@pytest.mark.parametrize(
    ("roles", "max_turns", "expected"),
    [
        ("uaua", 16, [(0, "uaua")]),
        ("uauau", 16, [(0, "uaua")]),
        ("auaua", 16, [(1, "uaua")]),
        ("uauaua", 4, [(0, "uaua"), (4, "ua")]),
        ("uauaua", 5, [(0, "uaua"), (4, "ua")]),
        ("uuaua", 3, [(0, "uua"), (3, "ua")]),
        ("uuuuaua", 3, [(0, "uuuua"), (5, "ua")]),
        ("uaaua", 2, [(0, "uaa"), (3, "ua")]),
        ("u", 4, []),
        ("a", 4, []),
        ("", 4, []),
    ],
)
def test_a_long_conversation_is_cut_after_a_reply(roles, max_turns, expected):
    assert [(start, kinds(part)) for start, part in cut(turns(roles), max_turns)] == expected


@given(ROLES, st.integers(2, 6))
def test_every_reply_to_somebody_is_in_one_part(roles, max_turns):
    messages = turns(roles)
    found = [message for _, part in cut(messages, max_turns) for message in part]
    first = next((n for n, message in enumerate(messages) if message["role"] == "user"), len(messages))
    said = [message for message in messages[first:] if message["role"] == "assistant"]
    assert [message for message in found if message["role"] == "assistant"] == said
    assert all(messages[start] == part[0] for start, part in cut(messages, max_turns))


@pytest.mark.parametrize(
    ("roles", "window", "expected"),
    [
        ("uaua", 8, [(1, "u"), (3, "uau")]),
        ("uaua", 2, [(1, "u"), (3, "u")]),
        ("uaua", 1, [(1, "u"), (3, "u")]),
        ("uuaa", 8, [(2, "uu")]),
        ("aua", 8, [(2, "u")]),
    ],
)
def test_each_reply_has_the_turns_before_it_up_to_the_window(roles, window, expected):
    assert [(index, kinds(history)) for index, history in replies(turns(roles), window)] == expected
