"""A small server that answers as the Hub does, and an environment in which a process takes it for the Hub."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "hf_" + "abcdefgh" * 4
_ELSEWHERE = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY")
_NOBODY_LISTENS = 9  # the discard port


class HubAnswer(BaseHTTPRequestHandler):
    """What the server says to the client's question for a file: see Hub."""

    server: "Hub"

    def do_HEAD(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.server.status)
        if self.server.error:
            self.send_header("X-Error-Code", self.server.error)
        for name, value in (("X-Repo-Commit", "0" * 40), ("ETag", '"1"'), ("Content-Length", "7")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Hub(ThreadingHTTPServer):
    """Answers every request with `status` and `error`, the Hub's X-Error-Code, and keeps what it was asked."""

    status = 200
    error: str | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), HubAnswer)


def hub_environment(home: Path, server: ThreadingHTTPServer | None, token: str | None = None) -> dict[str, str]:
    """Of a process that knows `server` as the Hub, with its cache in `home`; none: a port where nobody listens."""
    environment = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    port = server.server_address[1] if server else _NOBODY_LISTENS
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    return environment | ({"HF_TOKEN": token} if token else {})
