"""Discord channels as DiscordChatExporter writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from damaged_files import TEXTS, damaged, nothing_but_a_user_error
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kto_recipes.errors import UserError
from kto_recipes.sources import discord
from kto_recipes.sources.chat import Chat, ChatMessage, Reaction

ANA = {"id": "7", "name": "ana", "nickname": "Ana", "isBot": False}
HELPER = {"id": "8", "name": "helper", "isBot": True}


def message(number: int = 10, content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "Default",
        "timestamp": "2025-01-02T03:04:05.1+00:00",
        "timestampEdited": None,
        "isPinned": False,
        "content": content,
        "author": ANA,
        "reactions": [],
        **more,
    }


def export(*messages: Any, **more: Any) -> dict[str, Any]:
    guild, channel = {"id": "1", "name": "G"}, {"id": "2", "type": "GuildTextChat", "name": "ask-bot"}
    return {"guild": guild, "channel": channel, "messages": list(messages), "messageCount": len(messages), **more}


def read(folder: Path, value: Any) -> Chat:
    path = folder / "channel.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    (chat,) = discord.read(path, "channel.json")
    return chat


def read_one(folder: Path, **more: Any) -> ChatMessage:
    (only,) = read(folder, export(message(**more))).messages
    return only


def test_a_channel_is_a_chat_of_who_said_what_and_when(tmp_path):
    asked = message(10, "what is KTO?")
    reply = message(11, "A preference loss…", type="Reply", author=HELPER, timestamp="2025-01-02T04:04:09+01:00")
    chat = read(tmp_path, export(asked, reply))
    assert (chat.id, chat.name) == ("2", "ask-bot")
    assert [(m.id, m.sender_id, m.sender_name, m.text, m.left_out) for m in chat.messages] == [
        ("10", "7", "Ana", "what is KTO?", None),
        ("11", "8", "helper", "A preference loss…", None),
    ]
    # 2025-01-02 03:04:05 UTC is 1735787045.
    assert [m.time for m in chat.messages] == [1735787045.1, 1735787049.0]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"type": "ChannelPinnedMessage", "content": "pinned a message"}, "service"),
        ({"type": "GuildMemberJoin", "content": "joined the server"}, "service"),
        ({"type": "20", "author": HELPER, "interaction": {"name": "ask"}}, "slash_command"),
        ({"type": 20, "author": HELPER}, "slash_command"),
        ({"content": "", "attachments": [{"id": "1", "fileName": "a.png"}]}, "media_without_text"),
        ({"content": "", "stickers": [{"id": "1", "name": "wave"}]}, "media_without_text"),
        ({"content": "", "embeds": [{"description": "a link's preview"}]}, "media_without_text"),
        ({"content": ""}, "empty"),
        ({"content": "", "forwardedMessage": {"content": "from elsewhere"}}, "forwarded"),
    ],
)
def test_what_is_nobodys_turn_is_left_out_under_its_reason_and_keeps_its_place(tmp_path, changed, reason):
    first, middle, last = read(tmp_path, export(message(1), message(2) | changed, message(3))).messages
    assert (first.left_out, middle.left_out, last.left_out) == (None, reason, None)


def test_a_bot_may_speak_in_embeds_alone(tmp_path):
    embeds = [{"title": "t", "description": "It is a loss."}, {"description": None}, {"description": "See the paper."}]
    only = read_one(tmp_path, content="", author=HELPER, embeds=embeds)
    assert (only.text, only.left_out) == ("It is a loss.\nSee the paper.", None)
    assert read_one(tmp_path, content="words", author=HELPER, embeds=embeds).text == "words"


def reaction(name: str, count: int, *users: dict[str, Any], **emoji: Any) -> dict[str, Any]:
    return {"emoji": {"id": "", "name": name, "code": "x"} | emoji, "count": count, "users": list(users)}


def test_reactions_are_kept_with_their_users_and_without_bots(tmp_path):
    ben = {"id": "9", "name": "ben", "isBot": False}
    found = read_one(
        tmp_path,
        author=HELPER,
        reactions=[
            reaction("👎", 1, ANA),
            reaction("👍", 3, ANA, ben, HELPER),  # the bot offers the button by pressing it first
            reaction("✅", 1, HELPER),
            reaction("party", 2, id="55", isAnimated=True),  # fetching the users was switched off
        ],
    ).votes
    assert found == [
        Reaction("👎", 1, [("7", None)]),
        Reaction("👍", 2, [("7", None), ("9", None)]),
        Reaction("✅", 0),
        Reaction("party", 2),
    ]


def test_an_older_export_without_users_has_counts(tmp_path):
    found = read_one(tmp_path, reactions=[{"emoji": {"id": None, "name": "👍"}, "count": 4}]).votes
    assert found == [Reaction("👍", 4)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1], "not a Discord export: the file holds a list, not an object"),
        ({"guild": {}}, 'found no "channel" with a list of "messages"'),
        ({"channel": {"id": "2"}, "messages": {}}, 'found no "channel" with a list of "messages"'),
        (export("hi"), r'messages\[0\]: not a message of Discord: it has no "author"'),
        (export(message(), message(author={"name": "x"})), r'messages\[1\]: .* no "author" with an "id"'),
        (export(message(timestamp="soon")), r"messages\[0\]: \"timestamp\" is 'soon', not a date"),
        (export(message(content=7)), r'messages\[0\]: "content" is not a text'),
        (export(message(reactions=[{"count": 1}])), r'messages\[0\]: a reaction has no "emoji"'),
        (export(message(reactions={})) | {"messages": [message(reactions=["👍"])]}, '"reactions" is not a list of'),
    ],
)
def test_what_only_looks_like_an_export_is_refused_with_the_place(tmp_path, value, said):
    with pytest.raises(UserError, match=f"channel.json: .*{said}"):
        read(tmp_path, value)


def test_it_is_recognised_and_other_formats_are_not(tmp_path):
    assert discord.looks_like(json.dumps(export(message())).encode(), tmp_path)
    for text in ('{"name": "Ana", "messages": []}', '[{"guild": 1, "channel": 2}]', "{}", ""):
        assert not discord.looks_like(text.encode(), tmp_path)


@given(st.lists(TEXTS, max_size=5), st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_text_comes_back_as_it_was_sent(tmp_path, sent, ascii_only):
    path = tmp_path / "channel.json"
    value = export(*(message(number, text) for number, text in enumerate(sent)))
    path.write_text(json.dumps(value, ensure_ascii=ascii_only), encoding="utf-8", newline="")
    (chat,) = discord.read(path, "here")
    assert [m.text for m in chat.messages] == sent


@given(damaged(json.dumps(export(message(content="è\ud83d", reactions=[reaction("👍", 1, ANA)]))).encode()))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_export_is_read_or_refused_with_a_sentence(tmp_path, damage):
    nothing_but_a_user_error(lambda path: discord.read(path, str(path)), tmp_path / "channel.json", damage)
