"""How many votes a store has, of what, since when, and whether its raters agree."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Integer, Subquery, case, cast, func, select

from kto_recipes.feedback.models import DESIRABLE, Message, Vote
from kto_recipes.feedback.reads import counts

_DAY = 86_400  # seconds


def totals(connection: Connection) -> dict[str, Any]:
    """`total`, `desirable`, `undesirable`, and `ratio`: desirable of all, none where there are no votes."""
    counted = _counted(connection)
    row = connection.execute(select(*_columns(counted))).one()
    return _counts(row)


def statistics(connection: Connection) -> dict[str, Any]:
    """The totals, the same by a run's model and by day (UTC), and agreement, which needs several votes on an answer."""
    counted = _counted(connection)
    which = (counted.c.model, counted.c.run)  # every run calls its model "kto"
    models = select(*which, *_columns(counted)).group_by(*which).order_by(*which)
    days = select(counted.c.day, *_columns(counted)).group_by(counted.c.day).order_by(counted.c.day)
    return {
        **totals(connection),
        "by_model": [{"model": row.model, "run": row.run, **_counts(row)} for row in connection.execute(models)],
        "by_day": [{"day": _date(row.day), **_counts(row)} for row in connection.execute(days)],
        "agreement": agreement((row.up, row.down, row.answers) for row in connection.execute(_rated_alike())),
    }


def agreement(answers: Iterable[tuple[int, int, int]]) -> dict[str, Any]:
    """How far raters agree: of (desirable votes, undesirable votes, answers with so many of each).

    Returns:
        `answers` that two raters or more voted on; `share` of the pairs of raters that said the same; `alpha`,
        Krippendorff's (Computing Krippendorff's Alpha-Reliability, 2011, nominal data): 1 where all agree, 0 where
        they agree as often as chance would have it. None where it is not defined.
    """
    several = [(up, down, number) for up, down, number in answers if up + down > 1]
    pairs = sum(number * (up + down) * (up + down - 1) for up, down, number in several)
    unlike = sum(number * 2 * up * down for up, down, number in several)
    # A rater's vote on an answer of m raters is paired with m − 1 others, and weighs as one.
    observed = sum(number * 2 * up * down / (up + down - 1) for up, down, number in several)
    good = sum(number * up for up, _, number in several)
    bad = sum(number * down for _, down, number in several)
    expected = 2 * good * bad
    return {
        "answers": sum(number for *_, number in several),
        "share": 1 - unlike / pairs if pairs else None,
        "alpha": 1 - (good + bad - 1) * observed / expected if expected else None,
    }


def _counted(connection: Connection) -> Subquery:
    days = Vote.time / _DAY
    # As a whole number PostgreSQL rounds, and SQLite, which may be without `floor`, cuts.
    days = func.floor(days) if connection.dialect.name == "postgresql" else days
    day = cast(days, Integer).label("day")
    votes = select(Vote.message_id, Vote.value, Message.model, Message.run, day).join(
        Message, Message.id == Vote.message_id
    )
    return votes.where(counts()).subquery()


def _columns(counted: Subquery) -> tuple[Any, Any]:
    up = func.coalesce(func.sum(case((counted.c.value == DESIRABLE, 1), else_=0)), 0)
    return func.count().label("total"), up.label("desirable")


def _counts(row: Any) -> dict[str, Any]:
    desirable = int(row.desirable)
    ratio = desirable / row.total if row.total else None
    return {"total": row.total, "desirable": desirable, "undesirable": row.total - desirable, "ratio": ratio}


def _rated_alike() -> Any:
    up = func.sum(case((Vote.value == DESIRABLE, 1), else_=0)).label("up")
    each = select(up, (func.count() - up).label("down")).where(counts()).group_by(Vote.message_id).subquery()
    return select(each.c.up, each.c.down, func.count().label("answers")).group_by(each.c.up, each.c.down)


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).date().isoformat()
