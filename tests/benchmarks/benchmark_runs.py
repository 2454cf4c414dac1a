"""A benchmark as a person starts it."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def start(script: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """benchmarks/<script> with these options, in a folder of its own."""
    command = [sys.executable, str(BENCHMARKS / script), *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=folder, timeout=600)
