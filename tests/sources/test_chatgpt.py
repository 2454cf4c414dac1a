"""ChatGPT's account export: the branch that is seen, and thumbs on messages of any branch."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from damaged_files import TEXTS, damaged, nothing_but_a_user_error
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kto_recipes.errors import UserError
from kto_recipes.sources import chatgpt, chatgpt_feedback
from kto_recipes.sources.chatgpt_export import files
from kto_recipes.sources.records import Dialogue, LeftOut, Rated, ReadOptions


def node(node_id: str, parent: str | None, role: str | None = None, *parts: Any, **more: Any) -> dict[str, Any]:
    """A node of the tree; without a role it has no message. `more` goes into the message."""
    message = None
    if role:
        content = {"content_type": "text", "parts": list(parts)}
        message = {"id": node_id, "author": {"role": role}, "content": content, "recipient": "all", **more}
    return {"id": node_id, "parent": parent, "children": [], "message": message}


def conversation(*nodes: dict[str, Any], current: str | None, name: str = "c1") -> dict[str, Any]:
    mapping = {one["id"]: one for one in nodes}
    return {"title": "t", "create_time": 1.5, "mapping": mapping, "current_node": current, "conversation_id": name}


# q1 was answered by a1, then again by a2, and the talk went on from a2.
NODES = (
    node("root", None),
    node("sys", "root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
    node("q1", "sys", "user", "2+2?"),
    node("a1", "q1", "assistant", "5"),
    node("a2", "q1", "assistant", "4"),
    node("q2", "a2", "user", "sure?"),
    node("a3", "q2", "assistant", "yes"),
)
TALK = conversation(*NODES, current="a3")


def thumb(message: str, rating: Any = "thumbsUp", name: str = "c1", **more: Any) -> dict[str, Any]:
    return {"message_id": message, "conversation_id": name, "user_id": "u1", "rating": rating, "content": "{}", **more}


def write(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def zipped(folder: Path, **members: Any) -> Path:
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(f"{name}.json", json.dumps(value))
    return path


def dialogues(folder: Path, *talks: Any) -> list[Any]:
    return list(chatgpt.read(write(folder, "conversations.json", list(talks)), ReadOptions()))


def rated(folder: Path, talks: list[Any], thumbs: list[Any], options: ReadOptions | None = None) -> list[Any]:
    write(folder, "conversations.json", talks)
    return list(chatgpt_feedback.read(write(folder, "message_feedback.json", thumbs), options or ReadOptions()))


def lines(messages: list[Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


# --- conversations ------------------------------------------------------------------------------------------


def test_a_conversation_is_its_current_branch_from_the_root(tmp_path):
    (only,) = dialogues(tmp_path, TALK)
    assert isinstance(only, Dialogue)
    assert lines(only.messages) == [("user", "2+2?"), ("assistant", "4"), ("user", "sure?"), ("assistant", "yes")]
    assert only.conversation == "c1"
    assert only.where == f"{tmp_path / 'conversations.json'}: [0]"


def test_the_order_in_the_file_says_nothing(tmp_path):
    backwards = conversation(*NODES[::-1], current="a1")
    (only,) = dialogues(tmp_path, backwards)
    assert lines(only.messages) == [("user", "2+2?"), ("assistant", "5")]


HIDDEN = {"is_visually_hidden_from_conversation": True}


@pytest.mark.parametrize(
    "between",
    [
        node("x", "q", "system", "rules", metadata=HIDDEN),
        node("x", "q", "user", "about me", metadata=HIDDEN),
        node("x", "q", "assistant", "search('x')", recipient="browser"),
        node("x", "q", "tool", "found it"),
        node("x", "q", "assistant", content={"content_type": "code", "text": "print(1)"}),
        node("x", "q", "assistant", content={"content_type": "thoughts", "thoughts": []}),
        node("x", "q", "assistant", {"content_type": "image_asset_pointer"}),
        node("x", "q", "assistant", ""),
        node("x", "q", "assistant", content=None),
        node("x", "q"),
    ],
)
def test_what_is_not_seen_on_the_screen_is_passed_over(tmp_path, between):
    talk = conversation(node("q", None, "user", "hi"), between, node("a", "x", "assistant", "yes"), current="a")
    (only,) = dialogues(tmp_path, talk)
    assert lines(only.messages) == [("user", "hi"), ("assistant", "yes")]


def test_the_pieces_of_an_answer_around_a_tool_are_one_turn(tmp_path):
    talk = conversation(
        node("q", None, "user", "weather?"),
        node("a1", "q", "assistant", "Let me look."),
        node("call", "a1", "assistant", "get()", recipient="web"),
        node("tool", "call", "tool", "sun"),
        node("a2", "tool", "assistant", "Sunny."),
        current="a2",
    )
    (only,) = dialogues(tmp_path, talk)
    assert lines(only.messages) == [("user", "weather?"), ("assistant", "Let me look.\n\nSunny.")]


def test_a_system_message_that_is_seen_is_kept_at_the_start(tmp_path):
    talk = conversation(
        node("s", None, "system", "be brief"),
        node("q", "s", "user", "hi"),
        node("a", "q", "assistant", "hi"),
        current="a",
    )
    (only,) = dialogues(tmp_path, talk)
    assert lines(only.messages) == [("system", "be brief"), ("user", "hi"), ("assistant", "hi")]


def test_words_beside_a_picture_stay_and_a_question_of_pictures_alone_goes_with_its_answer(tmp_path):
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file://x"}
    kind = {"content_type": "multimodal_text", "parts": [picture]}
    talk = conversation(
        node("q1", None, "user", content=kind | {"parts": [picture, "what is it?"]}),
        node("a1", "q1", "assistant", "a cat"),
        node("q2", "a1", "user", content=kind),
        node("a2", "q2", "assistant", "a dog"),
        node("q3", "a2", "user", "thanks"),
        node("a3", "q3", "assistant", "welcome"),
        current="a3",
    )
    (only,) = dialogues(tmp_path, talk)
    assert lines(only.messages) == [
        ("user", "what is it?"),
        ("assistant", "a cat"),
        ("user", "thanks"),
        ("assistant", "welcome"),
    ]


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (conversation(*NODES, current=None), "no current branch"),
        (conversation(*NODES, current="gone"), "no current branch"),
        (conversation(node("q", None, "user", "hi"), current="q"), "no reply"),
        (conversation(node("root", None), current="root"), "no current branch"),
    ],
)
def test_what_gives_no_dialogue_is_left_out_with_the_reason(tmp_path, talk, reason):
    (only,) = dialogues(tmp_path, talk)
    assert only == LeftOut(reason, f"{tmp_path / 'conversations.json'}: [0]")


def test_a_ring_of_parents_ends(tmp_path):
    talk = conversation(node("q", "a", "user", "hi"), node("a", "q", "assistant", "ho"), current="a")
    (only,) = dialogues(tmp_path, talk)
    assert lines(only.messages) == [("user", "hi"), ("assistant", "ho")]


@pytest.mark.parametrize("broken", [7, None, {}, {"mapping": []}])
def test_what_is_no_conversation_is_reported_and_left_out(tmp_path, broken):
    told: list[str] = []
    path = write(tmp_path, "conversations.json", [broken, TALK])
    first, second = chatgpt.read(path, ReadOptions(on_trouble=told.append))
    assert first == LeftOut("unreadable", f"{path}: [0]")
    assert isinstance(second, Dialogue)
    assert len(told) == 1
    assert told[0].startswith(f'{path}: [0]: not a conversation of ChatGPT: it has no "mapping"')


# --- files --------------------------------------------------------------------------------------------------


def talks(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [conversation(*NODES, current="a3", name=f"c{n}") for n in range(start, start + count)]


def names(path: Path) -> list[str]:
    return [record.conversation for record in chatgpt.read(path, ReadOptions())]


def test_the_first_part_stands_for_all_and_another_part_for_itself(tmp_path):
    first = write(tmp_path, "conversations-000.json", talks(2))
    second = write(tmp_path, "conversations-001.json", talks(1, start=2))
    write(tmp_path, "message_feedback.json", [])
    assert names(first) == ["c0", "c1", "c2"]
    assert names(second) == ["c2"]
    assert files(first) == [first, second]


@pytest.mark.parametrize(
    "members", [{"conversations": talks(3)}, {"conversations-000": talks(2), "conversations-001": talks(1, 2)}]
)
def test_the_zip_itself_can_be_read(tmp_path, members):
    path = zipped(tmp_path, user={"id": "u1"}, message_feedback=[], **members)
    assert names(path) == ["c0", "c1", "c2"]
    assert files(path) == [path]


def test_a_zip_is_of_thumbs_where_it_has_some(tmp_path):
    for thumbs, has_some in (([], False), ([thumb("a1")], True)):
        path = zipped(tmp_path, conversations=[TALK], message_feedback=thumbs)
        head = path.read_bytes()[:65536]
        assert chatgpt_feedback.looks_like(head, path) is has_some
        assert chatgpt.looks_like(head, path) is not has_some
    other = zipped(tmp_path, something=[])
    assert not chatgpt.looks_like(other.read_bytes(), other)
    assert not chatgpt_feedback.looks_like(other.read_bytes(), other)


def test_json_files_are_told_apart_by_what_is_in_them(tmp_path):
    path = tmp_path / "x.json"
    talk, thumbs = json.dumps([TALK]).encode(), json.dumps([thumb("a1")]).encode()
    assert chatgpt.looks_like(talk, path)
    assert not chatgpt.looks_like(thumbs, path)
    assert chatgpt_feedback.looks_like(thumbs, path)
    assert not chatgpt_feedback.looks_like(talk, path)
    assert chatgpt_feedback.looks_like(b"[]", tmp_path / "message_feedback.json")
    assert not chatgpt.looks_like(b"[]", path)


@pytest.mark.parametrize("reader", [chatgpt, chatgpt_feedback])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", "the file holds a object|the file holds an? object"),
        (b"", "not valid JSON at byte 0"),
        (b"PK\x03\x04 and no more", "a zip that cannot be opened"),
    ],
)
def test_another_file_is_refused(tmp_path, reader, data, said):
    path = tmp_path / "conversations.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said):
        list(reader.read(path, ReadOptions()))


def test_thumbs_without_conversations_beside_them_ask_for_these(tmp_path):
    path = write(tmp_path, "message_feedback.json", [thumb("a1")])
    with pytest.raises(UserError, match=r"found no conversations\.json; put it beside this file, or give the whole"):
        list(chatgpt_feedback.read(path, ReadOptions()))
    with pytest.raises(UserError, match=r"has no message_feedback\.json in it"):
        list(chatgpt_feedback.read(zipped(tmp_path, conversations=[TALK]), ReadOptions()))


# --- thumbs -------------------------------------------------------------------------------------------------


def test_a_thumb_goes_with_its_own_branch_and_nothing_after_it(tmp_path):
    found = rated(tmp_path, [TALK], [thumb("a1", "thumbsDown"), thumb("a2", "thumbs_up"), thumb("a3")])
    assert [(lines(r.prompt), r.completion, r.label) for r in found] == [
        ([("user", "2+2?")], "5", False),
        ([("user", "2+2?")], "4", True),
        ([("user", "2+2?"), ("assistant", "4"), ("user", "sure?")], "yes", True),
    ]
    assert {(r.conversation, r.rater, r.time) for r in found} == {("c1", "u1", None)}
    assert [r.where for r in found] == [f"{tmp_path / 'message_feedback.json'}: [{n}]" for n in range(3)]


def test_a_thumb_on_a_piece_of_an_answer_is_on_the_answer_up_to_there(tmp_path):
    talk = conversation(
        node("q", None, "user", "weather?"),
        node("a1", "q", "assistant", "Let me look."),
        node("call", "a1", "assistant", "get()", recipient="web"),
        node("a2", "call", "assistant", "Sunny."),
        current="a2",
    )
    found = rated(tmp_path, [talk], [thumb("a1"), thumb("call"), thumb("a2")])
    assert [r.completion for r in found] == ["Let me look.", "Let me look.", "Let me look.\n\nSunny."]


@pytest.mark.parametrize(
    ("given_thumb", "reason"),
    [
        (thumb("a1", name="gone"), "deleted conversation"),
        (thumb("gone"), "deleted message"),
        (thumb("q1"), "not an answer"),
        (thumb("sys"), "not an answer"),
        (thumb("a1", None), "no vote"),
    ],
)
def test_a_thumb_that_cannot_be_placed_is_left_out_with_the_reason(tmp_path, given_thumb, reason):
    (only,) = rated(tmp_path, [TALK], [given_thumb])
    assert only == LeftOut(reason, f"{tmp_path / 'message_feedback.json'}: [0]")


def test_an_answer_to_a_picture_alone_has_no_question(tmp_path):
    picture = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}]}
    nodes = [node("q", None, "user", content=picture), node("a", "q", "assistant", "a cat")]
    (only,) = rated(tmp_path, [conversation(*nodes, current="a")], [thumb("a")])
    assert only.reason == "no question"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (7, 'it has no "message_id"'),
        ({"rating": "thumbsUp"}, 'it has no "message_id"'),
        (thumb("a1", "meh"), "label is 'meh'; KTO needs true or false"),
    ],
)
def test_what_is_no_thumb_is_reported_and_left_out(tmp_path, broken, said):
    told: list[str] = []
    first, second = rated(tmp_path, [TALK], [broken, thumb("a1")], ReadOptions(on_trouble=told.append))
    path = tmp_path / "message_feedback.json"
    assert first == LeftOut("unreadable", f"{path}: [0]")
    assert isinstance(second, Rated)
    assert [said in sentence and sentence.startswith(f"{path}: [0]: ") for sentence in told] == [True]


def test_newer_thumbs_have_a_time(tmp_path):
    found = rated(
        tmp_path,
        [TALK],
        [
            thumb("a1", create_time=1736676000.5),
            thumb("a1", create_time="2025-01-12T10:00:00Z"),
            thumb("a1", create_time={}),
        ],
    )
    assert [r.time for r in found] == [1736676000.5, 1736676000.0, None]


def test_a_conversation_without_an_id_is_found_by_the_message(tmp_path):
    talk = {key: value for key, value in TALK.items() if key != "conversation_id"}
    (only,) = rated(tmp_path, [talk], [thumb("a3", name="c9")])
    assert (only.conversation, only.completion) == ("c9", "yes")


def test_a_node_may_be_called_otherwise_than_its_message(tmp_path):
    talk = conversation(node("q", None, "user", "hi"), node("n", "q", "assistant", "ho", id="m"), current="n")
    (only,) = rated(tmp_path, [talk], [thumb("m")])
    assert only.completion == "ho"


def test_thumbs_of_a_zip_are_read_from_it(tmp_path):
    path = zipped(tmp_path, conversations=[TALK], message_feedback=[thumb("a1", "thumbsDown")])
    (only,) = chatgpt_feedback.read(path, ReadOptions())
    assert (only.completion, only.label) == ("5", False)
    assert only.where == f"{path}: message_feedback.json: [0]"


def test_no_thumbs_need_no_conversations(tmp_path):
    assert list(chatgpt_feedback.read(write(tmp_path, "message_feedback.json", []), ReadOptions())) == []


# --- any talk, any damage -----------------------------------------------------------------------------------

WORDS = TEXTS.filter(str.strip)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_prompt_of_a_thumb_is_all_and_only_what_stood_above(tmp_path, exchanges, data):
    nodes, parent = [], None
    for n, (question, answer) in enumerate(exchanges):
        nodes += [node(f"q{n}", parent, "user", question), node(f"a{n}", f"q{n}", "assistant", answer)]
        nodes.append(node(f"other{n}", f"q{n}", "assistant", "another answer"))
        parent = f"a{n}"
    chosen = data.draw(st.integers(0, len(exchanges) - 1))
    shuffled = data.draw(st.permutations(nodes))
    (only,) = rated(tmp_path, [conversation(*shuffled, current=parent)], [thumb(f"a{chosen}")])
    above = [text for exchange in exchanges[: chosen + 1] for text in exchange]
    assert [message["content"] for message in only.prompt] + [only.completion] == above


@pytest.mark.parametrize("name", ["conversations.json", "message_feedback.json", "export.zip"])
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_export_is_read_or_refused_with_a_sentence(tmp_path, name, data):
    write(tmp_path, "conversations.json", [TALK])
    write(tmp_path, "message_feedback.json", [thumb("a1"), thumb("a3", "thumbsDown")])
    whole = zipped(tmp_path, conversations=[TALK], message_feedback=[thumb("a1")]).read_bytes()
    if name != "export.zip":
        whole = (tmp_path / name).read_bytes()
    damage = data.draw(damaged(whole))
    reader = chatgpt if name == "conversations.json" else chatgpt_feedback
    nothing_but_a_user_error(lambda path: reader.read(path, ReadOptions()), tmp_path / name, damage)
    head = damage[:65536]
    assert chatgpt.looks_like(head, tmp_path / name) in (True, False)
    assert chatgpt_feedback.looks_like(head, tmp_path / name) in (True, False)
