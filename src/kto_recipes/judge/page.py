"""The page that shows two replies blind; only a browser on this machine that was told the address reaches it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict

from kto_recipes.judge.ballot import Ballot, Choice, NotCurrentError
from kto_recipes.judge.console import table_rows
from kto_recipes.web.page import HEADERS, style

PACKAGE = Path(__file__).parent


class Chosen(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str
    choice: Choice


def app(ballot: Ballot, value: Callable[[], dict[str, Any]], token: str, on_finish: Callable[[], None]) -> FastAPI:
    """The page under /<token>/. Every answer of it is the state: the next pair, or the result when all are judged.

    The token keeps out other users of the machine, the check of Host a name that was bent to point here, the check of
    Origin the pages of other sites.
    """
    made = FastAPI(openapi_url=None)
    made.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    made.middleware("http")(_guard)
    made.include_router(_routes(ballot, value, on_finish), prefix=f"/{token}")
    return made


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    here = f"http://{request.headers.get('host')}"
    if request.method != "GET" and request.headers.get("origin") != here:
        return Response("only this page may do that", 403)
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


def _routes(ballot: Ballot, value: Callable[[], dict[str, Any]], on_finish: Callable[[], None]) -> APIRouter:
    """All are coroutines that never wait, so that no two of them are at the ballot at once."""
    routes = APIRouter()

    def state() -> dict[str, Any]:
        found: dict[str, Any] = {"done": ballot.done, "total": ballot.total, "card": ballot.card()}
        if found["card"] is None:
            heads, rows = table_rows(value())
            found["result"] = {"heads": heads, "rows": rows}
        return found

    @routes.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return (PACKAGE / "page.html.j2").read_text(encoding="utf-8")

    @routes.get("/style.css")
    async def sheet() -> Response:
        return Response(style(PACKAGE / "page.css"), media_type="text/css")

    @routes.get("/page.js")
    async def script() -> Response:
        return Response((PACKAGE / "page.js").read_text(encoding="utf-8"), media_type="text/javascript")

    @routes.get("/state")
    async def read() -> dict[str, Any]:
        return state()

    @routes.post("/choice")
    async def choose(chosen: Chosen) -> dict[str, Any]:
        try:
            ballot.choose(chosen.key, chosen.choice)
        except NotCurrentError:
            pass  # the answer shows what is to be judged now
        except OSError as error:
            raise HTTPException(507, f"it could not be written: {error.strerror}") from None
        return state()

    @routes.post("/undo")
    async def undo() -> dict[str, Any]:
        ballot.undo()
        return state()

    @routes.post("/finish")
    async def finish() -> dict[str, Any]:
        on_finish()
        return state()

    return routes
