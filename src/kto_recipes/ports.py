"""Where a server listens, and how that place is written."""

import socket

from kto_recipes.errors import UserError


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at `host`, a name or an address of either kind; `port` 0 takes a free one.

    Raises:
        UserError: when nothing can listen there.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(2048)
    except OSError as error:
        made.close()
        raise UserError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}); choose another --port"
        ) from None
    return made


def refuse_busy_port(host: str, port: int) -> None:
    """Stop before a model is loaded in vain.

    Raises:
        UserError: when nothing can listen there.
    """
    listening(host, port).close()


def place(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
