"""Argilla's exports of both versions: labels, ratings and rankings, and who has submitted them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_files import damaged_bytes, damaged_values, raises_only_user_errors, rated, read, reasons, said, texts, write

from kto_recipes.errors import UserError
from kto_recipes.sources import argilla


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("argilla")


def record(ok: Any = "yes", **more: Any) -> dict:
    """A record of version 2's to_json; `ok` is what was answered, or the whole list of responses."""
    answers = ok if isinstance(ok, list) else [{"value": ok, "user_id": "u1"}]
    return {
        "id": "1",
        "fields": {"prompt": "2+2?", "response": "4"},
        "metadata": {},
        "suggestions": {},
        "responses": {"ok": answers},
        "vectors": {},
        "_server_id": None,
    } | more


def records(folder, *rows: dict, **options: Any):
    return read(argilla, write(folder, list(rows)), **options)


def test_a_label_is_read_with_its_record_and_its_user(tmp_path):
    (only,) = records(tmp_path, record())
    assert (said(only), only.completion, only.label) == ([("user", "2+2?")], "4", True)
    assert (only.conversation, only.rater, only.time) == ("1", "u1", None)
    assert only.where == f"{tmp_path}/export.json: record 1: ok[0]"


def test_every_user_has_a_vote(tmp_path):
    found = records(tmp_path, record([{"value": "yes", "user_id": "u1"}, {"value": "no", "user_id": "u2"}]))
    assert [(it.rater, it.label) for it in found] == [("u1", True), ("u2", False)]


def test_a_label_nobody_explained_is_refused_with_what_to_say(tmp_path):
    with pytest.raises(UserError, match=r"record 1: ok\[0\]: label is 'great'.*label_map"):
        records(tmp_path, record("great"))
    (only,) = records(tmp_path, record("great"), label_map={"great": True})
    assert only.label is True


def test_a_rating_is_good_from_the_threshold_on(tmp_path):
    found = records(tmp_path, *(record(rating) for rating in (1, 3, 4, 5)), threshold=4)
    assert [it.label for it in found] == [False, False, True, True]


@pytest.mark.parametrize("rating", [1, 5])
def test_a_rating_without_a_threshold_is_refused_and_1_is_never_taken_for_a_thumb_up(tmp_path, rating):
    with pytest.raises(UserError, match=rf"the rating is {rating}; say from which on an answer is good"):
        records(tmp_path, record(rating))


@pytest.mark.parametrize("responses", [{}, None, {"ok": None}, {"ok": []}])
def test_a_record_nobody_answered_is_no_vote(tmp_path, responses):
    assert reasons(records(tmp_path, record(), record(responses=responses))) == ["no vote"]


def test_a_suggestion_is_a_machines_guess_and_no_vote(tmp_path):
    guessed = record(responses={}, suggestions={"ok": {"value": "yes", "score": 0.9, "agent": "m"}})
    assert reasons(records(tmp_path, guessed)) == ["no vote"]


@pytest.mark.parametrize("status", ["draft", "discarded", "pending"])
def test_a_response_that_was_not_submitted_is_left_out_where_the_export_says_so(tmp_path, status):
    found = records(tmp_path, record([{"value": "yes", "user_id": "u", "status": status}]), record())
    assert reasons(found) == ["not submitted"]
    assert len(rated(found)) == 1


# --- rankings -----------------------------------------------------------------------------------------------

ANSWERS = {"prompt": "2+2?", "response-1": "four", "response-2": "5", "response-3": "about 4"}


def ranking(*ranks: tuple[str, int]) -> dict:
    value = [{"value": name, "rank": rank} for name, rank in ranks]
    return record([{"value": value, "user_id": "u"}], fields=ANSWERS)


def test_the_first_of_a_ranking_is_good_the_last_is_bad_and_what_lies_between_was_not_judged(tmp_path):
    found = records(tmp_path, ranking(("response-2", 3), ("response-1", 1), ("response-3", 2)))
    assert [(it.completion, it.label) for it in rated(found)] == [("5", False), ("four", True)]
    assert reasons(found) == ["middle of a ranking"]
    assert {tuple(said(it)) for it in rated(found)} == {(("user", "2+2?"),)}


def test_answers_that_share_a_rank_share_the_label(tmp_path):
    found = records(tmp_path, ranking(("response-1", 1), ("response-2", 2), ("response-3", 1)))
    assert [(it.completion, it.label) for it in found] == [("four", True), ("5", False), ("about 4", True)]


def test_a_ranking_in_which_all_are_equal_is_a_tie(tmp_path):
    assert reasons(records(tmp_path, ranking(("response-1", 1), ("response-2", 1)))) == ["tie"]


