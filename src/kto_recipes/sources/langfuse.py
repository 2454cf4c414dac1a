"""Langfuse: scores, joined with the observations and traces they are about.

Read are the API's JSON (camelCase), the blob export (snake_case) and one trace's `trace-<id>.json`; as an array, JSON
Lines, or a page of the API. The texts stand in the same file, in files called observations… or traces… beside it, or,
for a blob export's scores/, in the folders observations_v2/, observations/ and traces/ beside that.
Fields: https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields
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

NAME = "langfuse"
LOOKS_FOR = "scores with traceId and dataType (or trace_id and data_type), or a trace with observations and scores"

_PARTS = {"score": "scores", "observation": "observations", "trace": "traces"}
_SNAKE = {
    "traceId": "trace_id",
    "observationId": "observation_id",
    "sessionId": "session_id",
    "userId": "user_id",
    "authorUserId": "author_user_id",
    "dataType": "data_type",
    "stringValue": "string_value",
    "startTime": "start_time",
    "parentObservationId": "parent_observation_id",
    "updatedAt": "updated_at",
    "createdAt": "created_at",
}


@dataclass(slots=True)
class _Score:
    """What a score says, before it is known which scores are votes."""

    name: str
    kind: str  # BOOLEAN, NUMERIC or CATEGORICAL
    said: Any
    where: str
    target: str
    trace: str | None
    rater: str | None
    time: float | None


def _get(row: Row, name: str) -> Any:
    """A field in either spelling; "" stands for none in the blob export."""
    value = row.get(name, row.get(_SNAKE.get(name, name)))
    return None if value == "" else value


# --- what stands in a file ----------------------------------------------------------------------------------


def _parts(path: Path, options: ReadOptions) -> Iterator[tuple[str, Row, str] | LeftOut]:
    """Every score, observation and trace of a file, with its kind and place."""
    for item in objects(path, options):
        if isinstance(item, LeftOut):
            yield item
            continue
        where, row = item
        if isinstance(row.get("data"), list) and "traceId" not in row:  # a page of the API
            for number, part in enumerate(row["data"]):
                yield from _parts_of(part, f"{where}: data[{number}]", options)
        else:
            yield from _parts_of(row, where, options)


def _parts_of(row: Any, where: str, options: ReadOptions) -> Iterator[tuple[str, Row, str] | LeftOut]:
    if not isinstance(row, dict):
        yield unreadable(where, "expected an object", options)
    elif any(isinstance(row.get(name), list) for name in _PARTS.values()):
        yield from _parts_of_bundle(row, where)
    elif (kind := _kind(row)) is not None:
        yield kind, row, where
    else:
        yield unreadable(where, f"neither a score nor an observation nor a trace; expected {LOOKS_FOR}", options)


def _parts_of_bundle(row: Row, where: str) -> Iterator[tuple[str, Row, str]]:
    """A trace with its observations and scores, which need not repeat whose they are."""
    trace = row["trace"] if isinstance(row.get("trace"), dict) else row
    about = {name: _get(trace, name) for name in ("sessionId", "userId")} | {"traceId": trace.get("id")}
    if "id" in trace:
        yield "trace", trace, where
    for kind, name in _PARTS.items():
        found = row.get(name, trace.get(name))
        for number, part in enumerate(found if isinstance(found, list) else []):
            if isinstance(part, dict):
                missing = {key: value for key, value in about.items() if value and _get(part, key) is None}
                yield kind, part | missing, f"{where}: {name}[{number}]"


def _kind(row: Row) -> str | None:
    points = any(_get(row, name) is not None for name in ("traceId", "observationId", "sessionId"))
    if points and "name" in row and (row.keys() & {"value", "stringValue", "string_value"}):
        return "score"
    if "type" in row and points:
        return "observation"
    return "trace" if "id" in row and row.keys() & {"input", "output"} else None


# --- scores -------------------------------------------------------------------------------------------------


def _score(row: Row, where: str) -> _Score:
    """A score that a person gave to an answer.

    Raises:
        LeaveOut: when it is not one; ValueError: when it cannot be read.
    """
    if _get(row, "source") == "EVAL":
        raise LeaveOut("judged by a model")
    kind, said = _said(row)
    if said is None:
        raise LeaveOut("no vote")
    trace, observation = as_id(_get(row, "traceId")), as_id(_get(row, "observationId"))
    if trace is None and observation is None:
        raise LeaveOut("score of a whole session")
    nested = row.get("trace") if isinstance(row.get("trace"), dict) else {}
    time = next((_get(row, name) for name in ("updatedAt", "timestamp", "createdAt") if _get(row, name)), None)
    return _Score(
        name=as_id(_get(row, "name")) or "",
        kind=kind,
        said=said,
        where=where,
        target=f"observation {observation}" if observation is not None else f"trace {trace}",
        trace=trace,
        rater=as_id(_get(row, "authorUserId")) or as_id(_get(nested, "userId")),
        time=seconds_of(time),
    )


def _said(row: Row) -> tuple[str, Any]:
    """A score's kind and what it says. A category's number is 0 whichever it is; a BOOLEAN's text is "False"."""
    value, text, kind = (scalar(_get(row, name)) for name in ("value", "stringValue", "dataType"))
    if kind is None:
        is_truth = isinstance(value, bool) or str(text).lower() in ("true", "false")
        kind = "BOOLEAN" if is_truth else "CATEGORICAL" if text is not None or isinstance(value, str) else "NUMERIC"
    if kind == "BOOLEAN":
        return kind, bool(value) if value in (0, 1) else text
    if kind == "CATEGORICAL":
        return kind, text if text is not None else value if isinstance(value, str) else None
    if kind == "NUMERIC":
        if value is not None and not is_number(value):
            raise ValueError(f"the value of a NUMERIC score is {str(value)[:40]!r}; expected a number")
        return kind, value
    raise LeaveOut("free text")  # TEXT, CORRECTION


