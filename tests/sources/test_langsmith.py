"""LangSmith's feedback: scores, corrections, and the run that holds what they are about."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_files import damaged_bytes, damaged_values, raises_only_user_errors, rated, read, reasons, said, texts, write

from kto_recipes.errors import UserError
from kto_recipes.sources import langsmith


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("langsmith")


def feedback(**more: Any) -> dict:
    return {
        "id": "f1",
        "run_id": "r1",
        "key": "user_score",
        "score": 1.0,
        "value": None,
        "comment": None,
        "correction": None,
        "feedback_source": {"type": "api"},
        "created_at": "2025-01-12T10:00:00+00:00",
    } | more


def run(name: str = "r1", question: Any = "2+2?", answer: Any = "4", **more: Any) -> dict:
    return {
        "id": name,
        "trace_id": "r1",
        "run_type": "llm",
        "start_time": "2025-01-12T09:59:00+00:00",
        "inputs": {"messages": [{"role": "user", "content": question}]},
        "outputs": {"choices": [{"message": {"role": "assistant", "content": answer}}]},
    } | more


def export(folder, given: list[dict], runs: list[dict] | None = None, **options: Any):
    path = write(folder, {"feedback": given, "runs": runs or [run()]}, "langsmith.json")
    return read(langsmith, path, **options)


# --- what feedback says -------------------------------------------------------------------------------------


def test_feedback_is_read_with_the_run_it_is_about(tmp_path):
    (only,) = export(tmp_path, [feedback()])
    assert (said(only), only.completion, only.label) == ([("user", "2+2?")], "4", True)
    assert (only.time, only.where) == (1736676000, f"{tmp_path}/langsmith.json:1: feedback[0]")


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"score": 0}, False),
        ({"score": 0.0}, False),
        ({"score": False}, False),
        ({"score": True}, True),
        ({"score": -1}, False),
        ({"score": None, "value": "thumbs_up"}, True),
        ({"score": None, "value": False}, False),
        ({"score": 1, "value": "good, but long"}, True),
    ],
)
def test_a_thumb_stands_in_the_score_or_else_in_the_value(tmp_path, change, label):
    (only,) = export(tmp_path, [feedback(**change)])
    assert only.label is label


def test_a_score_of_0_is_a_bad_answer_and_no_score_is_no_vote(tmp_path):
    found = export(tmp_path, [feedback(score=0), feedback(score=None)])
    assert reasons(found) == ["no vote"]
    assert [record.label for record in rated(found)] == [False]


def test_between_minus_one_and_one_a_zero_says_nothing(tmp_path):
    found = export(tmp_path, [feedback(score=0), feedback(score=-1), feedback(score=1)])
    assert reasons(found) == ["no vote"]
    assert [record.label for record in rated(found)] == [False, True]


def test_other_numbers_need_a_threshold(tmp_path):
    with pytest.raises(UserError, match=r"scores under user_score hold numbers such as 0\.5;.*threshold"):
        export(tmp_path, [feedback(), feedback(score=0.5)])
    found = export(tmp_path, [feedback(), feedback(score=0.5)], threshold=0.7)
    assert [record.label for record in found] == [True, False]


def test_numbers_can_be_named_one_by_one_instead(tmp_path):
    found = export(
        tmp_path, [feedback(score=5.0), feedback(score=0), feedback(score=-1)], label_map={"5": True, "0": False}
    )
    assert [record.label for record in found] == [True, False, False]


def test_a_value_of_its_own_kind_needs_a_label_map(tmp_path):
    with pytest.raises(UserError, match=r"feedback\[0\]: label is 'great'.*label_map"):
        export(tmp_path, [feedback(score=None, value="great")])
    (only,) = export(tmp_path, [feedback(score=None, value="great")], label_map={"great": True})
    assert only.label is True


def test_a_value_that_is_an_object_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"expected a label or a number, found an object"):
        export(tmp_path, [feedback(score=None, value={"tone": "formal"})])


@pytest.mark.parametrize("kind", ["model", "auto_eval"])
def test_what_a_model_says_of_an_answer_is_no_vote(tmp_path, kind):
    assert reasons(export(tmp_path, [feedback(feedback_source={"type": kind})])) == ["judged by a model"]


@pytest.mark.parametrize("source", [None, {"type": "app"}, {"type": "api", "metadata": None}])
def test_what_people_say_is_a_vote_wherever_they_say_it(tmp_path, source):
    assert len(rated(export(tmp_path, [feedback(feedback_source=source)]))) == 1


def test_a_comparison_of_two_experiments_is_a_preference_and_no_thumb(tmp_path):
    found = export(tmp_path, [feedback(comparative_experiment_id="c", feedback_group_id="g")])
    assert reasons(found) == ["comparative feedback"]


@pytest.mark.parametrize("correction", ["four", {"output": "four"}, {"role": "assistant", "content": "four"}])
def test_a_correction_is_a_better_answer_and_what_it_corrects_a_bad_one(tmp_path, correction):
    found = export(tmp_path, [feedback(score=None, correction=correction)])
    assert [(record.completion, record.label) for record in found] == [("4", False), ("four", True)]
    assert {tuple(said(record)) for record in found} == {(("user", "2+2?"),)}


def test_an_answer_that_was_called_good_stays_good_beside_its_correction(tmp_path):
    found = export(tmp_path, [feedback(score=1, correction="four"), feedback(score=0, correction="IV")])
    labels = [(record.completion, record.label) for record in found]
    assert labels == [("4", True), ("four", True), ("4", False), ("IV", True)]


def test_a_correction_that_is_no_answer_counts_for_nothing(tmp_path):
    found = export(tmp_path, [feedback(correction={"score": 0}), feedback(score=None, correction={"tone": "x"})])
    assert [(record.completion, record.label) for record in rated(found)] == [("4", True)]
    assert reasons(found) == ["no vote"]


def test_a_correction_that_says_the_same_is_left_out(tmp_path):
    assert reasons(export(tmp_path, [feedback(score=None, correction="4")])) == ["same answer twice"]


def test_who_voted_is_in_the_source_or_else_whose_run_it_was(tmp_path):
    given = [
        feedback(feedback_source={"type": "app", "user_id": "ana"}),
        feedback(feedback_source={"type": "api", "metadata": {"user_id": "ben"}}),
        feedback(),
    ]
    found = export(tmp_path, given, [run(extra={"metadata": {"user_id": "visitor"}})])
    assert [record.rater for record in found] == ["ana", "ben", "visitor"]


def test_the_time_is_that_of_the_last_change(tmp_path):
    (only,) = export(tmp_path, [feedback(modified_at="2025-01-12T10:00:01.5Z")])
    assert only.time == 1736676001.5


def test_feedback_on_a_whole_project_is_about_no_answer(tmp_path):
    found = export(tmp_path, [feedback(run_id=None, trace_id=None, session_id="p")])
    assert reasons(found) == ["feedback on no run"]


# --- which key is the vote ----------------------------------------------------------------------------------


def test_of_several_keys_the_one_that_is_called_like_a_vote_is_taken(tmp_path):
    found = export(tmp_path, [feedback(), feedback(key="conciseness", score=0.3)])
    assert reasons(found) == ["another score"]
    assert len(rated(found)) == 1


def test_the_key_can_be_named_and_must_be_where_it_cannot_be_told(tmp_path):
    given = [feedback(key="helpful", score=0), feedback(key="polite")]
    with pytest.raises(UserError, match=r"more than one feedback key: helpful, polite; .*--map label=NAME"):
        export(tmp_path, given)
    found = export(tmp_path, given, fields={"label": "helpful"})
    assert [record.label for record in rated(found)] == [False]


def test_what_is_nothing_but_a_correction_counts_under_any_key(tmp_path):
    found = export(tmp_path, [feedback(), feedback(key="correction", score=None, correction="four")])
    assert [(record.completion, record.label) for record in found] == [("4", True), ("4", False), ("four", True)]


# --- which run it is about ----------------------------------------------------------------------------------

CHAIN = {"run_type": "chain", "inputs": {"input": "2+2?"}, "outputs": {"output": "Result: 4"}}


@pytest.mark.parametrize(
    "link",
    [
        {"trace_id": "r1"},
        {"trace_id": "t", "parent_run_id": "r1"},
        {"trace_id": "t", "parent_run_ids": ["t", "r1", "step"]},
        {"trace_id": "t", "dotted_order": "20250112T095900000000Zt.20250112T095901000000Zr1.20250112T095902000000Zc2"},
    ],
)
def test_feedback_on_a_chain_is_about_the_last_call_of_a_model_within_it(tmp_path, link):
    runs = [
        run(**CHAIN),
        run("c2", "2+2?", "4", **link, start_time="2025-01-12T09:59:02+00:00"),
        run("c1", "rewrite: 2+2?", "two plus two", **link, start_time="2025-01-12T09:59:01+00:00"),
        run("tool", run_type="tool", **link, start_time="2025-01-12T09:59:03+00:00"),
        run("other", "unrelated", "x", trace_id="elsewhere", start_time="2025-01-12T09:59:09+00:00"),
    ]
    (only,) = export(tmp_path, [feedback()], runs)
    assert (said(only), only.completion) == ([("user", "2+2?")], "4")


def test_a_chain_without_calls_is_read_itself(tmp_path):
    (only,) = export(tmp_path, [feedback()], [run(**CHAIN)])
    assert (said(only), only.completion) == ([("user", "2+2?")], "Result: 4")


def test_feedback_whose_run_is_not_there_is_left_out(tmp_path):
    assert reasons(export(tmp_path, [feedback(run_id="gone")])) == ["answer not found"]


def test_the_conversation_is_the_thread_and_never_the_project(tmp_path):
    in_thread = run(extra={"metadata": {"thread_id": "th"}}, session_id="the project")
    (first,) = export(tmp_path, [feedback()], [in_thread])
    (second,) = export(tmp_path, [feedback()], [run(session_id="the project")])
    assert (first.conversation, second.conversation) == ("th", "r1")


# --- where it all lies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "runs"),
    [("feedback.json", "runs.json"), ("feedback.jsonl", "runs-1.jsonl"), ("f.jsonl.gz", "runs.json.gz")],
)
def test_the_runs_may_lie_in_a_file_beside_the_feedback(tmp_path, given, runs):
    path = write(tmp_path, [feedback()], given)
    other = write(tmp_path, [run()], runs)
    (only,) = read(langsmith, path)
    assert only.completion == "4"
    assert langsmith.companions(path) == [other]


def test_feedback_and_runs_may_be_lines_of_one_file(tmp_path):
    path = write(tmp_path, [feedback(), run()], "langsmith.jsonl")
    (only,) = read(langsmith, path)
    assert (only.completion, only.where) == ("4", f"{path}:1")


def test_without_any_feedback_the_message_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"holds no feedback of LangSmith; expected feedback with run_id"):
        read(langsmith, write(tmp_path, [run()], "runs.jsonl"))


def test_a_record_of_another_kind_is_told_once_and_counted(tmp_path):
    told: list[str] = []
    path = write(tmp_path, [feedback(), run(), {"prompt": "a"}], "langsmith.jsonl")
    assert reasons(read(langsmith, path, on_trouble=told.append)) == ["unreadable"]
    assert told == [f"{path}:3: neither feedback nor a run; expected {langsmith.LOOKS_FOR}"]


@pytest.mark.parametrize(
    ("value", "name", "indent"),
    [
        ([feedback()], "a.json", None),
        ([feedback()], "a.jsonl.gz", None),
        ({"feedback": [feedback()], "runs": [run()]}, "a.json", None),
        ({"feedback": [feedback()], "runs": [run()]}, "a.json", 2),
    ],
)
def test_each_form_is_recognised_by_its_content(tmp_path, value, name, indent):
    path = write(tmp_path, value, name)
    if indent:
        path.write_text(json.dumps(value, indent=indent))
    assert langsmith.looks_like(path.read_bytes(), path) is True


@pytest.mark.parametrize(
    "value",
    [
        [{"prompt": "a", "completion": "b", "label": True}],
        [{"id": "s", "traceId": "t", "name": "n", "value": 1, "dataType": "NUMERIC"}],
        {"name": "Ana", "type": "personal_chat", "messages": []},
        [],
    ],
)
def test_other_files_are_not_taken_for_langsmith(tmp_path, value):
    path = write(tmp_path, value)
    assert langsmith.looks_like(path.read_bytes(), path) is False


# --- properties ---------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(texts, texts, st.lists(st.booleans(), max_size=3)), min_size=1, max_size=4), st.randoms())
@settings(max_examples=50, deadline=None)
def test_every_feedback_finds_its_run_in_whatever_order_the_lines_stand(scratch, exchanges, random):
    lines, expected = [], []
    for number, (question, answer, thumbs) in enumerate(exchanges):
        lines.append(run(f"r{number}", question, answer, trace_id=f"r{number}"))
        lines += [feedback(run_id=f"r{number}", score=int(thumb)) for thumb in thumbs]
        expected += [(question, answer, thumb) for thumb in thumbs]
    random.shuffle(lines)
    if expected:
        found = read(langsmith, write(scratch, lines, "langsmith.jsonl"))
        assert sorted((it.prompt[-1]["content"], it.completion, it.label) for it in found) == sorted(expected)


@given(damaged_values([feedback(), run(), feedback(score=None, correction={"output": "x"})]))
@settings(max_examples=50, deadline=None)
def test_an_export_with_something_else_in_some_place_raises_nothing_but_user_errors(scratch, value):
    raises_only_user_errors(langsmith, write(scratch, value, "damaged.json"))


@given(damaged_bytes("\n".join(map(json.dumps, [feedback(), run(), feedback()])).encode()))
@settings(max_examples=50, deadline=None)
def test_a_truncated_or_mutated_file_raises_nothing_but_user_errors(scratch, data):
    path = scratch / "broken.jsonl"
    path.write_bytes(data)
    raises_only_user_errors(langsmith, path)