def test_a_ranking_of_what_is_no_field_cannot_be_read(tmp_path):
    with pytest.raises(
        UserError, match=r"the ranking names 'A', which is no field; found the columns prompt, response-1"
    ):
        records(tmp_path, ranking(("A", 1), ("response-2", 2)))


# --- names --------------------------------------------------------------------------------------------------


def test_a_comment_beside_the_label_is_not_the_vote(tmp_path):
    commented = record()
    commented["responses"]["why"] = [{"value": "because it is so", "user_id": "u1"}]
    (only,) = records(tmp_path, commented)
    assert only.label is True


def test_several_questions_need_a_name(tmp_path):
    asked = record(responses={"ok": [{"value": "yes", "user_id": "u"}], "stars": [{"value": 2, "user_id": "u"}]})
    with pytest.raises(UserError, match=r"more than one question: ok, stars; .*--map label=NAME"):
        records(tmp_path, asked, threshold=3)
    (only,) = records(tmp_path, asked, threshold=3, fields={"label": "stars"})
    assert only.label is False
    with pytest.raises(UserError, match=r"no question is called 'star'; there are: ok, stars"):
        records(tmp_path, asked, threshold=3, fields={"label": "star"})


def test_the_fields_can_be_named(tmp_path):
    odd = record(fields={"frage": "2+2?", "antwort": "4", "rolle": "Be short."}, metadata={"dialog": "d7"})
    names = {"prompt": "frage", "completion": "antwort", "system": "rolle", "conversation": "dialog"}
    (only,) = records(tmp_path, odd, fields=names)
    assert (said(only), only.completion) == ([("system", "Be short."), ("user", "2+2?")], "4")
    assert only.conversation == "d7"


def test_fields_that_cannot_be_told_apart_are_listed(tmp_path):
    with pytest.raises(UserError, match=r"found the columns frage, antwort; say which is the completion: --map"):
        records(tmp_path, record(fields={"frage": "2+2?", "antwort": "4"}))


TURNS = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": TURNS, "response": "4"},
        {"chat": [*TURNS, {"role": "assistant", "content": "4"}]},
        {"prompt": TURNS, "response": [{"role": "assistant", "content": "4"}]},
    ],
)
def test_a_chat_field_holds_turns(tmp_path, fields):
    (only,) = records(tmp_path, record(fields=fields))
    assert (said(only), only.completion) == ([("system", "Be short."), ("user", "2+2?")], "4")


# --- columns, and version 1 ---------------------------------------------------------------------------------


def columns(**more: Any) -> dict:
    """A record as a row of a Hugging Face dataset."""
    return {
        "id": "1",
        "status": "completed",
        "_server_id": "s",
        "prompt": "2+2?",
        "response": "4",
        "ok.responses": ["yes", "no", "no", "yes"],
        "ok.responses.users": ["u1", "u2", "u3", "u4"],
        "ok.responses.status": ["submitted", "submitted", "draft", "discarded"],
        "ok.suggestion": "no",
        "ok.suggestion.score": 0.9,
        "ok.suggestion.agent": "m",
    } | more


@pytest.mark.parametrize("name", ["train.json", "train.jsonl", "train.jsonl.gz"])
def test_of_columns_the_submitted_responses_count(tmp_path, name):
    found = read(argilla, write(tmp_path, [columns()], name))
    assert [(it.rater, it.label) for it in rated(found)] == [("u1", True), ("u2", False)]
    assert reasons(found) == ["not submitted", "not submitted"]
    assert (said(found[0]), found[0].completion, found[0].conversation) == ([("user", "2+2?")], "4", "1")


def test_of_columns_a_record_nobody_answered_holds_nulls(tmp_path):
    empty = {name: None for name in columns() if name.startswith("ok.")}
    assert reasons(records(tmp_path, columns(), columns(**empty))) == ["not submitted", "not submitted", "no vote"]


def test_of_columns_without_users_or_status_the_values_count(tmp_path):
    bare = columns()
    del bare["ok.responses.users"], bare["ok.responses.status"]
    found = records(tmp_path, bare)
    assert [(it.rater, it.label) for it in found] == [(None, True), (None, False), (None, False), (None, True)]


ANSWER_1 = [
    {"user_id": "u1", "value": "yes", "status": "submitted"},
    {"user_id": "u2", "value": "no", "status": "discarded"},
]