def _votes(scores: deque[_Score], path: Path, options: ReadOptions) -> Iterator[Vote | LeftOut]:
    name = the_question((score.name for score in scores), options, path, "score")
    numbers = (score.said for score in scores if score.name == name and score.kind == "NUMERIC")
    zero_is_none = zero_is_no_vote(numbers, options, f"{path}: the scores called {name}")
    while scores:  # there may be millions: each makes room for its vote
        score = scores.popleft()
        if score.name != name:
            yield LeftOut("another score", score.where)
        elif zero_is_none and score.kind == "NUMERIC" and score.said == 0:
            yield LeftOut("no vote", score.where)
        else:
            yield or_left_out(partial(_vote, score, options), score.where, options)


def _vote(score: _Score, options: ReadOptions) -> Vote:
    return Vote(score.target, score.where, label_of(score.said, options), score.rater, score.time)


# --- texts --------------------------------------------------------------------------------------------------


def companions(path: Path) -> list[Path]:
    """The files beside scores that hold what they are about."""
    found = files_in(path.parent, "observations", "traces")
    if path.parent.name == "scores":
        for name in ("traces", "observations", "observations_v2"):
            found += files_in(path.parent.parent / name, "")
    return [file for file in found if file != path]


def _texts(files: list[Path], options: ReadOptions, sessions: dict):
    """The exchanges in files; what a trace says of its session and user is added to `sessions` as it goes by."""
    for file in files:
        for item in _parts(file, options):
            if isinstance(item, LeftOut) or item[0] == "score":
                continue
            kind, row, _ = item
            trace = as_id(row.get("id") if kind == "trace" else _get(row, "traceId"))
            session, user = as_id(_get(row, "sessionId")), as_id(_get(row, "userId"))
            if kind == "trace" and trace in sessions:
                sessions[trace] = (session, user)
            known = sessions.get(trace, (None, None))
            above = {f"trace {trace}", f"observation {as_id(_get(row, 'parentObservationId'))}"}
            yield Text(
                id=f"{kind} {as_id(row.get('id'))}",
                above=above if kind == "observation" else set(),
                is_call=row.get("type") == "GENERATION",
                time=moment(_get(row, "startTime")),
                inputs=row.get("input"),
                outputs=row.get("output"),
                conversation=session or known[0] or trace,
                user=user or known[1],
            )


def looks_like(head: bytes, path: Path) -> bool:
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):  # one object may go on beyond the head
        is_page = b'"traceId"' in head and b'"dataType"' in head
        is_trace = b'"observations"' in head and any(it in head for it in (b'"traceId"', b'"trace"', b'"scores"'))
        if is_page or is_trace:
            return True
    row = first_row(path)
    if row is not None and isinstance(row.get("data"), list) and row["data"]:
        row = row["data"][0]
    if not isinstance(row, dict):
        return False
    is_score = _kind(row) == "score" and (_get(row, "dataType") is not None or "source" in row)
    is_observation = _get(row, "traceId") is not None and row.get("type") in ("GENERATION", "SPAN", "EVENT")
    return is_score or is_observation or (isinstance(row.get("observations"), list) and "scores" in row)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    """The records of scores. `fields: label` names the score that is the vote, where there are several."""
    options = told_once(options)
    scores: deque[_Score] = deque()
    has_score = False
    for item in _parts(path, options):
        if isinstance(item, LeftOut):
            yield item
        elif item[0] == "score":
            has_score = True
            score = or_left_out(partial(_score, *item[1:]), item[2], options)
            if isinstance(score, LeftOut):
                yield score
            else:
                scores.append(score)
    if not has_score:
        raise UserError(f"{path}: holds no scores of Langfuse; expected {LOOKS_FOR}")
    sessions: dict[str | None, tuple[str | None, str | None]] = {score.trace: (None, None) for score in scores}
    votes = []
    for vote in _votes(scores, path, options):
        if isinstance(vote, LeftOut):
            yield vote
        else:
            votes.append(vote)
    yield from joined(votes, lambda: _texts([path, *companions(path)], options, sessions), options)
