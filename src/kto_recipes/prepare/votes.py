"""From several votes on one answer to one row with one label, and a reason for each vote that is no row."""

import numpy as np

from kto_recipes.prepare.entries import Entries
from kto_recipes.settings import DatasetSettings

EARLIER_VOTE = "earlier vote of the same rater"
SAME_VOTE = "same vote of another rater"
OUTVOTED = "outvoted by other raters"
DISAGREE = "raters disagree"
BOTH_LABELS = "both labels"


def resolve_votes(entries: Entries, settings: DatasetSettings) -> None:
    """Leave out every vote that is not the one by which its answer goes on.

    Of a rater's votes on an answer the latest counts. The raters of an answer decide together, as
    `settings.raters` says, and speak as one. Where an answer still has both labels, because rows without a rater
    contradict each other or the raters, `settings.contradictions` decides. Votes of one label without a rater are
    repetitions, which `duplicates` leaves out.
    """
    rows = entries.said_again()
    if len(rows) == 0:
        return
    table = entries.of[rows]
    order = np.lexsort((rows, table["time"], table["rater"], table["answer_id"]))
    rows, table = rows[order], table[order]
    is_earlier = _next_is_equal(table["answer_id"]) & _next_is_equal(table["rater"]) & (table["rater"] != 0)
    entries.leave_out(rows[is_earlier], EARLIER_VOTE)
    rows = rows[~is_earlier]
    has_rater = entries.of["rater"][rows] != 0
    _decide_together(entries, rows[has_rater], settings.raters)
    rows = rows[entries.of["reason"][rows] == 0]
    _settle_contradictions(entries, rows, settings.contradictions)


def _decide_together(entries: Entries, rows: np.ndarray, rule: str) -> None:
    """Leave out all but one of the raters' votes on each answer, or all where they reach no verdict."""
    if len(rows) == 0:
        return
    of = entries.of[rows]
    answer, up, down = _counted(of["answer_id"], of["label"])
    if rule == "latest":
        verdict = _latest_label(answer, of["time"], rows, of["label"])
        is_decided = np.ones(len(up), dtype=bool)
    else:
        verdict = up > down
        is_decided = (up != down) if rule == "majority" else (up == 0) | (down == 0)
    disagree = ~is_decided[answer]
    outvoted = ~disagree & (of["label"] != verdict[answer])
    agreeing = np.flatnonzero(~disagree & ~outvoted)
    entries.leave_out(rows[disagree], DISAGREE)
    entries.leave_out(rows[outvoted], OUTVOTED)
    entries.leave_out(rows[agreeing][~_is_first(answer[agreeing], rows[agreeing])], SAME_VOTE)


def _settle_contradictions(entries: Entries, rows: np.ndarray, rule: str) -> None:
    if len(rows) == 0:
        return
    of = entries.of[rows]
    answer, up, down = _counted(of["answer_id"], of["label"])
    if rule == "latest":
        loses = of["label"] != _latest_label(answer, of["time"], rows, of["label"])[answer]
    elif rule == "majority":
        loses = (of["label"] != (up > down)[answer]) | (up == down)[answer]
    else:
        loses = np.ones(len(rows), dtype=bool)
    has_both = ((up > 0) & (down > 0))[answer]
    entries.leave_out(rows[has_both & loses], BOTH_LABELS)


def _counted(ids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each vote's answer as a number from 0, and by that number how many say true and how many false."""
    answer = np.unique(ids, return_inverse=True)[1]
    up = np.bincount(answer, weights=labels).astype(np.int64)
    return answer, up, np.bincount(answer) - up


def _latest_label(answer: np.ndarray, time: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By answer, the label of its last vote; without times the one that stands last in the file."""
    order = np.lexsort((rows, time, answer))
    return labels[order][~_next_is_equal(answer[order])]


def _is_first(answer: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which votes stand first in the file of those on their answer."""
    order = np.lexsort((rows, answer))
    result = np.empty(len(answer), dtype=bool)
    result[order] = np.r_[True, answer[order][1:] != answer[order][:-1]] if len(answer) else []
    return result


def _next_is_equal(values: np.ndarray) -> np.ndarray:
    return np.r_[values[1:] == values[:-1], False] if len(values) else np.array([], dtype=bool)
