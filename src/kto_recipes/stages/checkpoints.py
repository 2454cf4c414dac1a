"""Which checkpoint of a stage can be trusted."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

TRAINER_STATE = "trainer_state.json"
WEIGHTS = ("adapter_model.safetensors", "model*.safetensors")


def checkpoints(stage: Path) -> list[Path]:
    """The stage's checkpoint folders by step, whole or torn."""
    found = [path for path in stage.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def state_of(checkpoint: Path) -> dict[str, Any]:
    """The trainer's state in a checkpoint: global_step, max_steps, log_history and more."""
    return json.loads((checkpoint / TRAINER_STATE).read_text())


def is_whole(checkpoint: Path) -> bool:
    """Whether every file a resume reads is there and complete.

    The trainer's state is written last, so a checkpoint without it was cut short. Weights are opened, which
    checks their size against their header; PyTorch's files are zip archives with the directory at their end.
    """
    try:
        state = state_of(checkpoint)
    except (OSError, ValueError):
        return False
    weights = [path for pattern in WEIGHTS for path in checkpoint.glob(pattern)]
    if not weights or state.get("global_step") != int(checkpoint.name.rpartition("-")[2]):
        return False
    try:
        for path in weights:
            with safe_open(path, framework="numpy"):
                pass
    except (OSError, SafetensorError):
        return False
    archives = [checkpoint / "optimizer.pt", checkpoint / "scheduler.pt", *checkpoint.glob("rng_state*.pth")]
    return all(zipfile.is_zipfile(path) for path in archives if path.exists()) and _has_optimizer(checkpoint)


def _has_optimizer(checkpoint: Path) -> bool:
    """With only one of optimizer and scheduler the Trainer loads neither, without a word."""
    if any(checkpoint.glob("global_step*")):  # DeepSpeed's name
        return True
    return (checkpoint / "optimizer.pt").is_file() and (checkpoint / "scheduler.pt").is_file()


def last_whole(stage: Path) -> Path | None:
    """The last checkpoint that can be trusted; torn ones after it are deleted, or a resume would take them."""
    for checkpoint in reversed(checkpoints(stage)):
        if is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None
