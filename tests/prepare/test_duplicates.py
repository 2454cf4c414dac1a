"""Near duplicates: of the same label, alike in prompt and in answer; everything else stays."""

import random

import pytest
from vote_logs import filler, kto_rows, manifest_of, turns, vote

from kto_recipes.prepare.dataset import prepare

WORDS = [f"word{n}" for n in range(500)]


def text(seed: int, words: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def changed(said: str, places: int) -> str:
    """`said` with that many words in a row replaced; three more shingles of three words differ than that, less one."""
    words = said.split()
    return " ".join(words[:10] + [f"new{n}" for n in range(places)] + words[10 + places :])


def answers(folder) -> set[str]:
    return {row["completion"][0]["content"] for row in kto_rows(folder)}


QUESTION, ANSWER = text(1), text(2)


@pytest.mark.parametrize(
    ("second", "is_near"),
    [
        (vote(QUESTION, changed(ANSWER, 1)), True),  # 35 of 41 shingles
        (vote(changed(QUESTION, 1), ANSWER.upper()), True),
        (vote(QUESTION, changed(ANSWER, 1), False), False),  # the other label teaches the most
        (vote(QUESTION, text(3)), False),  # another answer to the same question
        (vote(text(4), ANSWER), False),  # the same answer to another question
        (vote(QUESTION, changed(ANSWER, 12)), False),
    ],
)
def test_a_row_is_left_out_where_prompt_and_answer_are_nearly_an_earlier_ones(make_votes, second, is_near):
    rows = [vote(QUESTION, ANSWER), second, *filler(40)]
    folder = make_votes(rows, clean={"near_duplicates": 0.8})
    prepare(folder)
    left_out = {"near duplicate": 1} if is_near else {}
    assert manifest_of(folder)["left_out"] == left_out
    assert (second["completion"] in answers(folder)) is not is_near
    assert ANSWER in answers(folder)


def test_short_answers_to_one_long_prompt_are_not_taken_for_the_same(make_votes):
    long = turns(text(5, 400), system=text(6, 400))
    rows = [vote(long, "yes of course"), vote(long, "no not at all"), *filler(40)]
    folder = make_votes(rows, clean={"near_duplicates": 0.5})
    prepare(folder)
    assert {"yes of course", "no not at all"} <= answers(folder)


def test_without_the_setting_nothing_is_compared(make_votes):
    folder = make_votes([vote(QUESTION, ANSWER), vote(QUESTION, changed(ANSWER, 1)), *filler(40)])
    prepare(folder)
    assert manifest_of(folder)["left_out"] == {}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_nearly_all_pairs_well_above_the_threshold_are_found_and_none_below(make_votes, threshold):
    rows, near = list(filler(40)), 0
    for n in range(60):
        question, answer = text(100 + n), text(200 + n, 120)
        other = changed(answer, 1 + n % 40)
        one, two = ({tuple(it.split()[i : i + 3]) for i in range(118)} for it in (answer, other))
        alike = len(one & two) / len(one | two)
        if abs(alike - threshold) > 0.05:
            rows += [vote(question, answer), vote(question, other)]
            near += alike > threshold
    folder = make_votes(rows, clean={"near_duplicates": threshold})
    prepare(folder)
    assert 0.95 * near <= manifest_of(folder)["left_out"].get("near duplicate", 0) <= near
