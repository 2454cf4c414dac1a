"""What protects the server before a request is looked at: how large it may be, and how long it may take to come."""

import asyncio
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kto_recipes.feedback.answers import refusal

LARGEST_BODY = 1024 * 1024  # bytes; a conversation of some hundred thousand words
_ARRIVES_WITHIN_S = 30.0


class BodyLimit:
    """Takes in each body below /api/ before the application sees it; too large is 413, too slow 408.

    What a header says of the length is believed only where it is too much: a body sent in chunks is counted.
    """

    def __init__(self, app: ASGIApp, largest: int = LARGEST_BODY, within_s: float = _ARRIVES_WITHIN_S) -> None:
        self._app = app
        self._largest = largest
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > self._largest:
            await self._too_large()(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._within_s):
                body = await self._body(receive)
        except TimeoutError:
            late = _closing(408, f"the request did not arrive within {self._within_s:g} s")
            await late(scope, receive, send)
            return
        if body is None:
            await self._too_large()(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _body(self, receive: Receive) -> list[Message] | None:
        """The messages that bring the body; none where it is too large."""
        messages: list[Message] = []
        size = 0
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
            size += len(messages[-1].get("body", b""))
            if size > self._largest:
                return None
        return messages

    def _too_large(self) -> JSONResponse:
        return _closing(413, f"the request is larger than {self._largest} bytes")


def _closing(status: int, sentence: str) -> JSONResponse:
    """A refusal after which no more is read from whoever sent the request."""
    return refusal(status, sentence, {"connection": "close"})


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives what was taken in, then what comes: that the client is gone."""
    waiting = iter(messages)

    async def give() -> Any:
        message = next(waiting, None)
        return await receive() if message is None else message

    return give
