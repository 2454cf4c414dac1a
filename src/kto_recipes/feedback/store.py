"""A store of feedback: what people said of a model's answers, on the disk when `record` returns.

    store = Store("outputs/feedback/feedback.db")
    store.record(prompt="2+2?", completion="4", desirable=True, metadata={"rater": "ana", "model": "llama"})
    print(store.statistics())

docs/feedback.md says more.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from kto_recipes.feedback import reads, writes
from kto_recipes.feedback.batch import Once
from kto_recipes.feedback.bodies import RatedAnswer
from kto_recipes.feedback.database import Database, place_of
from kto_recipes.feedback.models import DESIRABLE, WITHDRAWN
from kto_recipes.feedback.problems import Problem, sentence
from kto_recipes.feedback.statistics import statistics
from kto_recipes.feedback.writer import Work, Writer
from kto_recipes.rows import KtoRow, Message, Meta, read_jsonl

_UNDER_WAY = 1000  # lines of a file that wait for the disk together


class Store:
    """A context manager; `place` is a file, which is made, or postgresql://…; none: DATABASE_URL or the usual file.

    Its methods may be called from any thread. Each is all or nothing, and raises a Problem when the database has
    trouble (locked, read-only, full, not there).
    """

    def __init__(self, place: str | Path | None = None, *, make: bool = True, wait_s: float = 5.0) -> None:
        """Open it.

        Args:
            make: begin an empty file where there is none.
            wait_s: how long to wait for another program that has locked the database.

        Raises:
            UserError: when it cannot be opened.
        """
        self.database = Database(place_of(place), make, wait_s)
        self._writer = Writer(self.database.writing)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close it, after what was asked for is written."""
        self._writer.close()
        self.database.close()

    # --- as a library -----------------------------------------------------------------------------------------

    def record(
        self, prompt: str | list[Message], completion: str, desirable: bool, metadata: dict[str, Any] | None = None
    ) -> int:
        """Record an answer and what was thought of it; the vote's id.

        Of one rater's votes on the same answer to the same prompt the latest counts.

        Args:
            prompt: a user's message, or all messages above the answer.
            completion: the answer.
            desirable: true for a good one.
            metadata: anything; the store knows rater, model, run, sampling (an object), reasons (a list), comment,
                conversation (what is never split between training and evaluation) and time (else now).

        Raises:
            Problem: when it is of another type or too long, or cannot be written.
        """
        value = {"prompt": prompt, "completion": completion, "label": desirable, "metadata": metadata or {}}
        return self.write(partial(writes.add_rated, body=_checked(value, "the vote"))).result()["id"]

    def load(self, path: Path) -> dict[str, int]:
        """Record the votes of a JSON Lines file: prompt, completion, label, metadata. All lines are checked first.

        A file may be loaded again, also when it has grown: a line that was loaded before adds nothing.

        Returns:
            How many lines were `read` and how many votes were `added`.
        """
        read = sum(1 for where, value in read_jsonl(path) if _checked(value, where))
        with self.read() as connection:
            last_before = reads.last_vote(connection)
        added = 0
        times: Counter[str] = Counter()  # a file may say the same twice
        under_way: deque[Future[dict[str, Any]]] = deque()
        for where, value in read_jsonl(path):
            body = _checked(value, where)
            digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
            times[digest] += 1
            once = Once("import", f"{digest} {times[digest]}", digest)
            under_way.append(self.write(partial(writes.add_rated, body=body), once))
            if len(under_way) > _UNDER_WAY:
                added += under_way.popleft().result()["id"] > last_before
        added += sum(future.result()["id"] > last_before for future in under_way)
        return {"read": read, "added": added}

    def statistics(self) -> dict[str, Any]:
        """Of the votes that count: `total`, `desirable`, `undesirable`, `ratio`, and more; see statistics.py."""
        with self.read() as connection:
            return statistics(connection)

    def kto_rows(self) -> Iterator[KtoRow]:
        """A row for each answer on which most of its raters agree, one at a time, in the order they were recorded."""

        def page(connection: Connection, after: int) -> tuple[list[KtoRow], int | None]:
            found = reads.verdicts(connection, after)
            above = reads.threads(connection, [row.parent_id for row in found])
            rows = [_kto_row(row, above[row.parent_id]) for row in found]
            return rows, found[-1].message_id if found else None

        return self._paged(page)

    def votes(self, upto: int | None = None) -> Iterator[tuple[Row, list[Message]]]:
        """Every vote ever given up to the id `upto`, in order, with `latest`, and the prompt of the answer.

        The prompt is empty for a vote that does not count: an earlier one of its rater, or one withdrawn.
        """
        statement = reads.votes(*[] if upto is None else [upto])

        def page(connection: Connection, after: int) -> tuple[list[tuple[Row, list[Message]]], int | None]:
            found = reads.page_of_votes(connection, statement, after)
            above = reads.threads(connection, [row.parent_id for row in found if does_count(row)])
            rows = [(row, above[row.parent_id] if does_count(row) else []) for row in found]
            return rows, found[-1].id if found else None

        return self._paged(page)

    def export(self) -> Iterator[bytes]:
        """The votes that count as lines of JSON, which `load` and preparation read; some hundred lines at a time."""

        def page(connection: Connection, after: int) -> tuple[list[bytes], int | None]:
            found = reads.page_of_votes(connection, statement, after)
            above = reads.threads(connection, [row.parent_id for row in found])
            lines = [orjson.dumps(_line(row, above[row.parent_id]), option=_LINE) for row in found]
            return [b"".join(lines)] if lines else [], found[-1].id if found else None

        statement = reads.votes().where(reads.counts())
        return self._paged(page)

    def state(self, upto: int | None = None) -> dict[str, Any]:
        """What tells the votes up to the id `upto` (none: all there are) from others: `last`, `votes`, `sha256`."""
        with self.read() as connection:
            last = reads.last_vote(connection) if upto is None else upto
            number, final = reads.last_row(connection, last)
        return {"last": last, "votes": number, "sha256": hashlib.sha256(repr((number, final)).encode()).hexdigest()}

    # --- for the API and the page -----------------------------------------------------------------------------

    def write(self, work: Work, once: Once | None = None) -> Future[dict[str, Any]]:
        """What `work` (of writes.py) answers, when it is on the disk; by `once` it is done once only."""
        return self._writer.submit(work, once)

    def read(self) -> AbstractContextManager[Connection]:
        """`with store.read() as connection`: for the functions of reads.py."""
        return self.database.read()

    def _paged(self, page: Callable[[Connection, int], tuple[list, int | None]]) -> Iterator[Any]:
        """Page after page, none of which holds the database while its rows are used."""
        after: int | None = 0
        while after is not None:
            with self.read() as connection:
                rows, after = page(connection, after)
            yield from rows


