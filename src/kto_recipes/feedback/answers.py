"""What the API answers: the shapes that its OpenAPI document states, and rows of the store in them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, JsonValue
from sqlalchemy import Row
from starlette.responses import JSONResponse

from kto_recipes.feedback.bodies import Value


class Failure(BaseModel):
    error: str


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A Failure as it is sent; what stands before the application calls it with scope, receive and send."""
    return JSONResponse({"error": sentence}, status, headers)


class NewConversationMade(BaseModel):
    id: int
    messages: list[int]


class Made(BaseModel):
    id: int


class VoteMade(BaseModel):
    id: int
    message: int


class RatedMade(VoteMade):
    conversation: int


class BetterMade(BaseModel):
    message: int
    votes: list[int]


class Health(BaseModel):
    status: str


class VoteShown(BaseModel):
    id: int
    message: int
    rater: str
    vote: Value
    reasons: list[str]
    comment: str | None
    metadata: dict[str, JsonValue]
    time: float


class VoteListed(VoteShown):
    """`latest`: no later vote of this rater on this message has been given."""

    latest: bool


class MessageShown(BaseModel):
    id: int
    parent: int | None
    edit_of: int | None
    role: str
    content: str
    model: str | None
    run: str | None
    sampling: dict[str, JsonValue] | None
    time: float


class ConversationListed(BaseModel):
    id: int
    name: str | None
    metadata: dict[str, JsonValue]
    time: float
    messages: int


class ConversationShown(BaseModel):
    id: int
    name: str | None
    metadata: dict[str, JsonValue]
    time: float
    messages: list[MessageShown]
    votes: list[VoteShown]


class Votes(BaseModel):
    """`next` is what to send as `after` for the next page; none where this is the last."""

    votes: list[VoteListed]
    next: int | None


class Conversations(BaseModel):
    conversations: list[ConversationListed]
    next: int | None


class Count(BaseModel):
    """`ratio`: desirable of all."""

    total: int
    desirable: int
    undesirable: int
    ratio: float | None


class ModelCount(Count):
    model: str | None
    run: str | None


class DayCount(Count):
    day: str


class Agreement(BaseModel):
    answers: int
    share: float | None
    alpha: float | None


class Statistics(Count):
    by_model: list[ModelCount]
    by_day: list[DayCount]
    agreement: Agreement


class TokenMade(BaseModel):
    id: int
    token: str
    scopes: list[str]
    expires: float | None


class TokenListed(BaseModel):
    id: int
    name: str
    scopes: list[str]
    created: float
    expires: float | None
    revoked: float | None


class Tokens(BaseModel):
    tokens: list[TokenListed]


def of_vote(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "message": row.message_id,
        "rater": row.rater,
        "vote": row.value,
        "reasons": row.reasons,
        "comment": row.comment,
        "metadata": row.about,
        "time": row.time,
    }


def of_message(row: Row) -> dict[str, Any]:
    same = ("id", "edit_of", "role", "content", "model", "run", "sampling", "time")
    return {"parent": row.parent_id, **{name: getattr(row, name) for name in same}}


def of_conversation(row: Row) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "metadata": row.about, "time": row.time}


def of_token(row: Row) -> dict[str, Any]:
    same = ("id", "name", "created", "expires", "revoked")
    return {"scopes": row.scopes.split(), **{name: getattr(row, name) for name in same}}
