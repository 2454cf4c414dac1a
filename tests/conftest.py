"""What several test modules share."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Page, browser
from hypothesis import settings

# How long one example takes depends on what else the machine does.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

_LONG = {"test_chain.py", "test_walkthrough.py"}  # not marked slow: everybody who runs the tests wants them
REPO = Path(__file__).parents[1]
CHAT_START = 1_736_676_000  # 2025-01-12
CHAT_IDS = {"Nina": "user1", "Marco": "user2", "Eva": "user3"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first, or one process is left alone with it at the end."""
    items.sort(key=lambda item: not (item.get_closest_marker("slow") or item.path.name in _LONG))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real public data: KTO_TEST_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("KTO_TEST_DATA") or REPO.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the real data is not in {folder}; name its folder in KTO_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """program("chromium"): where it is; without it the test is skipped, or fails where KTO_REQUIRE_PROGRAMS is set."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None and os.environ.get("KTO_REQUIRE_PROGRAMS"):
            pytest.fail(f"the program {name} is not installed, and KTO_REQUIRE_PROGRAMS is set")
        if path is None:
            pytest.skip(f"the program {name} is not installed")
        return path

    return find


@pytest.fixture(scope="module")
def window(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that the tests of a module use one after another."""
    with browser(program("chromium"), tmp_path_factory.mktemp("chromium") / "profile") as page:
        yield page


@pytest.fixture
def page(window: Page) -> Page:
    """Its tab, as large as a desk's."""
    window.screen(1280, 900)
    return window


@pytest.fixture
def make_dataset(tmp_path) -> Callable[..., Path]:
    """make_dataset(lines, name="chats", **settings): a folder with dataset.yaml and a Telegram export.

    A line is (hours since the start, sender, text). Settings are those of dataset.yaml; the persona is Nina.
    """

    def make(lines: Iterable[tuple[float, str, str]], name: str = "chats", **settings: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        messages = [
            {
                "id": number,
                "type": "message",
                "date_unixtime": str(CHAT_START + round(hours * 3600)),
                "from": sender,
                "from_id": CHAT_IDS.get(sender, f"user {sender}"),
                "text": text,
            }
            for number, (hours, sender, text) in enumerate(lines, 1)
        ]
        export = {"name": "Marco", "type": "personal_chat", "id": 2, "messages": messages}
        (folder / "result.json").write_text(json.dumps(export), encoding="utf-8")
        # JSON is YAML
        values = {"source": "result.json", "persona": "Nina", "split": {"eval_fraction": 0.5}} | settings
        (folder / "dataset.yaml").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def run_script(tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """run_script("prepare_data.py", folder): a script of scripts/ as a person starts it, without network."""

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(REPO / "scripts" / script), *map(str, arguments)]
        env = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "400"}
        return subprocess.run(command, capture_output=True, encoding="utf-8", env=env, cwd=tmp_path, timeout=120)

    return run


@pytest.fixture
def refused() -> Callable[[subprocess.CompletedProcess[str]], str]:
    """Checks that a script ended as it must on a person's mistake; the answer is its one message."""

    def check(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
        return done.stderr.removeprefix("error: ").rstrip("\n")

    return check
