"""The benchmarks that measure the demo's tiny model refuse what would say nothing."""

from pathlib import Path

import pytest
from benchmark_runs import start

pytestmark = pytest.mark.parametrize("script", ["evaluation.py", "negatives.py"])


def test_a_quick_run_does_not_overwrite_what_was_measured(tmp_path: Path, script: str) -> None:
    done = start(script, tmp_path, "--quick")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --quick says nothing about speed")


def test_without_the_model_it_says_how_to_make_it(tmp_path: Path, script: str) -> None:
    done = start(script, tmp_path)
    assert done.returncode == 2
    assert "make it with python scripts/make_tiny_model.py --out outputs/models/tiny-llama" in done.stderr
