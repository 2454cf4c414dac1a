"""What several test modules share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real public data: KTO_TEST_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("KTO_TEST_DATA") or REPO.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the real data is not in {folder}; name its folder in KTO_TEST_DATA")
    return folder


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
        assert done.stderr.count("error:") == 1
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
        return done.stderr.removeprefix("error: ").rstrip("\n")

    return check
