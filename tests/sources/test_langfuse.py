"""Langfuse's scores: what each kind of score says, which score is the vote, and which text it is about."""

from typing import Any

import pytest
from langfuse_export import bundle, observation, score
from vote_files import rated, read, reasons, said, write

from kto_recipes.errors import UserError
from kto_recipes.sources import langfuse


def votes(folder, *scores: dict, **options: Any):
    return read(langfuse, write(folder, bundle(list(scores)), "trace-t1.json"), **options)


# --- what a score says --------------------------------------------------------------------------------------


def test_a_thumb_down_of_the_api_is_a_bad_answer_although_its_text_false_is_true_in_python(tmp_path):
    (only,) = votes(tmp_path, score())
    assert (said(only), only.completion, only.label) == ([("user", "2+2?")], "5", False)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"value": 1, "stringValue": "True"}, True),
        ({"value": 0.0, "stringValue": "False"}, False),
        ({"value": None, "stringValue": "False"}, False),
        ({"value": None, "stringValue": "True"}, True),
        ({"value": False, "stringValue": None}, False),
        ({"value": 0, "stringValue": "False", "dataType": None}, False),
        ({"value": 1, "stringValue": None, "dataType": "NUMERIC"}, True),
        ({"value": -1, "stringValue": None, "dataType": "NUMERIC"}, False),
        ({"value": 0, "stringValue": "thumbs_up", "dataType": "CATEGORICAL"}, True),
        ({"value": "thumbs_down", "stringValue": None, "dataType": "CATEGORICAL"}, False),
        ({"value": 0, "stringValue": "thumbs_up", "dataType": None}, True),
    ],
)
def test_what_a_score_says_depends_on_its_kind(tmp_path, change, label):
    (only,) = votes(tmp_path, score(**change))
    assert only.label is label


def test_every_category_has_the_number_0_so_its_name_alone_counts_even_with_a_threshold(tmp_path):
    scores = [score(id=name, value=0, stringValue=name, dataType="CATEGORICAL") for name in ("helpful", "useless")]
    found = votes(tmp_path, *scores, label_map={"helpful": True, "useless": False}, threshold=0)
    assert [record.label for record in rated(found)] == [True, False]


def test_a_category_nobody_explained_is_refused_with_what_to_say(tmp_path):
    with pytest.raises(UserError, match=r"scores\[0\]: label is 'helpful'.*label_map"):
        votes(tmp_path, score(value=0, stringValue="helpful", dataType="CATEGORICAL"))


def test_a_category_without_a_name_is_no_vote(tmp_path):
    assert reasons(votes(tmp_path, score(value=0, stringValue=None, dataType="CATEGORICAL"))) == ["no vote"]


@pytest.mark.parametrize("value", [None, ""])
def test_a_number_that_is_missing_is_no_vote_and_never_a_bad_one(tmp_path, value):
    assert reasons(votes(tmp_path, score(value=value, stringValue=None, dataType="NUMERIC"))) == ["no vote"]


def numeric(value: Any, **more: Any) -> dict:
    return score(id=f"n{value}", value=value, stringValue=None, dataType="NUMERIC", **more)


def test_between_minus_one_and_one_a_zero_says_nothing(tmp_path):
    found = votes(tmp_path, numeric(1), numeric(0), numeric(-1))
    assert reasons(found) == ["no vote"]
    assert [record.label for record in rated(found)] == [True, False]


def test_between_zero_and_one_a_zero_is_a_thumb_down(tmp_path):
    assert [record.label for record in votes(tmp_path, numeric(1), numeric(0))] == [True, False]


def test_other_numbers_need_a_threshold_before_a_single_one_is_taken_for_a_thumb(tmp_path):
    told: list[str] = []
    with pytest.raises(UserError, match=r"user-feedback hold numbers such as 4;.*threshold"):
        votes(tmp_path, numeric(1), numeric(4), on_trouble=told.append)
    found = votes(tmp_path, numeric(1), numeric(4), threshold=3)
    assert [record.label for record in found] == [False, True]


def test_a_truth_is_not_measured_against_the_threshold(tmp_path):
    (only,) = votes(tmp_path, score(value=1, stringValue="True"), threshold=3)
    assert only.label is True


def test_the_score_of_a_model_is_not_a_persons(tmp_path):
    found = votes(tmp_path, score(source="EVAL"), score(source="ANNOTATION"))
    assert reasons(found) == ["judged by a model"]
    assert len(rated(found)) == 1


