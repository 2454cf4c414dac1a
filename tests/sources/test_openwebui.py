"""Open WebUI's feedback: the thumb, the branch it was given on, and what the snapshot holds besides."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_files import damaged_bytes, damaged_values, raises_only_user_errors, rated, read, reasons, said, texts, write

from kto_recipes.errors import UserError
from kto_recipes.sources import openwebui
from kto_recipes.sources.openwebui import without_details


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("openwebui")


def message(name: str, parent: str | None, role: str, content: Any, **more: Any) -> dict:
    return {"id": name, "parentId": parent, "childrenIds": [], "role": role, "content": content} | more


def feedback(rating: Any = -1, message_id: Any = "a1", messages: list[dict] | None = None, **more: Any) -> dict:
    """The export that formats of Open WebUI show: one question, two answers, the first of them rated."""
    messages = messages or [
        message("q1", None, "user", "2+2?"),
        message("a1", "q1", "assistant", "5"),
        message("a2", "q1", "assistant", "4"),
    ]
    chat = {"history": {"currentId": "a2", "messages": {it["id"]: it for it in messages}}}
    return {
        "id": "f1",
        "user_id": "u1",
        "version": 0,
        "type": "rating",
        "data": {"rating": rating, "model_id": "m", "sibling_model_ids": None, "details": {"rating": 3}},
        "meta": {"arena": False, "chat_id": "c1", "message_id": message_id, "message_index": 2},
        "snapshot": {"chat": {"id": "c1", "chat": chat}},
        "created_at": 1736676000,
        "updated_at": 1736676060,
    } | more


def records(folder, *feedbacks: dict, **options: Any):
    return read(openwebui, write(folder, list(feedbacks)), **options)


def test_a_thumb_is_read_with_its_answer_what_was_asked_who_voted_and_when(tmp_path):
    (only,) = records(tmp_path, feedback())
    assert (said(only), only.completion, only.label) == ([("user", "2+2?")], "5", False)
    assert (only.conversation, only.rater, only.time) == ("c1", "u1", 1736676060)
    assert only.where == f"{tmp_path}/export.json: record 1"


@pytest.mark.parametrize(("rating", "label"), [(1, True), ("1", True), (1.0, True), (-1, False), ("-1", False)])
def test_a_thumb_is_one_or_minus_one_as_a_number_or_a_text(tmp_path, rating, label):
    (only,) = records(tmp_path, feedback(rating))
    assert only.label is label


@pytest.mark.parametrize("rating", [None, 0, "0", ""])
def test_no_thumb_is_no_vote_and_never_a_bad_one(tmp_path, rating):
    assert reasons(records(tmp_path, feedback(rating))) == ["no vote"]


def test_the_score_of_one_to_ten_is_not_the_thumb(tmp_path):
    good = feedback(1)
    good["data"]["details"]["rating"] = 1
    (only,) = records(tmp_path, good)
    assert only.label is True


def test_a_rating_of_another_kind_is_refused_with_its_place(tmp_path):
    with pytest.raises(UserError, match=r"export\.json: record 1: label is 'great'"):
        records(tmp_path, feedback("great"))


def test_the_rated_answer_is_read_where_another_branch_is_the_current_one(tmp_path):
    messages = [
        message("q1", None, "user", "hello"),
        message("a1", "q1", "assistant", "hi"),
        message("q2", "a1", "user", "old question"),
        message("a2", "q2", "assistant", "old answer"),
        message("q3", "a1", "user", "edited question"),
        message("a3", "q3", "assistant", "new answer"),
    ]
    row = feedback(1, "a2", messages)
    row["snapshot"]["chat"]["chat"]["messages"] = [messages[0], messages[1], messages[4], messages[5]]
    (only,) = records(tmp_path, row)
    assert said(only) == [("user", "hello"), ("assistant", "hi"), ("user", "old question")]
    assert only.completion == "old answer"


def test_what_was_said_after_the_rated_answer_does_not_leak_into_its_prompt(tmp_path):
    messages = [
        message("q1", None, "user", "first"),
        message("a1", "q1", "assistant", "rated"),
        message("q2", "a1", "user", "later"),
        message("a2", "q2", "assistant", "later still"),
    ]
    (only,) = records(tmp_path, feedback(1, "a1", messages))
    assert (said(only), only.completion) == ([("user", "first")], "rated")


def test_in_an_arena_the_answers_beside_the_winner_are_not_rated(tmp_path):
    row = feedback(1, "a2")
    row["meta"]["arena"] = True
    row["data"]["sibling_model_ids"] = ["m2"]
    (only,) = records(tmp_path, row)
    assert (only.completion, only.label) == ("4", True)


@pytest.mark.parametrize("snapshot", [None, {}, {"chat": None}])
def test_without_a_snapshot_there_is_no_text_to_learn_from(tmp_path, snapshot):
    assert reasons(records(tmp_path, feedback(snapshot=snapshot))) == ["no snapshot"]


def test_the_export_made_for_sharing_has_no_snapshot_at_all(tmp_path):
    row = feedback()
    del row["snapshot"]
    assert reasons(records(tmp_path, row, feedback())) == ["no snapshot"]


def test_the_chats_own_system_prompt_goes_first(tmp_path):
    row = feedback()
    row["snapshot"]["chat"]["chat"]["params"] = {"system": "Answer in words.", "temperature": 0.1}
    (only,) = records(tmp_path, row)
    assert said(only) == [("system", "Answer in words."), ("user", "2+2?")]


@pytest.mark.parametrize("params", [None, {}, {"system": ""}, {"system": None}, "x"])
def test_an_empty_system_prompt_is_none(tmp_path, params):
    row = feedback()
    row["snapshot"]["chat"]["chat"]["params"] = params
    (only,) = records(tmp_path, row)
    assert said(only) == [("user", "2+2?")]


THOUGHT = '<details type="reasoning" done="true" duration="2">\n<summary>Thought</summary>\n> hm\n</details>\n'
CALL = '<details type="tool_calls" done="true" name="x" arguments="&quot;a>b" result="c > d">\n<summary/>\n</details>'


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (f"{THOUGHT}4", "4"),
        (f"{CALL}\n\n4", "4"),
        (f"{THOUGHT}{CALL}\nIt is\n{THOUGHT}4", "It is\n\n4"),
        ('<details id="1" type="code_interpreter" done="true">x</details>4', "4"),
        ('<details type="reasoning"><details>inner</details> still</details>4', "4"),
        ('4 <details type="reasoning" done="false">\n> cut while think', "4"),
        (
            "<details>\n<summary>Proof</summary>\nlong\n</details>4",
            "<details>\n<summary>Proof</summary>\nlong\n</details>4",
        ),
        ('<details type="proof">p</details>', '<details type="proof">p</details>'),
        ("  4 < 5 \n", "  4 < 5 \n"),  # people's own spaces are not the importer's to remove
    ],
)
def test_what_the_model_thought_and_which_tools_it_called_is_removed_and_nothing_else(content, kept):
    assert without_details(content) == kept


def test_thoughts_are_removed_from_earlier_answers_too_but_not_from_what_people_wrote(tmp_path):
    messages = [
        message("q1", None, "user", THOUGHT),
        message("a1", "q1", "assistant", f"{THOUGHT}yes"),
        message("q2", "a1", "user", "and?"),
        message("a2", "q2", "assistant", f"{THOUGHT}no"),
    ]
    (only,) = records(tmp_path, feedback(1, "a2", messages))
    assert said(only) == [("user", THOUGHT), ("assistant", "yes"), ("user", "and?")]
    assert only.completion == "no"


def test_an_answer_of_thoughts_alone_is_empty(tmp_path):
    messages = [message("q1", None, "user", "2+2?"), message("a1", "q1", "assistant", THOUGHT)]
    assert reasons(records(tmp_path, feedback(messages=messages))) == ["empty answer"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message_id": "gone"}, "rated message not found"),
        ({"message_id": None}, "rated message not found"),
        ({"message_id": 7}, "rated message not found"),
        ({"message_id": "q1"}, "not an answer"),
    ],
)
def test_a_vote_on_what_is_not_an_answer_in_the_chat_is_left_out(tmp_path, change, reason):
    row = feedback()
    row["meta"] |= change
    assert reasons(records(tmp_path, row)) == [reason]


def test_a_thread_whose_parent_is_missing_or_that_runs_in_a_circle_is_left_out(tmp_path):
    missing = [message("q1", "q0", "user", "2+2?"), message("a1", "q1", "assistant", "5")]
    circle = [message("q1", "a1", "user", "2+2?"), message("a1", "q1", "assistant", "5")]
    rows = [feedback(messages=missing), feedback(messages=circle)]
    assert reasons(records(tmp_path, *rows)) == ["broken thread", "broken thread"]


def test_a_question_with_a_file_attached_is_left_out_because_its_text_is_not_there(tmp_path):
    messages = [
        message("q1", None, "user", "what is this?", files=[{"type": "image", "url": "data:…"}]),
        message("a1", "q1", "assistant", "a cat"),
    ]
    assert reasons(records(tmp_path, feedback(messages=messages))) == ["attached file"]


def test_without_an_update_the_time_is_that_of_the_vote(tmp_path):
    (only,) = records(tmp_path, feedback(updated_at=None))
    assert only.time == 1736676000


def test_a_record_that_cannot_be_read_is_told_with_its_place_and_counted(tmp_path):
    told: list[str] = []
    broken = feedback()
    broken["snapshot"]["chat"]["chat"]["history"] = []
    found = records(tmp_path, broken, feedback(), on_trouble=told.append)
    assert reasons(found) == ["unreadable"]
    assert len(rated(found)) == 1
    assert told == [f"{tmp_path}/export.json: record 1: history is a list; expected an object"]


def test_an_export_of_chats_is_not_one_of_votes_and_the_message_says_where_those_are(tmp_path):
    path = write(tmp_path, [{"id": "c1", "user_id": "u1", "title": "t", "chat": {"history": {"messages": {}}}}])
    assert openwebui.looks_like(path.read_bytes(), path) is False
    with pytest.raises(UserError, match=r"columns id, user_id, title, chat; expected .*Evaluations, Feedbacks, Export"):
        read(openwebui, path)


def test_the_export_is_recognised_by_its_content_even_when_the_first_chat_is_long(tmp_path):
    messages = [message("q1", None, "user", "x" * 100_000), message("a1", "q1", "assistant", "5")]
    path = write(tmp_path, [feedback(messages=messages)], "some file")
    assert openwebui.looks_like(path.read_bytes()[: 64 * 1024], path) is True


# --- properties ---------------------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[dict], str, list[tuple[str, str]]]:
    """Messages of a chat with branches, one answer of it, and what was said from the first message to that answer."""
    lines: dict[str, list[tuple[str, str]]] = {}  # by message, what was said down to it
    messages = []
    for number in range(draw(st.integers(2, 12))):
        parent = draw(st.sampled_from([None, *lines])) if number > 1 else ([None, "m0"][number])
        above = lines[parent] if parent is not None else []
        role = "user" if len(above) % 2 == 0 else "assistant"
        content = f"{number} {draw(texts)}"
        lines[f"m{number}"] = [*above, (role, content)]
        messages.append(message(f"m{number}", parent, role, content))
    answers = [name for name, line in lines.items() if len(line) % 2 == 0]
    name = draw(st.sampled_from(answers))
    return draw(st.permutations(messages)), name, lines[name]


@given(trees(), st.sampled_from([1, -1, "1", "-1"]))
@settings(max_examples=50, deadline=None)
def test_the_prompt_is_the_path_from_the_first_message_to_the_one_above_the_answer(scratch, tree, rating):
    messages, name, line = tree
    (only,) = records(scratch, feedback(rating, name, messages))
    assert said(only) == line[:-1]
    assert only.completion == line[-1][1]
    assert only.label is (int(rating) == 1)
    shown = " ".join(content for _, content in said(only))
    assert not any(it["content"] in shown for it in messages if (it["role"], it["content"]) not in line)


GOOD = feedback()


@given(damaged_values([GOOD, GOOD]))
@settings(max_examples=50, deadline=None)
def test_an_export_with_something_else_in_some_place_raises_nothing_but_user_errors(scratch, value):
    raises_only_user_errors(openwebui, write(scratch, value))


@given(damaged_bytes(json.dumps([GOOD, copy.deepcopy(GOOD)]).encode()))
@settings(max_examples=50, deadline=None)
def test_a_truncated_or_mutated_file_raises_nothing_but_user_errors(scratch, data):
    path = scratch / "broken.json"
    path.write_bytes(data)
    raises_only_user_errors(openwebui, path)
