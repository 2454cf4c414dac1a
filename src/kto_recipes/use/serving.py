"""Start a server, wait until it answers, and pass on what stops it."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.ports import place, refuse_busy_port
from kto_recipes.use.server_command import Server
from kto_recipes.use.terminal import safe

_LAST_LINES = 15
_STOPS_WITHIN_S = 30


@contextmanager
def running(server: Server, log: Path) -> Iterator[subprocess.Popen]:
    """The server's process, its output in `log`; what ends the block stops it as Ctrl-C would."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command,
            cwd=server.folder,
            env=os.environ | server.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it from here alone, and once
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOPS_WITHIN_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(process: subprocess.Popen, url: str, log: Path) -> None:
    """Return when the server's /health does.

    Raises:
        UserError: when the server ended instead; with the last lines that it said.
    """
    while process.poll() is None:
        if _answers(f"{url}/health"):
            return
        time.sleep(0.3)
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    tail = "\n".join(f"  {safe(line)[:300]}" for line in lines)
    raise UserError(f"the server ended with exit code {process.returncode}; the last lines of {log}:\n{tail}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def address(host: str, port: int) -> str:
    """Where this machine reaches a server that listens there."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{place(reached, port)}"


def curl_example(url: str, server: Server, system: str | None) -> str:
    """A request to paste, with the system prompt that the model was trained with."""
    messages = [{"role": "system", "content": system}] if system else []
    body = {"model": server.model, "messages": [*messages, {"role": "user", "content": "Hello!"}], "max_tokens": 128}
    shown = json.dumps(body, ensure_ascii=False)
    # Escaped where a terminal would not show what it is.
    shown = shown if safe(shown) == shown else json.dumps(body)
    return f"curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(shown)}"


def serve(server: Server, host: str, port: int, log: Path, system: str | None, say: Callable[[str], None]) -> None:
    """Run the server until Ctrl-C.

    Raises:
        UserError: when the port is taken, or the server ends by itself.
    """
    refuse_busy_port(host, port)
    say(server.shell())
    say(f"loading {server.model}; what the server says goes to {log}")
    with running(server, log) as process:
        try:
            url = address(host, port)
            wait_until_it_answers(process, url, log)
            say(f"{url}/v1 serves {server.model}; Ctrl-C stops it\n\n{curl_example(url, server, system)}\n")
            process.wait()
        except KeyboardInterrupt:
            say("stopping")
            return
    raise UserError(f"the server ended by itself with exit code {process.returncode}; see {log}")