@pytest.mark.parametrize(
    "row",
    [
        {"ok": ANSWER_1},
        {"ok": {name: [it[name] for it in ANSWER_1] for name in ("user_id", "value", "status")}},
    ],
)
def test_version_1_has_a_column_of_answers_for_each_question(tmp_path, row):
    rest = {"prompt": "2+2?", "response": "4", "ok-suggestion": "no", "ok-suggestion-metadata": {}, "metadata": "{}"}
    found = records(tmp_path, row | rest | {"external_id": "e1"})
    assert [(it.rater, it.label, it.conversation) for it in rated(found)] == [("u1", True, "e1")]
    assert reasons(found) == ["not submitted"]


def test_version_1s_own_records_have_a_list_of_responses(tmp_path):
    given_ = [
        {"user_id": "u1", "status": "submitted", "values": {"ok": {"value": "yes"}}},
        {"user_id": "u2", "status": "draft", "values": {"ok": {"value": "no"}}},
    ]
    found = records(tmp_path, record(responses=given_))
    assert [(it.rater, it.label) for it in rated(found)] == [("u1", True)]
    assert reasons(found) == ["not submitted"]


def test_version_1_writes_a_ranking_as_columns(tmp_path):
    value = {"rank": [2, 1], "value": ["response-1", "response-2"]}
    found = records(tmp_path, ANSWERS | {"order": [{"user_id": "u", "value": value, "status": "submitted"}]})
    assert [(it.completion, it.label) for it in found] == [("four", False), ("5", True)]


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[record()], [record(responses=None)], [columns()], [{"a": "b", "ok": ANSWER_1}]])
def test_each_form_is_recognised_by_its_content(tmp_path, value):
    path = write(tmp_path, value)
    assert argilla.looks_like(path.read_bytes(), path) is True


@pytest.mark.parametrize(
    "value",
    [
        [{"id": 1, "data": {"prompt": "a"}, "annotations": []}],
        [{"prompt": [{"role": "user", "content": "a"}], "completion": "b", "label": True}],
        [{"conversations": [{"from": "human", "value": "a"}]}],
        [],
    ],
)
def test_other_files_are_not_taken_for_argilla(tmp_path, value):
    path = write(tmp_path, value)
    assert argilla.looks_like(path.read_bytes(), path) is False


def test_a_record_that_cannot_be_read_is_told_with_its_place_and_counted(tmp_path):
    told: list[str] = []
    found = records(tmp_path, record(), record(responses={"ok": "yes"}), on_trouble=told.append)
    assert reasons(found) == ["unreadable"]
    assert told == [f"{tmp_path}/export.json: record 2: the responses to ok are text; expected a list"]


ANSWERS_GIVEN = st.lists(st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(["submitted", "draft"])), max_size=3)


@given(st.lists(st.tuples(texts, texts, ANSWERS_GIVEN), min_size=1, max_size=4), st.booleans())
@settings(max_examples=50, deadline=None)
def test_every_response_to_every_record_is_a_vote_or_is_counted(scratch, made, as_columns):
    rows = []
    for question, answer, given_ in made:
        values, status = [value for value, _ in given_], [state for _, state in given_]
        if as_columns:
            more = {"ok.responses": values, "ok.responses.status": status, "ok.responses.users": ["u"] * len(given_)}
            rows.append(columns(prompt=question, response=answer, **more))
        else:
            answers = [{"value": value, "user_id": "u", "status": state} for value, state in given_]
            rows.append(record(answers, fields={"prompt": question, "response": answer}))
    found = records(scratch, *rows)
    expected = [(q, a, value == "yes") for q, a, given_ in made for value, state in given_ if state == "submitted"]
    assert [(it.prompt[-1]["content"], it.completion, it.label) for it in rated(found)] == expected
    left_out = ["no vote" if not given_ else "not submitted" for _, _, given_ in made for _ in given_ or [0]]
    assert len(found) == sum(len(given_) or 1 for _, _, given_ in made)
    assert set(reasons(found)) <= set(left_out)


WHOLE = [
    record(),
    ranking(("response-1", 1), ("response-2", 2)),
    columns(),
    {"prompt": "a", "response": "b", "ok": ANSWER_1},
]


@given(damaged_values(WHOLE))
@settings(max_examples=50, deadline=None)
def test_an_export_with_something_else_in_some_place_raises_nothing_but_user_errors(scratch, value):
    raises_only_user_errors(argilla, write(scratch, value), threshold=3)


@given(damaged_bytes(json.dumps([record(), columns()]).encode()))
@settings(max_examples=50, deadline=None)
def test_a_truncated_or_mutated_file_raises_nothing_but_user_errors(scratch, data):
    path = scratch / "broken.json"
    path.write_bytes(data)
    raises_only_user_errors(argilla, path)
