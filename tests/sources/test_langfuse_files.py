"""Langfuse's exports: the forms in which scores, observations and traces lie in one file or beside each other."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langfuse_export import SNAKE_OBSERVATION, SNAKE_SCORE, bundle, observation, score
from vote_files import damaged_bytes, damaged_values, raises_only_user_errors, rated, read, reasons, said, texts, write

from kto_recipes.errors import UserError
from kto_recipes.sources import langfuse


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("langfuse")


@pytest.mark.parametrize(
    ("scores", "observations"),
    [
        ("scores.jsonl", "observations.jsonl"),
        ("scores.json", "observations.json"),
        ("scores.jsonl.gz", "observations_v2.jsonl.gz"),
        ("scores/2025-01-12.jsonl", "observations_v2/2025-01-12.jsonl"),
        ("scores/2025-01-12.json", "observations/2025-01-12.json"),
    ],
)
def test_the_blob_export_is_joined_with_the_observations_beside_it(tmp_path, scores, observations):
    path = write(tmp_path, [SNAKE_SCORE], scores)
    other = write(tmp_path, [SNAKE_OBSERVATION], observations)
    (only,) = read(langfuse, path)
    assert (said(only), only.completion, only.label) == (
        [("system", "Be short."), ("user", "2+2?")],
        "four",
        True,
    )
    assert (only.conversation, only.rater, only.time) == ("evening", "visitor", 1736676006.5)
    assert langfuse.companions(path) == [other]


def test_the_session_of_an_older_export_stands_in_its_traces(tmp_path):
    old = {key: value for key, value in SNAKE_OBSERVATION.items() if key not in ("user_id", "session_id")}
    path = write(tmp_path, [SNAKE_SCORE], "scores/a.jsonl")
    write(tmp_path, [old], "observations/a.jsonl")
    trace = {"id": "t1", "name": "chat", "input": "x", "output": "y", "session_id": "evening", "user_id": "visitor"}
    write(tmp_path, [trace], "traces/a.jsonl")
    (only,) = read(langfuse, path)
    assert (only.completion, only.conversation, only.rater) == ("four", "evening", "visitor")


def test_an_observation_that_was_exported_twice_counts_as_it_was_last(tmp_path):
    path = write(tmp_path, [SNAKE_SCORE], "scores.jsonl")
    write(tmp_path, [SNAKE_OBSERVATION | {"output": "unfinished"}], "observations-1.jsonl")
    write(tmp_path, [SNAKE_OBSERVATION], "observations-2.jsonl")
    (only,) = read(langfuse, path)
    assert only.completion == "four"


def test_scores_and_observations_may_be_lines_of_one_file(tmp_path):
    path = write(tmp_path, [SNAKE_SCORE, SNAKE_OBSERVATION], "langfuse.jsonl")
    (only,) = read(langfuse, path)
    assert (only.completion, only.where) == ("four", f"{path}:1")


def test_a_page_of_the_api_holds_scores_in_a_list(tmp_path):
    path = write(tmp_path, {"data": [score()], "meta": {"page": 1}}, "scores.json")
    write(tmp_path, {"data": [observation()], "meta": {"page": 1}}, "observations.json")
    (only,) = read(langfuse, path)
    assert (only.completion, only.where) == ("5", f"{path}:1: data[0]")


def test_a_trace_of_the_api_holds_its_observations_and_scores_itself(tmp_path):
    trace = {"id": "t1", "input": None, "output": None, "observations": [observation()], "scores": [score()]}
    (only,) = read(langfuse, write(tmp_path, trace))
    assert only.completion == "5"


def test_a_trace_that_was_downloaded_is_indented(tmp_path):
    path = tmp_path / "trace-t1.json"
    path.write_text(json.dumps(bundle([score()]), indent=2))
    (only,) = read(langfuse, path)
    assert (only.completion, only.where) == ("5", f"{path}: scores[0]")
    assert langfuse.looks_like(path.read_bytes()[: 64 * 1024], path) is True


def test_several_traces_may_be_lines_of_one_file(tmp_path):
    other = bundle([score(traceId="t2")], [observation(traceId="t2", answer="22")], id="t2")
    found = read(langfuse, write(tmp_path, [bundle([score()]), other], "traces.jsonl"))
    assert [record.completion for record in found] == ["5", "22"]


def test_without_any_score_the_message_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"observations\.jsonl: holds no scores of Langfuse"):
        read(langfuse, write(tmp_path, [SNAKE_OBSERVATION], "observations.jsonl"))


def test_a_broken_line_is_told_once_although_the_file_is_read_several_times(tmp_path):
    told: list[str] = []
    path = write(tmp_path, [SNAKE_SCORE, SNAKE_OBSERVATION], "langfuse.jsonl")
    path.write_bytes(b"{oops}\n" + path.read_bytes())
    found = read(langfuse, path, on_trouble=told.append)
    assert reasons(found) == ["unreadable"]
    assert len(rated(found)) == 1
    assert len(told) == 1
    assert told[0].startswith(f"{path}:1: not valid JSON")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([score()], "a.json"),
        ([SNAKE_SCORE], "a.jsonl"),
        ([SNAKE_SCORE], "a.jsonl.gz"),
        (bundle([score()]), "a.json"),
        ({"data": [score()], "meta": {}}, "a.json"),
    ],
)
def test_each_form_is_recognised_by_its_content(tmp_path, value, name):
    path = write(tmp_path, value, name)
    assert langfuse.looks_like(path.read_bytes(), path) is True
    if name.endswith(".json"):
        path.write_text(json.dumps(value, indent=2))
        assert langfuse.looks_like(path.read_bytes(), path) is True


@pytest.mark.parametrize(
    "value",
    [
        [{"prompt": "a", "completion": "b", "label": True}],
        [{"id": "1", "run_id": "r", "key": "user_score", "score": 1}],
        [{"id": 1, "data": {}, "annotations": []}],
        {"name": "Ana", "type": "personal_chat", "messages": []},
        [],
        7,
    ],
)
def test_other_files_are_not_taken_for_langfuse(tmp_path, value):
    path = write(tmp_path, value)
    assert langfuse.looks_like(path.read_bytes(), path) is False


# --- properties ---------------------------------------------------------------------------------------------


@st.composite
def exports(draw: st.DrawFn) -> tuple[list[dict], list[tuple]]:
    """Lines of an export in any order, and (question, answer, label) of each of its scores."""
    lines, expected = [], []
    for trace in range(draw(st.integers(1, 4))):
        calls = draw(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
        for number, (question, answer) in enumerate(calls):
            more = {"traceId": f"t{trace}", "startTime": f"2025-01-12T10:00:0{number}Z"}
            lines.append(observation(f"t{trace}o{number}", question, answer, **more))
        for _ in range(draw(st.integers(0, 3))):
            about, label = draw(st.integers(-1, len(calls) - 1)), draw(st.booleans())
            name = None if about < 0 else f"t{trace}o{about}"
            lines.append(score(traceId=f"t{trace}", observationId=name, value=int(label), stringValue=str(label)))
            expected.append((*calls[about], label))  # -1: the trace, and its last call
    return draw(st.permutations(lines)), expected


@given(exports())
@settings(max_examples=50, deadline=None)
def test_every_score_finds_its_exchange_in_whatever_order_the_lines_stand(scratch, export):
    lines, expected = export
    path = write(scratch, lines, "langfuse.jsonl")
    if expected:
        found = [(record.prompt[-1]["content"], record.completion, record.label) for record in read(langfuse, path)]
        assert sorted(found) == sorted(expected)


@given(damaged_values([SNAKE_SCORE, SNAKE_OBSERVATION, bundle([score()])]))
@settings(max_examples=50, deadline=None)
def test_an_export_with_something_else_in_some_place_raises_nothing_but_user_errors(scratch, value):
    raises_only_user_errors(langfuse, write(scratch, value, "damaged.json"))


WHOLE = "\n".join(map(json.dumps, [SNAKE_SCORE, SNAKE_OBSERVATION, bundle([score()])])).encode()


@given(damaged_bytes(WHOLE))
@settings(max_examples=50, deadline=None)
def test_a_truncated_or_mutated_file_raises_nothing_but_user_errors(scratch, data):
    path = scratch / "broken.jsonl"
    path.write_bytes(data)
    raises_only_user_errors(langfuse, path)