@pytest.mark.parametrize("kind", ["TEXT", "CORRECTION"])
def test_free_text_is_no_vote(tmp_path, kind):
    assert reasons(votes(tmp_path, score(dataType=kind, value=0, stringValue="nice"))) == ["free text"]


def test_a_score_of_a_session_is_about_no_single_answer(tmp_path):
    path = write(tmp_path, [score(traceId=None, sessionId="s")], "scores.json")
    assert reasons(read(langfuse, path)) == ["score of a whole session"]


def test_every_score_of_every_author_is_handed_on_with_its_time(tmp_path):
    scores = [
        score(id="1", authorUserId="ana", value=1, updatedAt="2025-01-12T10:00:00.000Z"),
        score(id="2", authorUserId="ana", value=0, updatedAt="2025-01-12T10:00:01.500Z"),
        score(id="3", authorUserId="ben", value=1, timestamp="2025-01-12T10:00:02+00:00"),
    ]
    found = [(record.rater, record.label, record.time) for record in votes(tmp_path, *scores)]
    assert found == [("ana", True, 1736676000), ("ana", False, 1736676001.5), ("ben", True, 1736676002)]


def test_a_score_without_an_author_is_by_the_user_whose_trace_it_is(tmp_path):
    path = write(tmp_path, bundle([score(), score(authorUserId="annotator")], userId="visitor"))
    assert [record.rater for record in read(langfuse, path)] == ["visitor", "annotator"]


# --- which score is the vote --------------------------------------------------------------------------------


def test_of_several_scores_the_one_that_is_called_like_a_vote_is_taken(tmp_path):
    found = votes(tmp_path, score(), numeric(0.93, name="toxicity"))
    assert reasons(found) == ["another score"]
    assert len(rated(found)) == 1


def test_where_the_vote_cannot_be_told_by_its_name_the_names_are_listed(tmp_path):
    with pytest.raises(UserError, match=r"more than one score: quality, tone; .*--map label=NAME"):
        votes(tmp_path, score(name="quality"), score(name="tone"))


def test_the_vote_can_be_named(tmp_path):
    found = votes(tmp_path, score(name="quality", value=1), score(name="tone"), fields={"label": "quality"})
    assert [record.label for record in rated(found)] == [True]
    with pytest.raises(UserError, match=r"no score is called 'qualty'; there are: quality"):
        votes(tmp_path, score(name="quality"), fields={"label": "qualty"})


# --- which text it is about ---------------------------------------------------------------------------------


def test_a_score_of_a_trace_is_about_its_last_generation(tmp_path):
    observations = [
        observation("last", answer="the answer", startTime="2025-01-12T10:00:09Z"),
        observation("first", answer="a search query", startTime="2025-01-12T10:00:01Z"),
        observation("span", answer="not of a model", type="SPAN", startTime="2025-01-12T10:00:10Z"),
    ]
    (only,) = read(langfuse, write(tmp_path, bundle([score()], observations)))
    assert only.completion == "the answer"


def test_a_score_of_an_observation_is_about_that_one(tmp_path):
    observations = [observation("o1"), observation("o2", answer="later", startTime="2025-01-12T11:00:00Z")]
    (only,) = read(langfuse, write(tmp_path, bundle([score(observationId="o1")], observations)))
    assert only.completion == "5"


def test_a_score_of_a_trace_without_generations_is_about_what_the_trace_itself_says(tmp_path):
    trace = bundle([score()], [observation(type="EVENT")], input="2+2?", output="five")
    (only,) = read(langfuse, write(tmp_path, trace))
    assert (said(only), only.completion) == ([("user", "2+2?")], "five")


def test_a_score_whose_text_is_not_there_is_left_out(tmp_path):
    found = votes(tmp_path, score(traceId="gone"), score(observationId="gone"))
    assert reasons(found) == ["answer not found", "answer not found"]


@pytest.mark.parametrize("missing", [{"input": None}, {"output": None}, {"input": "", "output": ""}])
def test_large_inputs_and_outputs_can_be_missing_from_a_download(tmp_path, missing):
    found = read(langfuse, write(tmp_path, bundle([score()], [observation() | missing])))
    assert len(found) == 1
    assert reasons(found)[0] in ("no text", "empty answer")


def test_the_conversation_is_the_session_or_else_the_trace(tmp_path):
    (alone,) = votes(tmp_path, score())
    (in_session,) = read(langfuse, write(tmp_path, bundle([score()], sessionId="evening")))
    assert (alone.conversation, in_session.conversation) == ("t1", "evening")
