"""Make requirements/*.lock from pyproject.toml, the only place where versions are written.

    python scripts/lock.py

Reads pyproject.toml and the package index; writes a hash for every package and no index address.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run
from kto_recipes.errors import UserError

COMMON = [
    "--generate-hashes",
    "--universal",
    "--python-version=3.11",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
    "--custom-compile-command=make lock",
]
LOCKS = {
    # torch is installed first, by pip: a CPU build where there is one. See [tool.uv] in pyproject.toml.
    "cpu.lock": ["pyproject.toml", "--group", "cpu", "--group", "dev", "--no-emit-package", "torch"],
    "bootstrap.lock": ["--group", "bootstrap"],
    "build.lock": ["--group", "build"],
}


def main(
    upgrade: Annotated[bool, typer.Option(help="Take the newest versions pyproject.toml allows.")] = False,
) -> None:
    """Make requirements/*.lock from pyproject.toml, the only place where versions are written."""
    uv = Path(sys.executable).with_name("uv")
    for name, what in LOCKS.items():
        target = f"requirements/{name}"
        flags = ["--upgrade"] if upgrade else []
        command = [str(uv), "pip", "compile", *what, *COMMON, *flags, "--output-file", target]
        if subprocess.run(command).returncode != 0:
            raise UserError(f"{target}: uv could not resolve it; its reasons stand above")
        print(target)


if __name__ == "__main__":
    run(main)
