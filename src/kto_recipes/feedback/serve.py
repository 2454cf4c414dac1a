"""Start the server of a store: to this machine alone, unless a token keeps others out."""

from collections.abc import Callable

from fastapi import FastAPI

from kto_recipes.errors import UserError
from kto_recipes.feedback.access import is_local
from kto_recipes.feedback.store import Store
from kto_recipes.feedback.tokens import has_usable_token
from kto_recipes.ports import listening, place


def check_binding(store: Store, host: str) -> None:
    """Refuse to be reached from elsewhere while nothing keeps strangers out.

    Raises:
        UserError: when `host` is not this machine alone and the store has no token that is valid.
    """
    if is_local(host):
        return
    with store.read() as connection:
        if has_usable_token(connection):
            return
    raise UserError(
        f"--host {host} lets other machines in, and the store has no valid token; make one first: "
        "python scripts/feedback.py token create NAME --scope vote"
    )


def serve(app: FastAPI, host: str, port: int, *, say: Callable[[str], None] = print) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way are answered first.

    Args:
        port: 0 takes a free one.
        say: called with the address once the port is open.

    Raises:
        UserError: when the port cannot be had.
    """
    import uvicorn

    with listening(host, port) as opened:
        # From here on who asks is kept waiting, and not sent away, until the server is up.
        say(f"http://{place(host, opened.getsockname()[1])}")
        # No line for each request: whoever gives thumbs is not written down beside the votes.
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
        uvicorn.Server(config).run(sockets=[opened])
