"""Stores to test with, in SQLite and a real PostgreSQL server; a client of the API; a scripted model."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai_server import Server, openai_server
from sqlalchemy import create_engine, make_url, text

from kto_recipes.feedback.api import create_app
from kto_recipes.feedback.store import Store
from kto_recipes.feedback.tokens import add_token

REPO = Path(__file__).parents[2]
sys.path.insert(0, str(REPO / "benchmarks"))  # as a script there finds its neighbours

from postgres_server import postgres_programs, postgres_server  # noqa: E402
from web_app import answer  # noqa: E402

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres(program: Callable[[str], str]) -> Iterator[str]:
    """The URL of a real server's first database."""
    programs = postgres_programs()
    if programs is None:
        program("pg_ctl")  # says so
    with postgres_server(programs) as url:
        yield url


@pytest.fixture
def postgres_place(postgres: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    name = f"test{abs(hash(request.node.nodeid))}"
    url = make_url(postgres).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be: in turn a file and a database of PostgreSQL."""
    return str(tmp_path / "feedback.db") if request.param == "sqlite" else request.getfixturevalue("postgres_place")


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place, wait_s=0.3) as opened:
        yield opened


@pytest.fixture
def token_of() -> Callable[..., dict[str, str]]:
    """token_of(store, "vote"): the headers of a new token with these scopes."""

    def make(store: Store, *scopes: str, days: float | None = 1) -> dict[str, str]:
        made = store.write(partial(add_token, name="test", scopes=list(scopes), days=days)).result()
        return {"Authorization": f"Bearer {made['token']}"}

    return make


@pytest.fixture
def client_of() -> Callable[..., TestClient]:
    """client_of(store, needs_token=True): a browser on the same machine; for the application as it is set so."""

    def make(store: Store, **settings: Any) -> TestClient:
        app = create_app(store, **{"per_second": 10_000, **settings})
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return make


@pytest.fixture
def client(store: Store, client_of: Callable[..., TestClient]) -> Iterator[TestClient]:
    """A browser on the same machine; the store has no token."""
    with client_of(store) as opened:
        yield opened


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """serve("--store", path): the address of scripts/feedback.py serve, in a process of its own on a free port."""
    processes: list[subprocess.Popen] = []

    def start(*flags: str) -> str:
        command = [sys.executable, str(REPO / "scripts" / "feedback.py"), "serve", "--port", "0", *flags]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8"))
        return processes[-1].stdout.readline().split(",")[0]

    yield start
    for process in processes:
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
        process.stdout.close()


@pytest.fixture
def model() -> Iterator[Server]:
    with openai_server(answer) as server:
        yield server
