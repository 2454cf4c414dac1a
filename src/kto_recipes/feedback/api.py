"""The application that serves a store: the API, with what is wrong said in JSON, and a place for pages beside it."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from kto_recipes.feedback import answers as shown
from kto_recipes.feedback.access import Access
from kto_recipes.feedback.limits import BodyLimit
from kto_recipes.feedback.problems import Problem, Unavailable, sentence
from kto_recipes.feedback.routes import FAILURES, make_routes
from kto_recipes.feedback.store import Store

PER_SECOND = 100.0  # requests of one token; twice as many at once
_LOG = logging.getLogger(__name__)


def create_app(
    store: Store, *, needs_token: bool = False, per_second: float = PER_SECOND, origins: Sequence[str] = ()
) -> FastAPI:
    """The API of `store`. Pages are mounted on what is returned; all that begins with /api/ and /health is taken.

    Args:
        needs_token: ask for a token even where the store has none; false only where nobody else reaches the server.
        per_second: how many requests a second each token may make.
        origins: where pages may be from whose scripts call the API, such as https://shop.example.
    """
    # No pages about the API: theirs fetch scripts from elsewhere. The document itself is at /openapi.json.
    app = FastAPI(title="Feedback for KTO", version="1", docs_url=None, redoc_url=None)
    app.state.access = access = Access(store, needs_token=needs_token, per_second=per_second)  # for pages, too
    app.include_router(make_routes(store, access))
    app.add_middleware(BodyLimit)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)

    @app.get("/health", response_model=shown.Health, responses={503: FAILURES[503]})
    async def health() -> Any:
        """Whether the store can be read."""
        await run_in_threadpool(_look, store)
        return {"status": "ok"}

    return app


def _look(store: Store) -> None:
    with store.read() as connection:
        connection.execute(text("SELECT 1 FROM votes LIMIT 1"))


async def _problem(_: Request, problem: Problem) -> JSONResponse:
    headers = {"Retry-After": "1"} if isinstance(problem, Unavailable) else None
    return shown.refusal(problem.status, str(problem), headers)


async def _http(_: Request, error: HTTPException) -> JSONResponse:
    return shown.refusal(error.status_code, str(error.detail), error.headers)


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    return shown.refusal(422, sentence(error.errors()[:5]))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s: %s", request.method, request.url.path, type(error).__name__)
    return shown.refusal(500, "something went wrong in the server; the request was not carried out")
