"""Axolotl, imported once for many runs: its imports take a quarter of a minute, and two steps a few seconds.

Each run is a process of its own, forked from one that has done nothing but import; from there on it is what
`axolotl <arguments>` does.
"""

import os
import sys
from multiprocessing import forkserver, get_context, set_start_method
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

from kto_recipes.stages.axolotl import axolotl_environment

IMPORTED_ONCE = [
    "axolotl.cli.main",
    "axolotl.cli.train",
    "axolotl.cli.merge_lora",
    "axolotl.core.builders.rl",
    "kto_recipes.plugin.trainer",
    "deepspeed",  # Accelerate's, when a training ends
]


class ForkedAxolotl:
    """Its `start` takes the place of `kto_recipes.stages.axolotl.start_axolotl`."""

    def __init__(self) -> None:
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(IMPORTED_ONCE)
        # Axolotl's telemetry, the Hub's client and OpenMP look at the environment when they are imported.
        with mock.patch.dict(os.environ, axolotl_environment({}) | {"HF_HUB_OFFLINE": "1"}):
            forkserver.ensure_running()

    def start(self, arguments: list[str], recipe: dict[str, Any], log: BinaryIO) -> "Run":
        started = (arguments, axolotl_environment(recipe), str(Path.cwd()), log.name)
        process = self.context.Process(target=_run, args=started)
        process.start()
        return Run(process)


class Run:
    """As much of `subprocess.Popen` as a stage uses."""

    def __init__(self, process: Any) -> None:
        self.process = process

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode

    def terminate(self) -> None:
        self.process.terminate()


def _run(arguments: list[str], environment: dict[str, str], folder: str, log: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # A program started by itself forks the loaders of its data; with the server's way each would import torch anew.
    set_start_method("fork", force=True)
    # What `datasets` spawns would import the program that runs the tests.
    sys.modules["__main__"].__dict__.pop("__file__", None)
    sys.modules["__main__"].__spec__ = None
    sys.argv = ["axolotl", *arguments]
    from axolotl.cli.main import main

    sys.exit(main())
