"""Several votes on one answer: who decides, by which rule, and that each vote is a row or counted."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_recipes.prepare.duplicates import leave_out_repeated
from kto_recipes.prepare.entries import EARLIER, ENTRY, Entries
from kto_recipes.prepare.votes import resolve_votes
from kto_recipes.settings import DatasetSettings

UP, DOWN = True, False
Vote = tuple[str, str | None, float | None, bool]  # answer, rater, time, label
VOTES = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.none() | st.sampled_from("abc"),
        st.none() | st.integers(0, 3).map(float),
        st.booleans(),
    ),
    max_size=14,
)
RULES = st.tuples(st.sampled_from(["majority", "latest", "unanimous"]), st.sampled_from(["drop", "majority", "latest"]))


def decided(votes: list[Vote], raters: str = "majority", contradictions: str = "drop") -> tuple[list[int], Counter]:
    """The votes that are rows in the end, by place, and the reasons of the others."""
    of = np.zeros(len(votes), dtype=ENTRY)
    for place, (answer, rater, time, label) in enumerate(votes):
        of[place]["answer_id"] = ord(answer)
        of[place]["rater"] = ord(rater) if rater else 0
        of[place]["time"] = float("-inf") if time is None else time
        of[place]["label"] = label
    entries = Entries(None, of, np.zeros(0, EARLIER), [""])
    resolve_votes(entries, DatasetSettings(source="-", raters=raters, contradictions=contradictions))
    leave_out_repeated(entries)
    reasons = Counter(entries.reasons[n] for n in of["reason"] if n)
    return np.flatnonzero(of["reason"] == 0).tolist(), reasons


def by(rater: str | None, label: bool, time: float | None = None) -> Vote:
    return "x", rater, time, label


@pytest.mark.parametrize(
    ("votes", "raters", "kept", "reasons"),
    [
        # of one rater the latest counts, by time, or by place where there is no time
        ([by("a", UP, 1), by("a", DOWN, 2)], "majority", [1], {"earlier vote of the same rater": 1}),
        ([by("a", UP, 2), by("a", DOWN, 1)], "majority", [0], {"earlier vote of the same rater": 1}),
        ([by("a", UP), by("a", DOWN)], "majority", [1], {"earlier vote of the same rater": 1}),
        # three raters
        ([by("a", UP), by("b", UP), by("c", UP)], "unanimous", [0], {"same vote of another rater": 2}),
        (
            [by("a", DOWN), by("b", UP), by("c", UP)],
            "majority",
            [1],
            {"outvoted by other raters": 1, "same vote of another rater": 1},
        ),
        ([by("a", DOWN), by("b", UP), by("c", UP)], "unanimous", [], {"raters disagree": 3}),
        (
            [by("a", UP, 9), by("b", DOWN, 3), by("c", DOWN, 4)],
            "latest",
            [0],
            {"outvoted by other raters": 2},
        ),
        # a tie
        ([by("a", UP), by("b", DOWN)], "majority", [], {"raters disagree": 2}),
        # a changed mind breaks it
        (
            [by("a", UP, 1), by("b", DOWN, 2), by("a", DOWN, 3)],
            "majority",
            [1],
            {"earlier vote of the same rater": 1, "same vote of another rater": 1},
        ),
        # other answers have nothing to do with it
        ([by("a", UP), ("y", "a", None, DOWN)], "unanimous", [0, 1], {}),
    ],
)
def test_raters_decide_together_by_the_rule(votes, raters, kept, reasons):
    assert decided(votes, raters) == (kept, reasons)


@pytest.mark.parametrize(
    ("votes", "rule", "kept", "reasons"),
    [
        ([by(None, UP), by(None, UP)], "drop", [0], {"repeated": 1}),
        ([by(None, UP), by(None, DOWN)], "drop", [], {"both labels": 2}),
        ([by(None, UP), by(None, DOWN)], "majority", [], {"both labels": 2}),
        ([by(None, UP), by(None, DOWN), by(None, DOWN)], "majority", [1], {"both labels": 1, "repeated": 1}),
        ([by(None, UP), by(None, DOWN)], "latest", [1], {"both labels": 1}),
        ([by(None, UP, 5), by(None, DOWN, 4)], "latest", [0], {"both labels": 1}),
        ([by(None, UP, 5), by(None, DOWN)], "latest", [0], {"both labels": 1}),  # no time is before every time
        # the raters speak as one, against a row by nobody known
        (
            [by("a", UP), by("b", UP), by(None, DOWN)],
            "majority",
            [],
            {"same vote of another rater": 1, "both labels": 2},
        ),
    ],
)
def test_an_answer_that_still_has_both_labels_is_settled_or_dropped(votes, rule, kept, reasons):
    assert decided(votes, contradictions=rule) == (kept, reasons)


def slowly(votes: list[Vote], raters: str, contradictions: str) -> dict[str, bool]:
    """Each answer's label, worked out one answer at a time."""
    result = {}
    for answer in {vote[0] for vote in votes}:
        mine = [(place, *vote[1:]) for place, vote in enumerate(votes) if vote[0] == answer]
        moment = {place: (time is not None, time or 0, place) for place, _, time, _ in mine}
        latest: dict[str, tuple[int, bool]] = {}
        for place, rater, _, label in mine:
            if rater and (rater not in latest or moment[place] > moment[latest[rater][0]]):
                latest[rater] = place, label
        statements = [(moment[place], label) for place, rater, _, label in mine if rater is None]
        verdict = together(list(latest.values()), moment, raters)
        if verdict is not None:
            first = min(place for place, label in latest.values() if label == verdict)
            statements.append((moment[first], verdict))
        said = [label for _, label in statements]
        if len(set(said)) == 1:
            result[answer] = said[0]
        elif said and contradictions == "latest":
            result[answer] = max(statements)[1]
        elif contradictions == "majority" and 2 * sum(said) != len(said):
            result[answer] = 2 * sum(said) > len(said)
    return result


def together(latest: list[tuple[int, bool]], moment: dict[int, Any], rule: str) -> bool | None:
    labels = [label for _, label in latest]
    if not labels:
        return None
    if rule == "latest":
        return max((moment[place], label) for place, label in latest)[1]
    if rule == "unanimous":
        return labels[0] if len(set(labels)) == 1 else None
    return None if 2 * sum(labels) == len(labels) else 2 * sum(labels) > len(labels)


@given(VOTES, RULES)
def test_any_votes_come_to_what_is_worked_out_one_answer_at_a_time(votes, rules):
    kept, reasons = decided(votes, *rules)
    found = defaultdict(list)
    for place in kept:
        found[votes[place][0]].append(votes[place][3])
    assert found == {answer: [label] for answer, label in slowly(votes, *rules).items()}
    assert len(kept) + reasons.total() == len(votes)
