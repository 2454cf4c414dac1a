"""The pages and what only they ask for, below /api/app; votes and conversations they read and write by the API."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader
from pydantic import Field
from sqlalchemy import Row, func, select
from starlette.concurrency import run_in_threadpool

from kto_recipes.feedback import reads
from kto_recipes.feedback.access import Access
from kto_recipes.feedback.app.guard import Guard, cookie_name
from kto_recipes.feedback.app.review import Label, Review
from kto_recipes.feedback.app.speaking import Place, Speaking
from kto_recipes.feedback.app.voice import Voice
from kto_recipes.feedback.bodies import Body
from kto_recipes.feedback.models import Conversation, Message
from kto_recipes.feedback.problems import Problem, UnknownId
from kto_recipes.feedback.routes import Id
from kto_recipes.feedback.store import Store
from kto_recipes.rows import Message as Said
from kto_recipes.web.page import style

_PACKAGE = FilePath(__file__).parent
_PAGES = {"/": "chat", "/review": "review", "/statistics": "statistics", "/login": "login"}
_SCRIPTS = ("common", "votes", "chat", "review", "statistics", "login")
_LISTED = 100  # conversations
_TITLE = 80  # characters
_Rater = Annotated[str, Query(max_length=200)]


class Ask(Body):
    """A reply is wanted below `parent`, a message of the user; `name` is random, and stops it."""

    parent: Annotated[int, Field(ge=1, lt=2**31)]
    name: Annotated[str, Field(min_length=8, max_length=100)]


class Stop(Body):
    name: Annotated[str, Field(max_length=100)]


def add_pages(app: FastAPI, store: Store, voice: Voice | None, review: Review | None) -> None:
    """Put the pages on what create_app returned; `voice` answers in the chat, `review` is what is to be labelled."""
    app.add_middleware(Guard)
    app.include_router(_pages())
    access: Access = app.state.access
    routes = APIRouter(prefix="/api/app", include_in_schema=False)
    _add_session(routes, access)
    _add_reading(routes, store, access, voice, review)
    if voice is not None:
        _add_chat(routes, store, access, Speaking(store, voice))
    if review is not None:
        _add_review(routes, store, access, review)
    app.include_router(routes)


def _pages() -> APIRouter:
    """They hold nothing that is secret, so that who is not logged in gets them, too."""
    routes = APIRouter(include_in_schema=False)
    templates = Environment(loader=FileSystemLoader(_PACKAGE), autoescape=True, trim_blocks=True)

    def add(path: str, name: str) -> None:
        text = templates.get_template(f"{name}.html.j2").render(page=name)
        routes.add_api_route(path, lambda: HTMLResponse(text), methods=["GET"])

    for path, name in _PAGES.items():
        add(path, name)

    @routes.get("/assets/{name}")
    def asset(name: str) -> Response:
        if name == "style.css":
            return Response(style(_PACKAGE / "app.css", _PACKAGE / "chat.css"), media_type="text/css")
        if name.removesuffix(".js") not in _SCRIPTS or not name.endswith(".js"):
            raise UnknownId("there is no such file")
        return Response((_PACKAGE / name).read_text("utf-8"), media_type="text/javascript")

    return routes


def _add_session(routes: APIRouter, access: Access) -> None:
    @routes.post("/session", dependencies=[Depends(access.needs("read"))], status_code=204)
    async def log_in(request: Request, response: Response) -> None:
        """Keep the token of this request in a cookie that scripts cannot read, until the browser is closed."""
        token = request.headers.get("authorization", "").partition(" ")[2]
        how = {"httponly": True, "samesite": "strict", "secure": request.url.scheme == "https"}
        response.set_cookie(cookie_name(request.headers), token, **how)

    @routes.delete("/session", status_code=204)
    async def log_out(request: Request, response: Response) -> None:
        response.delete_cookie(cookie_name(request.headers), httponly=True, samesite="strict")


def _add_reading(routes: APIRouter, store: Store, access: Access, voice: Voice | None, review: Review | None) -> None:
    may_read = [Depends(access.needs("read"))]

    @routes.get("/settings", dependencies=may_read)
    def settings(request: Request) -> dict[str, Any]:
        """Who answers, whether there is something to review, and whether one can log out."""
        session = cookie_name(request.headers) in request.cookies
        speaker = None
        if voice is not None:
            same = {"model": voice.model, "run": voice.run, "system": voice.system}
            speaker = {**same, "sampling": asdict(voice.sampling)}
        return {"speaker": speaker, "review": review and review.name, "session": session}

    @routes.get("/conversations", dependencies=may_read)
    def conversations() -> dict[str, Any]:
        """The newest chats with the beginning of what was asked first; not what came with a vote from elsewhere."""
        asked = func.substr(Message.content, 1, _TITLE).label("title")
        first = select(func.min(Message.id)).where(Message.role == "user")
        first = first.where(Message.conversation_id == Conversation.id).correlate(Conversation).scalar_subquery()
        statement = select(Conversation.id, Conversation.time, asked).join(Message, Message.id == first)
        statement = statement.where(Conversation.fingerprint.is_(None)).order_by(Conversation.id.desc())
        with store.read() as connection:
            rows = connection.execute(statement.limit(_LISTED)).all()
        return {"conversations": [row._asdict() for row in rows]}


def _add_chat(routes: APIRouter, store: Store, access: Access, speaking: Speaking) -> None:
    caller_type = Annotated[str, Depends(access.needs("vote"))]

    def above(conversation: int, parent: int) -> list[Said]:
        with store.read() as connection:
            _, said, _ = reads.conversation(connection, conversation)
        return _above(said, parent)

    @routes.post("/conversations/{id}/replies")
    async def reply(id: Id, body: Ask, caller: caller_type) -> StreamingResponse:
        messages = await run_in_threadpool(above, id, body.parent)
        lines = speaking.begin((caller, body.name), Place(id, body.parent), messages)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @routes.post("/stop")
    async def stop(body: Stop, caller: caller_type) -> dict[str, bool]:
        return {"stopped": speaking.stop((caller, body.name))}


def _add_review(routes: APIRouter, store: Store, access: Access, review: Review) -> None:
    may_read = [Depends(access.needs("read"))]

    @routes.get("/review", dependencies=may_read)
    def state(rater: _Rater = "") -> dict[str, Any]:
        with store.read() as connection:
            return {"name": review.name, "marks": review.marks(connection, rater)}

    @routes.get("/review/{number}", dependencies=may_read)
    def item(number: Annotated[int, Field(ge=0)], rater: _Rater = "") -> dict[str, Any]:
        with store.read() as connection:
            return review.item(connection, number, rater)

    @routes.post("/review", status_code=201)
    async def label(body: Label, caller: Annotated[str, Depends(access.needs("vote"))]) -> dict[str, int]:
        return {"id": await review.label(store, body, caller)}


def _above(said: Sequence[Row], parent: int) -> list[Said]:
    """The messages from the first of a conversation down to `parent`, which is the user's."""
    known = {row.id: row for row in said}
    if parent not in known:
        raise UnknownId(f"there is no message {parent} in this conversation")
    if known[parent].role != "user":
        raise Problem("a reply is given to a message of the user")
    thread: list[Said] = []
    place: int | None = parent
    while place is not None:
        thread.append(Said(role=known[place].role, content=known[place].content))
        place = known[place].parent_id
    return thread[::-1]