_LINE = orjson.OPT_APPEND_NEWLINE


def does_count(row: Row) -> bool:
    return row.latest and row.value != WITHDRAWN


def conversation_name(row: Row) -> str:
    """What is never split between training and evaluation."""
    return row.name or f"feedback:{row.conversation_id}"


def _checked(value: Any, where: str) -> RatedAnswer:
    try:
        return RatedAnswer.model_validate(value)
    except ValidationError as error:
        raise Problem(f"{where}: {sentence(error.errors()[:1])}") from None


def _line(row: Row, prompt: list[Message]) -> dict[str, Any]:
    known = (
        ("rater", row.rater),
        ("model", row.model),
        ("run", row.run),
        ("sampling", row.sampling),
        ("reasons", row.reasons),
        ("comment", row.comment),
        ("metadata", row.about),
    )
    return {
        "prompt": prompt,
        "completion": row.content,
        "label": row.value == DESIRABLE,
        "time": row.time,
        "conversation": conversation_name(row),
        **{name: value for name, value in known if value},
    }


def _kto_row(row: Row, prompt: list[Message]) -> KtoRow:
    meta = {"id": f"feedback:{row.message_id}", "group": conversation_name(row), "source": "feedback"}
    about = {name: value for name in ("model", "run") if (value := getattr(row, name))}
    completion = [Message(role="assistant", content=row.content)]
    return KtoRow(prompt=prompt, completion=completion, label=bool(row.label), meta=Meta(**meta, **about))
