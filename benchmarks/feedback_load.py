"""How many votes a second does the server take from 50 clients at once, and is any lost when it is killed?

    python benchmarks/feedback_load.py
    python benchmarks/feedback_load.py --database postgres

A real server (scripts/feedback.py serve) on this machine, with its clients beside it on the same cores. Each client has
a token of its own and sends one vote after the other: a prompt, its answer and a thumb, under a key of its own. For a
third of the time all together 200 votes a second, evenly; then as fast as they are answered. In the middle of that the
server is killed with SIGKILL and started again; a client whose vote was not acknowledged sends it again under the same
key. Then the server is stopped, and the store must hold every acknowledged vote once. Latency is of requests that were
answered; votes a second leave out the time from the kill to the first answer after it. Writes
benchmarks/results/feedback_<database>.json.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from kto_recipes.cli import run

HERE = Path(__file__).parent
SERVER = HERE.parent / "scripts" / "feedback.py"
PROMPT, ANSWER = "What does a reference model do in KTO? " * 8, "It keeps the policy from wandering off. " * 10
STEADY = 200  # votes a second
PAUSE_S = 0.05  # before a vote is sent again
PACKAGES = ("sqlalchemy", "psycopg", "fastapi", "uvicorn", "uvloop", "httptools", "aiohttp")


@dataclass
class Load:
    """What the clients saw. Times in seconds of time.perf_counter()."""

    url: str = ""
    is_steady: bool = True
    is_over: bool = False
    killed_at: float = float("inf")
    back_at: float | None = None
    acknowledged: list[tuple[int, int]] = field(default_factory=list)  # serial, vote id
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"steady": [], "fast": []})
    interrupted: int = 0  # requests that were not answered


def main(
    database: Annotated[Literal["sqlite", "postgres"], typer.Option(help="Where votes go.")] = "sqlite",
    seconds: Annotated[float, typer.Option(min=2, help="How long, the kill in the middle.")] = 30,
    clients: Annotated[int, typer.Option(min=1, help="How many at once.")] = 50,
    quick: Annotated[bool, typer.Option(help="Six seconds, to see that it works; needs --out.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
) -> None:
    """Votes a second from many clients, with the server killed in the middle."""
    from environment import environment

    from kto_recipes.errors import UserError
    from kto_recipes.files import write_json

    if quick and out is None:
        raise UserError("--quick says nothing about speed: name a file for its results with --out")
    with _store(database) as (folder, place):
        found = {**environment(PACKAGES), "database": database, "clients": clients, "flush_ms": _flush_ms(folder)}
        load = asyncio.run(_loaded(place, 6 if quick else seconds, clients, found))
        found["checked"] = _checked(place, load)
    write_json(out or HERE / "results" / f"feedback_{database}.json", found)
    _print(found)
    raise SystemExit(0 if found["checked"]["is_right"] else 1)


@contextmanager
def _store(database: str) -> Iterator[tuple[Path, str]]:
    """A folder on the disk to be measured and an empty store there."""
    from postgres_server import postgres_programs, postgres_server

    from kto_recipes.errors import UserError

    if database == "postgres":
        programs = postgres_programs()
        if programs is None:
            raise UserError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
        with postgres_server(programs) as url:
            yield Path(url.partition("host=")[2]), url
    else:
        with TemporaryDirectory(prefix="feedback-") as folder:
            yield Path(folder), str(Path(folder) / "feedback.db")


async def _loaded(place: str, seconds: float, clients: int, found: dict[str, Any]) -> Load:
    """Let the clients vote for so many seconds, kill the server in the middle, and add what was seen to `found`."""
    import aiohttp

    load = Load()
    tokens = _tokens(place, clients)
    server, load.url = _started(place, 0)
    port = int(load.url.rpartition(":")[2])
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            voting = [asyncio.create_task(_vote(session, load, token, n, clients)) for n, token in enumerate(tokens)]
            await asyncio.sleep(seconds / 3)
            start, load.is_steady = time.perf_counter(), False
            await asyncio.sleep(seconds / 3)
            server.kill()
            load.killed_at = time.perf_counter()
            server.wait()
            server, _ = await asyncio.to_thread(_started, place, port)
            await asyncio.sleep(seconds / 3)
            load.is_over = True
            await asyncio.gather(*voting)
            end = time.perf_counter()
    finally:
        server.terminate()
        server.wait()
    outage = load.back_at - load.killed_at
    found |= {"seconds": end - start, "outage_s": outage, "interrupted": load.interrupted}
    found["votes_per_s"] = len(load.latencies["fast"]) / (end - start - outage)
    found["latency_ms"] = {name: _percentiles(seconds) for name, seconds in load.latencies.items()}
    return load


async def _vote(session: Any, load: Load, token: str, client: int, clients: int) -> None:
    """One client: a vote, acknowledged, and the next."""
    import aiohttp

    headers = {"Authorization": f"Bearer {token}"}
    number = 0
    turn = time.perf_counter() + client / STEADY
    while not load.is_over:
        number += 1
        if load.is_steady:
            await asyncio.sleep(turn - time.perf_counter())
            turn += clients / STEADY
        kind = "steady" if load.is_steady else "fast"
        serial = client * 10_000_000 + number
        body = {
            "prompt": f"{PROMPT}{serial}",
            "completion": f"{ANSWER}{serial}",
            "label": serial % 3 != 0,
            "metadata": {"rater": f"client {client}", "model": "llama", "serial": serial},
            "client_id": str(serial),
        }
        while True:
            begun = time.perf_counter()
            try:
                async with session.post(f"{load.url}/api/votes", json=body, headers=headers) as answer:
                    said = await answer.json()
                    answer.raise_for_status()
                break
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                load.interrupted += 1
                await asyncio.sleep(PAUSE_S)
        now = time.perf_counter()
        if begun > load.killed_at and load.back_at is None:
            load.back_at = now
        load.latencies[kind].append(now - begun)
        load.acknowledged.append((serial, said["id"]))


def _started(place: str, port: int) -> tuple[subprocess.Popen, str]:
    """A server, and its address once it listens."""
    command = [sys.executable, str(SERVER), "serve", "--store", place, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise SystemExit("the server did not start; what it said is above")
    return process, line.split(",")[0]


def _tokens(place: str, clients: int) -> list[str]:
    from functools import partial

    from kto_recipes.feedback.store import Store
    from kto_recipes.feedback.tokens import add_token

    with Store(place) as store:
        made = [store.write(partial(add_token, name=f"{n}", scopes=["vote"], days=1)) for n in range(clients)]
        return [it.result()["token"] for it in made]


def _checked(place: str, load: Load) -> dict[str, Any]:
    """What the store holds beside what was acknowledged."""
    from kto_recipes.feedback.store import Store

    with Store(place) as store:
        held = [(row.about["serial"], row.id) for row, _ in store.votes()]
    times = Counter(serial for serial, _ in held)
    lost = len(set(load.acknowledged) - set(held))
    doubled = sum(number > 1 for number in times.values())
    is_right = lost == doubled == 0 and len(held) == len(load.acknowledged)
    return {"acknowledged": len(load.acknowledged), "held": len(held), "lost": lost, "doubled": doubled,
            "is_right": is_right}  # fmt: skip


def _flush_ms(folder: Path) -> dict[str, float]:
    """How long the disk takes to flush 4 KiB: where that is nothing, being durable costs nothing."""
    took = []
    with (folder / "flush").open("wb") as file:
        for _ in range(50):
            file.write(b"." * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    return _percentiles(took)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p99": 0.99, "most": 1.0}
    return {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000 for name, part in at.items()}


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("milliseconds", "half", "99 of 100", "most")
    latency = found["latency_ms"]
    rows = {f"a vote of {STEADY} a second": latency["steady"], "as fast as answered": latency["fast"]}
    for name, took in {**rows, "a flush of the disk": found["flush_ms"]}.items():
        table.add_row(name, *(f"{took[key]:.1f}" for key in ("p50", "p99", "most")))
    Console().print(table)
    held = found["checked"]
    print(
        f"killed in the middle, back after {found['outage_s']:.1f} s: of {held['acknowledged']} acknowledged votes "
        f"{held['lost']} lost, {held['doubled']} doubled; {found['interrupted']} requests had no answer"
    )
    print(
        f"{found['votes_per_s']:.0f} votes per second from {found['clients']} clients with {found['database']}, p99 "
        f"{latency['fast']['p99']:.0f} ms, at {STEADY} a second {latency['steady']['p99']:.0f} ms: {found['command']}"
    )


if __name__ == "__main__":
    run(main)
