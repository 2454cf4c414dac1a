"""What one of several processes does in test_ranks.py: trains, and writes down what it saw and what came out."""

import json
import sys
from pathlib import Path
from typing import Any

from small_trainers import checkpointed, new_ours, new_stock, text_rows
from test_training import Kill, recorded
from trl import KTOTrainer

CHANGES = {"max_steps": -1, "ddp_backend": "gloo"}


def beside_trl(folder: Path, rows: int, kind: str) -> dict[str, Any]:
    """One epoch of ours, and of TRL's on the rows in the order in which ours took them.

    Args:
        kind: lora, full, or recipe: LoRA as in the recipes, where both passes share the prompts' checkpointed run.
    """
    full, as_recipe = kind == "full", kind == "recipe"
    settings = {"log_entropy": True, "prefix_kl": as_recipe}
    changes = {**CHANGES, "num_train_epochs": 1}
    ours = new_ours(
        folder, settings, full, train_dataset=text_rows(rows), changes=changes | (checkpointed() if as_recipe else {})
    )
    as_taken = ours.train_dataset.select(list(ours._get_train_sampler()))
    stock = new_stock(folder, as_taken, full, changes=changes)
    return {"ours": trained(ours), "trl": trained(stock)}


def trained(trainer: KTOTrainer) -> dict[str, Any]:
    with recorded(trainer) as seen:
        trainer.train()
    return {
        "log": trainer.state.log_history,
        "seen": seen,
        "weights": {name: w.flatten().tolist() for name, w in trainer.model.named_parameters() if w.requires_grad},
    }


def resumed(folder: Path) -> dict[str, Any]:
    """Two epochs of three steps each; the same killed in the second epoch; and what went on from its checkpoint."""
    # torch.load does not know the devices cpu:0 and cpu:1 of an optimizer's state; the order needs only the step
    changes = {**CHANGES, "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 4, "save_only_model": True}
    rows = text_rows(24)

    def run(name: str, start: str | None = None, **more: Any) -> dict[str, Any]:
        trainer = new_ours(folder / name, train_dataset=rows, changes=changes, **more)
        with recorded(trainer) as seen:
            try:
                trainer.train(resume_from_checkpoint=start)
            except KeyboardInterrupt:
                assert more
        return {"seen": [batch[0] for batch in seen]}

    whole = run("whole")
    before = run("killed", callbacks=[Kill(5)])
    return {"whole": whole, "before": before, "after": run("killed", str(folder / "killed/out/checkpoint-4"))}


if __name__ == "__main__":
    target, task, *rest = sys.argv[1:]
    result = resumed(Path(target)) if task == "resumed" else beside_trl(Path(target), int(rest[0]), rest[1])
    import torch.distributed

    rank = torch.distributed.get_rank()
    (Path(target) / f"rank-{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()
