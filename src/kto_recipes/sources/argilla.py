"""Argilla's exports: version 2's `records.to_json` and its flat columns, version 1's FeedbackDataset.

`fields: label` is the question that is the vote; prompt, completion, system and conversation are fields of a record.
Suggestions are a machine's guesses and count for nothing. `to_json` does not say which responses are drafts: filter
before exporting, or export columns, whose drafts and discarded responses are left out here.
"""

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from kto_recipes.sources.annotated import (
    Asked,
    choice_label,
    conversation_in,
    each,
    exchange_in,
    is_label,
    read_annotated,
    the_vote,
    without_completion,
)
from kto_recipes.sources.records import LeftOut, ReadOptions, Record
from kto_recipes.sources.row_format import columns_of, file_fits
from kto_recipes.sources.shapes import LeaveOut, rated
from kto_recipes.sources.tabular import Row, kind_of
from kto_recipes.sources.votes import as_id, is_number

NAME = "argilla"
LOOKS_FOR = "records with fields and responses, or columns such as question.responses and question.responses.status"

_ANSWER = {"value", "user_id", "status"}  # what version 1 says of one answer
_ABOUT = {"metadata", "vectors", "external_id", "_server_id", "id", "status", "suggestions", "responses"}


class _Response(NamedTuple):
    question: str
    value: Any
    user: str | None
    status: str | None


def fits(row: Row) -> bool:
    is_record = isinstance(row.get("fields"), dict) and "responses" in row
    return is_record or any(name.endswith(".responses") or _is_v1_answers(row[name]) for name in row)


def _records_of(row: Row, where: str, options: ReadOptions, asked: Asked) -> Iterator[Record]:
    data, responses = _parts(row)
    if not responses:
        raise LeaveOut("no vote")
    name = the_vote(_votes(responses, options, asked), options, where, asked)
    metadata = row["metadata"] if isinstance(row.get("metadata"), dict) else {}
    record = as_id(row.get("id")) or as_id(row.get("external_id"))
    conversation = conversation_in(metadata | data, options, record)
    votes = [response for response in responses if response.question == name]
    places = [f"{where}: {name}[{number}]" for number in range(len(votes))]
    yield from each(
        (
            (place, partial(_of_response, vote, data, conversation, place, options))
            for place, vote in zip(places, votes, strict=True)
        ),
        options,
    )


def _of_response(
    vote: _Response, data: Row, conversation: str | None, where: str, options: ReadOptions
) -> list[Record]:
    if vote.status not in (None, "submitted"):
        raise LeaveOut("not submitted")
    more = {"conversation": conversation, "rater": vote.user}
    ranking = _ranking(vote.value)
    if ranking is not None:
        return _ranked(ranking, data, where, options, more)
    if isinstance(vote.value, dict):
        raise ValueError("the response is an object; expected a label, a rating or a ranking")
    prompt, answer = exchange_in(data, options)
    return [rated(prompt, answer, choice_label(vote.value, options), where, **more)]


def _ranked(ranking: list[tuple[Any, str]], data: Row, where: str, options: ReadOptions, more: dict) -> list[Record]:
    """The first of a ranking as desirable, the last as undesirable; what lies between was not judged."""
    missing = [name for _, name in ranking if name not in data]
    if missing:
        raise ValueError(f"the ranking names {missing[0][:40]!r}, which is no field; {columns_of(data)}")
    ranks = [rank for rank, _ in ranking]
    if min(ranks) == max(ranks):
        raise LeaveOut("tie")
    others = {name: value for name, value in data.items() if name not in {name for _, name in ranking}}
    made: list[Record] = []
    for rank, name in ranking:
        if min(ranks) < rank < max(ranks):
            made.append(LeftOut("middle of a ranking", where))
            continue
        prompt, answer = exchange_in(others | {name: data[name]}, without_completion(options), name)
        made.append(rated(prompt, answer, rank == min(ranks), where, **more))
    return made


def _ranking(value: Any) -> list[tuple[Any, str]] | None:
    """[{value, rank}, …], or the same as columns, as (rank, value); none where it is something else."""
    if isinstance(value, dict) and isinstance(value.get("rank"), list) and isinstance(value.get("value"), list):
        value = [{"rank": rank, "value": name} for rank, name in zip_longest(value["rank"], value["value"])]
    if not (isinstance(value, list) and value and all(isinstance(item, dict) for item in value)):
        return None
    ranking = [(item.get("rank"), item.get("value")) for item in value]
    if not all(is_number(rank) and isinstance(name, str) for rank, name in ranking):
        raise ValueError("a ranking's entry lacks its value or its rank")
    return ranking


