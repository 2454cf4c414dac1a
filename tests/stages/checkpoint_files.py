"""Checkpoints as the Trainer leaves them, small and made by the libraries that read them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def write_checkpoint(stage: Path, step: int, *, max_steps: int = 4, first_loss: float = 0.5, fill: float = 0.0) -> Path:
    """`stage`/checkpoint-<step> with weights, optimizer, scheduler, random state, and the trainer's state."""
    folder = stage / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"lora_A": torch.full((8, 16), fill)}, folder / "adapter_model.safetensors")
    torch.save({"state": torch.zeros(64)}, folder / "optimizer.pt")
    torch.save({"last_epoch": step}, folder / "scheduler.pt")
    torch.save({"cpu": torch.zeros(16)}, folder / "rng_state.pth")
    torch.save({"output_dir": "x"}, folder / "training_args.bin")
    (folder / "adapter_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    log: list[dict[str, Any]] = [
        {"step": n, "loss": first_loss, "kl": 0.0, "rewards/chosen": 0.0} for n in range(1, step + 1)
    ]
    state = {"global_step": step, "max_steps": max_steps, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


def cut_short(path: Path, share: float = 0.5) -> None:
    """Keep only the beginning of a file, as a full disk or a kill leaves it."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
