"""What protects the pages: a cookie that holds the token, a check of where a request is from, and strict headers."""

import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kto_recipes.feedback.answers import refusal
from kto_recipes.web.page import HEADERS

_READING = ("GET", "HEAD", "OPTIONS")
_OURS = "/api/app/"  # what only the pages ask for


class Guard:
    """A request of a page that is logged in carries the token in a cookie; to the API it is as if in its header.

    A browser sends cookies by itself, so such a request is answered only if it comes from a page of this server; so are
    all that write for the pages, which on one's own machine need no token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_api = scope["path"].startswith("/api/")
        token = None if "authorization" in headers else _token(headers)
        by_cookie = is_api and token is not None
        writes = scope["method"] not in _READING
        if writes and (by_cookie or scope["path"].startswith(_OURS)) and not _is_from_here(headers):
            refused = refusal(403, "only a page of this server may do that")
            await refused(scope, receive, send)
            return
        if by_cookie:
            added = (b"authorization", b"Bearer " + token.encode("latin-1", "replace"))
            scope = {**scope, "headers": [*scope["headers"], added]}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if not is_api or name in ("Cache-Control", "X-Content-Type-Options"):  # --origin lets others in
                        sent.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


def _is_from_here(headers: Headers) -> bool:
    """Behind a proxy with TLS this server sees another scheme than the browser, so that is not compared."""
    return urlsplit(headers.get("origin", "")).netloc == headers.get("host")


def cookie_name(headers: Headers) -> str:
    """A browser sends the cookies of a host to all its ports, so that the name says of which one this is."""
    port = re.search(r":([0-9]+)$", headers.get("host", ""))
    return f"feedback_token_{port[1]}" if port else "feedback_token"


def _token(headers: Headers) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(headers))
    except CookieError:
        return None
    return found.value if found else None
