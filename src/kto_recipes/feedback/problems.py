"""What can go wrong with a request to a store, each with the HTTP status that says so."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kto_recipes.errors import UserError


class Problem(UserError):  # noqa: N818 - it may be nobody's error
    """A request that was not carried out, nothing of it; the message is for the person who made it."""

    status = 422


class UnknownId(Problem):
    status = 404


class OtherRequest(Problem):
    status = 409


class Unavailable(Problem):
    status = 503


class Full(Problem):
    status = 507


_LOCKED = "the store is locked by another program; nothing was recorded, try again"
_READ_ONLY = "the store cannot be written to (it is read-only); nothing was recorded"
_FULL = "the disk of the store is full; nothing was recorded"
_BROKEN = "the store cannot be reached or read at the moment; nothing was recorded, try again"
# How SQLite's names of errors begin, and PostgreSQL's codes (its manual, appendix A).
_SAID = {
    "SQLITE_BUSY": Unavailable(_LOCKED),
    "SQLITE_LOCKED": Unavailable(_LOCKED),
    "SQLITE_READONLY": Unavailable(_READ_ONLY),
    "SQLITE_FULL": Full(_FULL),
    "53100": Full(_FULL),
    "25006": Unavailable(_READ_ONLY),
    "55P03": Unavailable(_LOCKED),
}


def problem_of(error: Exception) -> Problem | None:
    """The trouble a database has, in a sentence without anything of the request; none where the request is at fault."""
    original = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or ""
    for begin, said in _SAID.items():
        if code.startswith(begin):
            return type(said)(*said.args)
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout) or code.startswith(_FILE_TROUBLE):
        return Unavailable(_BROKEN)
    return None


_FILE_TROUBLE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR", "SQLITE_CANTOPEN", "08", "57P")


def sentence(errors: Iterable[Mapping[str, Any]]) -> str:
    """What is wrong and where, of errors as pydantic lists them.

    Without the values: they may be anything, and half of a character has no UTF-8.
    """
    said = []
    for one in errors:
        place = ".".join(str(part) for part in one["loc"] if "[" not in str(part))  # without the names of our types
        wrong = one["msg"].removeprefix("Value error, ")
        said.append(f"{place}: {wrong}" if place else wrong)
    return "; ".join(said).encode("utf-8", "replace").decode()
