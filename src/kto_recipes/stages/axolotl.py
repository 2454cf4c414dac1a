"""How this project calls Axolotl: quietly, privately, on all cores, and with its whole output kept."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

from kto_recipes.errors import UserError

_LAST_LINES = 25
_LAST_BYTES = 20_000
_MIB = 2**20
# What safetensors, Python and PyTorch say of it; the last one's archive writer gives no reason.
_NO_SPACE = re.compile(r"os error 28|Errno 28|No space left|PytorchStreamWriter failed|Disk quota exceeded")
# What `axolotl` on PATH does, and two things more. It dies with the process that started it (PR_SET_PDEATHSIG is 1),
# or a killed stage would go on training beside its own resumption. And it is started by -c, so that the two
# processes which `datasets` spawns for each file it saves do not import all of Axolotl again, as they do with a
# program file: some 6 s less for each stage.
_AXOLOTL = (
    "import ctypes, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "from axolotl.cli.main import main; sys.argv[0] = 'axolotl'; sys.exit(main())"
)


def start_axolotl(arguments: list[str], recipe: dict[str, Any], log: BinaryIO) -> subprocess.Popen:
    """Start `axolotl <arguments>` of this environment with its output going to `log`."""
    return subprocess.Popen(
        [sys.executable, "-c", _AXOLOTL, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=axolotl_environment(recipe),
    )


def axolotl_environment(recipe: dict[str, Any]) -> dict[str, str]:
    """The caller's environment, with what Axolotl needs to behave.

    - `accelerate` is executed by name, so this environment's programs go first on PATH.
    - `axolotl train` sets OMP_NUM_THREADS to 1 unless it is set, which leaves a CPU's other cores idle. Threads that
      wait must sleep: spinning ones make the run five times slower where another program takes a core.
    - Telemetry is off by AXOLOTL_DO_NOT_TRACK alone: DO_NOT_TRACK and HF_HUB_DISABLE_TELEMETRY make the Hub
      refuse every kernel download of kernels 0.16.2.
    - Nothing is asked of the Hub when all that the recipe names is on this machine.
    """
    unwanted = ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    environment.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment["AXOLOTL_DO_NOT_TRACK"] = "1"
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    if is_local(recipe):
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def is_local(recipe: dict[str, Any]) -> bool:
    """Whether the model and the data are files here and attention needs no kernel from the Hub."""
    entries = [*(recipe.get("datasets") or []), *(recipe.get("test_datasets") or [])]
    return (
        Path(str(recipe.get("base_model"))).is_dir()
        and all(Path(str(entry.get("path"))).exists() for entry in entries)
        and recipe.get("attn_implementation") in ("sdpa", "eager")
    )


def refuse_failure(command: str, code: int, log: Path) -> None:
    """Stop with the end of `log`, or with one sentence where the disk is full: then the log ends anywhere.

    Raises:
        UserError: always.
    """
    disk, said = shutil.disk_usage(log.parent), log.read_text(errors="replace")
    if disk.free < _MIB or _NO_SPACE.search(said[-_LAST_BYTES:]):
        raise UserError(
            f"{log.parent}: the disk is full, {disk.free / _MIB:,.0f} of {disk.total / _MIB:,.0f} MiB are left; free "
            "some space, and the same command goes on from the last whole checkpoint"
        )
    lines = said.replace("\r", "\n").splitlines()[-_LAST_LINES:]
    tail = "\n".join(f"  {line[:300]}" for line in lines)
    raise UserError(f"{command} ended with exit code {code}; the last lines of {log}:\n{tail}")
