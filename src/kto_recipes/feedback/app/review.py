"""A file of answers that wait for a thumb, and which of them a rater has labelled already: the store knows."""

import asyncio
import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from sqlalchemy import Connection, Row, select
from starlette.concurrency import run_in_threadpool

from kto_recipes.errors import UserError
from kto_recipes.feedback import writes
from kto_recipes.feedback.bodies import Body, Name, NewVote, RatedAnswer, Value
from kto_recipes.feedback.models import DESIRABLE, WITHDRAWN, Message, Vote
from kto_recipes.feedback.problems import OtherRequest, Problem, UnknownId, sentence
from kto_recipes.feedback.reads import is_latest
from kto_recipes.feedback.store import Store
from kto_recipes.rows import are_messages
from kto_recipes.sources.records import LeftOut, ReadOptions
from kto_recipes.sources.tabular import rows

_READ = ("prompt", "completion", "model", "run", "sampling", "conversation")
_TOGETHER = 500  # fingerprints in one question to the database
_MARKS = {DESIRABLE: "+", "undesirable": "-"}


class Label(Body):
    """A vote on the answer `key`; `after` is the vote of the rater that was known before, 0: none."""

    key: Annotated[str, Field(max_length=64)]
    vote: Value
    rater: Name = ""
    after: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Review:
    """The answers of a file by fingerprint, in its order; one that is there twice is one answer."""

    def __init__(self, name: str, answers: Iterable[RatedAnswer]) -> None:
        self.name = name
        self.answers: dict[str, RatedAnswer] = {}
        for answer in answers:
            self.answers.setdefault(writes.fingerprints(answer)[-1], answer)
        self.keys = list(self.answers)

    def marks(self, connection: Connection, rater: str) -> str:
        """A character for each answer: + desirable, - undesirable, . not labelled by `rater`."""
        given = self._votes(connection, rater, self.keys)
        return "".join(_MARKS.get(given[key].value, ".") if key in given else "." for key in self.keys)

    def item(self, connection: Connection, number: int, rater: str) -> dict[str, Any]:
        """An answer as the page shows it, and the rater's vote on it."""
        if number >= len(self.keys):
            raise UnknownId(f"the file has {len(self.keys)} answers")
        key = self.keys[number]
        answer = self.answers[key]
        last = self._votes(connection, rater, [key]).get(key)
        vote = None if last is None or last.value == WITHDRAWN else last.value
        shown = {"prompt": answer.turns(), "completion": answer.completion, "model": answer.model}
        return {"key": key, "number": number, **shown, "vote": vote, "last": 0 if last is None else last.id}

    async def label(self, store: Store, label: Label, caller: str) -> int:
        """Record a vote; its id. Sent again it is recorded once, for its name is made of what it says."""
        answer = self.answers.get(label.key)
        if answer is None:
            raise OtherRequest("this answer is not in the file that is reviewed now; load the page again")
        name = hashlib.sha256(label.model_dump_json().encode()).hexdigest()
        about = {"rater": label.rater, "metadata": {"review": self.name}}
        if label.vote == WITHDRAWN:
            last = await run_in_threadpool(self._last, store, label)
            if last is None:
                raise Problem("there is no vote to take back")
            vote = NewVote(vote=WITHDRAWN, **about)
            work = partial(writes.add_vote, message=last.message_id, body=vote)
        else:
            vote = answer.model_copy(update={**about, "label": label.vote == DESIRABLE})
            work = partial(writes.add_rated, body=vote)
        done = await asyncio.wrap_future(store.write(work, writes.once(caller, f"review {name}", "review", vote)))
        return done["id"]

    def _last(self, store: Store, label: Label) -> Row | None:
        with store.read() as connection:
            return self._votes(connection, label.rater, [label.key]).get(label.key)

    def _votes(self, connection: Connection, rater: str, keys: list[str]) -> dict[str, Row]:
        """The rater's latest vote on each answer that has one."""
        columns = Message.fingerprint, Vote.message_id, Vote.id, Vote.value
        statement = select(*columns).join(Message, Message.id == Vote.message_id)
        found: dict[str, Row] = {}
        for start in range(0, len(keys), _TOGETHER):
            some = keys[start : start + _TOGETHER]
            where = Message.fingerprint.in_(some), Vote.rater == rater, is_latest()
            found |= {row.fingerprint: row for row in connection.execute(statement.where(*where))}
        return found


def read_review(path: Path) -> Review:
    """Read a table (JSON Lines, JSON, CSV, TSV, Parquet) with the columns `prompt` and `completion`.

    `model`, `run`, `sampling` and `conversation` are read where they are there, other columns are not.

    Raises:
        UserError: when it cannot be read, or a row of it is not an answer; the message says which.
    """
    answers = []
    for row in rows(path, ReadOptions()):
        if isinstance(row, LeftOut):
            raise UserError(f"{row.where}: {row.reason}")
        where, value = row
        try:
            answers.append(RatedAnswer.model_validate(_fields(value)))
        except ValidationError as error:
            raise UserError(f"{where}: {sentence(error.errors()[:1])}") from None
    return Review(path.name, answers)


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that are read; an answer may be a list of one message, as in a file that `make data` wrote."""
    found = {name: row[name] for name in _READ if row.get(name) not in (None, "")}
    answer = found.get("completion")
    if are_messages(answer) and len(answer) == 1 and answer[0]["role"] == "assistant":
        found["completion"] = answer[0]["content"]
    return {**found, "label": True}  # RatedAnswer wants one; it is set when somebody has voted
