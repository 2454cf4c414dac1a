"""A real HTTP server with an OpenAI-compatible surface that behaves as a test wants, badly above all."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from http_server import in_a_thread


@dataclass(frozen=True)
class Response:
    body: Any = None  # JSON, unless it is text
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """A reply in pieces, each after a pause; one that `dies` is cut off in the middle, without an end."""

    pieces: tuple[str, ...]
    pause_s: float = 0.0
    dies: bool = False


def said(content: str | None, finish_reason: str = "stop") -> Response:
    """A chat completion with one choice."""
    message = {"role": "assistant", "content": content}
    return Response({"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]})


def chunk_of(piece: str | None) -> str:
    """A part of a streamed chat completion; none: the last one."""
    delta, end = ({}, "stop") if piece is None else ({"content": piece}, None)
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice]})


def refused(status: int, message: str, **headers: str) -> Response:
    """An error as OpenAI and vLLM say it."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": status}}
    return Response(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Server:
    """Where it is, and what it was sent; `most_at_once` requests were under way together."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_once: int = 0
    gone: int = 0  # streams whose reader did not stay to the end


Answer = Callable[[int, dict[str, Any]], Response | Stream]


@contextmanager
def openai_server(answer: Answer, models: tuple[str, ...] = ("tiny",)) -> Iterator[Server]:
    """A server on a free port; `answer(number, body)` is called for each chat completion, in a thread of its own."""
    lock = threading.Lock()
    at_once = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._send(Response({"object": "list", "data": [{"id": name, "object": "model"} for name in models]}))
            else:
                self._send(Response({"detail": "Not Found"}, 404))

        def do_POST(self) -> None:
            nonlocal at_once
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self._send(Response({"detail": "Not Found"}, 404))
                return
            with lock:
                number = len(server.bodies)
                server.bodies.append(body)
                server.keys.append(self.headers["Authorization"])
                at_once += 1
                server.most_at_once = max(server.most_at_once, at_once)
            response = answer(number, body)
            with lock:
                at_once -= 1
            if isinstance(response, Stream):
                self._stream(response)
            else:
                self._send(response)

        def _stream(self, stream: Stream) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            events = [chunk_of(piece) for piece in stream.pieces]
            try:
                for event in events if stream.dies else [*events, chunk_of(None), "[DONE]"]:
                    data = f"data: {event}\n\n".encode()
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                    self.wfile.flush()
                    time.sleep(stream.pause_s)
                if not stream.dies:
                    self.wfile.write(b"0\r\n\r\n")
            except ConnectionError:  # who asked has gone
                server.gone += 1
            self.close_connection = stream.dies

        def _send(self, response: Response) -> None:
            is_text = isinstance(response.body, str)
            content = (response.body if is_text else json.dumps(response.body)).encode()
            try:
                self.send_response(response.status)
                self.send_header("Content-Type", "text/html" if is_text else "application/json")
                self.send_header("Content-Length", str(len(content)))
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:  # who asked has gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # of a connection that was cut
            pass

    with in_a_thread(Quiet(("127.0.0.1", 0), Handler)) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}/v1")
        yield server