# --- what stands in a record --------------------------------------------------------------------------------


def _parts(row: Row) -> tuple[Row, list[_Response]]:
    """A record's fields and all responses to it, whichever version wrote it."""
    if isinstance(row.get("fields"), dict):
        found = row.get("responses")
        return row["fields"], list(_v1_native(found) if isinstance(found, list) else _nested(found or {}))
    columns = [name for name in row if name.endswith(".responses") or _is_v1_answers(row[name])]
    responses: list[_Response] = []
    for name in columns:
        responses += _v1_answers(name, row[name]) if _is_v1_answers(row[name]) else _flat(row, name)
    data = {name: value for name, value in row.items() if not _is_about(name, columns)}
    return data, responses


def _is_about(name: str, columns: list[str]) -> bool:
    """Whether a column is a question's, or says something of the record, and so is no field of it."""
    return (
        name in _ABOUT or name in columns or any(mark in name for mark in (".responses", ".suggestion", "-suggestion"))
    )


def _nested(responses: Any) -> Iterator[_Response]:
    if not isinstance(responses, dict):
        raise ValueError(f"responses is {kind_of(responses)}; expected an object")
    for question, answers in responses.items():
        if not isinstance(answers, list | None):
            raise ValueError(f"the responses to {question} are {kind_of(answers)}; expected a list")
        yield from (_response(question, answer) for answer in answers or [])


def _flat(row: Row, column: str) -> Iterator[_Response]:
    """`q.responses`, `q.responses.users` and `q.responses.status`: lists of the same length, or null."""
    values, users, status = (row.get(name) or [] for name in (column, f"{column}.users", f"{column}.status"))
    if not all(isinstance(part, list) for part in (values, users, status)):
        raise ValueError(f"{column} is {kind_of(row[column])}; expected a list")
    for number, value in enumerate(values):
        user, state = (part[number] if number < len(part) else None for part in (users, status))
        yield _Response(column.removesuffix(".responses"), value, as_id(user), as_id(state))


def _v1_native(responses: list) -> Iterator[_Response]:
    """[{"user_id", "status", "values": {question: {"value"}}}, …]"""
    for response in responses:
        values = response.get("values") if isinstance(response, dict) else None
        if not isinstance(values, dict):
            raise ValueError("a response has no values")
        for question, answer in values.items():
            whole = answer if isinstance(answer, dict) else {"value": answer}
            yield _response(question, {"user_id": response.get("user_id"), "status": response.get("status")} | whole)


def _is_v1_answers(value: Any) -> bool:
    """[{"user_id", "value", "status"}, …], or the same as columns."""
    if isinstance(value, dict):
        return value.keys() >= {"value", "status"} and value.keys() <= _ANSWER
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and first.keys() >= {"value", "status"} and first.keys() <= _ANSWER


def _v1_answers(question: str, value: Any) -> Iterator[_Response]:
    if isinstance(value, dict):
        names = [name for name in value if isinstance(value[name], list)]
        value = [dict(zip(names, answer, strict=True)) for answer in zip_longest(*(value[name] for name in names))]
    yield from (_response(question, answer) for answer in value)


def _response(question: str, answer: Any) -> _Response:
    if not isinstance(answer, dict):
        raise ValueError(f"a response to {question} is {kind_of(answer)}; expected an object")
    return _Response(question, answer.get("value"), as_id(answer.get("user_id")), as_id(answer.get("status")))


def _votes(responses: list[_Response], options: ReadOptions, asked: Asked) -> set[str]:
    """The questions that were answered with a label, a rating or a ranking: texts are comments.

    The one in fields: label is among them; before any was found, every question is.
    """
    questions = {response.question for response in responses}
    votes = {response.question for response in responses if _is_vote(response.value, options)}
    votes |= questions & {options.fields.get("label")}
    return questions if not votes and not asked else votes


def _is_vote(value: Any, options: ReadOptions) -> bool:
    return isinstance(value, dict | list) or is_number(value) or is_label(value, options)


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_annotated(path, options, LOOKS_FOR, fits, _records_of)
