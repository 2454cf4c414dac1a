"""LangSmith: feedback, joined with the runs it is about.

Feedback and runs stand in one file (as lines, or as lists called feedback and runs), or the runs in files called runs…
beside it. Feedback on a step around a model's call, such as the root run, is about the last call within it.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.sources.joined import Text, Vote, files_in, joined, moment
from kto_recipes.sources.records import LeftOut, ReadOptions, Record
from kto_recipes.sources.shapes import LeaveOut, label_of, seconds_of
from kto_recipes.sources.tabular import Row, first_row, unreadable
from kto_recipes.sources.tracing import answer_in
from kto_recipes.sources.votes import (
    as_id,
    is_number,
    objects,
    or_left_out,
    scalar,
    the_question,
    told_once,
    zero_is_no_vote,
)

NAME = "langsmith"
LOOKS_FOR = "feedback with run_id, key and score, with its runs (run_type, inputs, outputs) beside it or in the file"

_LISTS = {"feedback": "feedback", "feedbacks": "feedback", "runs": "run"}
_MODELS = {"model", "auto_eval"}
# What applications call a conversation in a run's metadata; a run's own session_id is the whole project.
_CONVERSATION = ("thread_id", "session_id", "conversation_id")


@dataclass(slots=True)
class _Feedback:
    """What feedback says, before it is known which feedback is the vote."""

    key: str
    said: Any
    better: str | None
    where: str
    run: str
    rater: str | None
    time: float | None


def _parts(path: Path, options: ReadOptions) -> Iterator[tuple[str, Row, str] | LeftOut]:
    """Every feedback and run of a file, with its kind and place."""
    for item in objects(path, options):
        if isinstance(item, LeftOut):
            yield item
            continue
        where, row = item
        lists = {name: row[name] for name in _LISTS if isinstance(row.get(name), list)}
        if not lists:
            yield _part(_kind(row), row, where, options)
        for name, found in lists.items():
            for number, part in enumerate(found):
                kind = _LISTS[name] if isinstance(part, dict) else None
                yield _part(kind, part, f"{where}: {name}[{number}]", options)


def _part(kind: str | None, row: Row, where: str, options: ReadOptions) -> tuple[str, Row, str] | LeftOut:
    if kind is None:
        return unreadable(where, f"neither feedback nor a run; expected {LOOKS_FOR}", options)
    return kind, row, where


def _kind(row: Row) -> str | None:
    if "key" in row and row.keys() & {"run_id", "trace_id"}:
        return "feedback"
    return "run" if "id" in row and row.keys() & {"inputs", "outputs", "run_type"} else None


def _feedback(row: Row, where: str) -> _Feedback:
    """Feedback that a person gave on an answer.

    Raises:
        LeaveOut: when it is not that; ValueError: when it cannot be read.
    """
    source = row["feedback_source"] if isinstance(row.get("feedback_source"), dict) else {}
    if scalar(source.get("type")) in _MODELS:
        raise LeaveOut("judged by a model")
    if row.get("comparative_experiment_id") is not None:
        raise LeaveOut("comparative feedback")
    run = as_id(row.get("run_id")) or as_id(row.get("trace_id"))
    if run is None:
        raise LeaveOut("feedback on no run")
    score = scalar(row.get("score"))
    said = scalar(row.get("value")) if score is None else score
    correction = row.get("correction")
    better = None if correction is None else answer_in(correction)
    if said is None and better is None:
        raise LeaveOut("no vote")
    more = source["metadata"] if isinstance(source.get("metadata"), dict) else {}
    time = row.get("modified_at")
    return _Feedback(
        key=as_id(row.get("key")) or "",
        said=said,
        better=better,
        where=where,
        run=run,
        rater=as_id(source.get("user_id")) or as_id(more.get("user_id")),
        time=seconds_of(row.get("created_at") if time is None else time),
    )


def _votes(given: deque[_Feedback], path: Path, options: ReadOptions) -> Iterator[Vote | LeftOut]:
    """The feedback under the key that is the vote, and what is nothing but a better answer, under any key."""
    key = the_question((it.key for it in given if it.said is not None), options, path, "feedback key")
    numbers = (it.said for it in given if it.key == key and is_number(it.said))
    zero_is_none = zero_is_no_vote(numbers, options, f"{path}: the scores under {key}")
    while given:  # there may be millions: each makes room for its vote
        it = given.popleft()
        says_nothing = it.said is None or (zero_is_none and is_number(it.said) and it.said == 0)
        if it.said is not None and it.key != key:
            yield LeftOut("another score", it.where)
        elif says_nothing and it.better is None:
            yield LeftOut("no vote", it.where)
        else:
            yield or_left_out(partial(_vote, it, says_nothing, options), it.where, options)


def _vote(it: _Feedback, says_nothing: bool, options: ReadOptions) -> Vote:
    # An answer that somebody rewrote was not good, unless they say that it was.
    label = False if says_nothing else label_of(it.said, options)
    return Vote(it.run, it.where, label, it.rater, it.time, it.better)


def companions(path: Path) -> list[Path]:
    """The files beside feedback that hold the runs."""
    return [file for file in files_in(path.parent, "runs") if file != path]


def _texts(files: list[Path], options: ReadOptions) -> Iterator[Text]:
    for file in files:
        for item in _parts(file, options):
            if not isinstance(item, LeftOut) and item[0] == "run":
                yield _text(item[1])


def _text(run: Row) -> Text:
    extra = run["extra"] if isinstance(run.get("extra"), dict) else {}
    about = extra["metadata"] if isinstance(extra.get("metadata"), dict) else {}
    conversation = next((as_id(about[name]) for name in _CONVERSATION if as_id(about.get(name))), None)
    return Text(
        id=as_id(run.get("id")) or "",
        above=_above(run),
        is_call=run.get("run_type") == "llm",
        time=moment(run.get("start_time")),
        inputs=run.get("inputs"),
        outputs=run.get("outputs"),
        conversation=conversation or as_id(run.get("trace_id")) or as_id(run.get("id")),
        user=as_id(about.get("user_id")),
    )


def _above(run: Row) -> set[str]:
    """The runs that this one is part of; a dotted order is `<time>Z<root's id>.<time>Z<child's id>…`."""
    parents = run["parent_run_ids"] if isinstance(run.get("parent_run_ids"), list) else []
    order = run["dotted_order"] if isinstance(run.get("dotted_order"), str) else ""
    dotted = [part.rpartition("Z")[2] for part in order.split(".") if "Z" in part]
    ids = {as_id(value) for value in (run.get("trace_id"), run.get("parent_run_id"), *parents, *dotted)}
    return ids - {None, as_id(run.get("id"))}


def looks_like(head: bytes, path: Path) -> bool:
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and b'"runs"' in head:
        return b'"run_id"' in head or b'"run_type"' in head
    row = first_row(path)
    if row is None:
        return False
    is_feedback = _kind(row) == "feedback" and bool(row.keys() & {"score", "feedback_source"})
    return is_feedback or ("run_type" in row and "inputs" in row) or {"feedback", "runs"} <= row.keys()


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    """The records of feedback. `fields: label` names the key that is the vote, where there are several."""
    options = told_once(options)
    given: deque[_Feedback] = deque()
    has_feedback = False
    for item in _parts(path, options):
        if isinstance(item, LeftOut):
            yield item
        elif item[0] == "feedback":
            has_feedback = True
            feedback = or_left_out(partial(_feedback, *item[1:]), item[2], options)
            if isinstance(feedback, LeftOut):
                yield feedback
            else:
                given.append(feedback)
    if not has_feedback:
        raise UserError(f"{path}: holds no feedback of LangSmith; expected {LOOKS_FOR}")
    votes = []
    for vote in _votes(given, path, options):
        if isinstance(vote, LeftOut):
            yield vote
        else:
            votes.append(vote)
    yield from joined(votes, lambda: _texts([path, *companions(path)], options), options)
