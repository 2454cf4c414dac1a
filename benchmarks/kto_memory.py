"""How much memory does a KTO step take? Stock TRL's and ours, each in a process of its own.

    python benchmarks/kto_memory.py

One training_step of a small Llama with the vocabulary of Llama 3 (128,256), LoRA, float32, 8 rows of 512 tokens, a
quarter of each its completion. Memory is the process's highest resident size during the step (Linux's VmHWM, set back
before it) less its size before. Writes benchmarks/results/kto_memory.json.
"""

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kto_recipes.cli import run

RESULTS = Path(__file__).parent / "results"
SIDES = ("stock", "ours")
BATCH, TOKENS, MODEL = 8, 512, "v128k"
QUICK_TOKENS, QUICK_MODEL = 64, "v32k"
LORA_RANK = 8
MIB = 2**20
# A row has some 1,500 nats here, of which float32 holds 1e-4; β and the sigmoid leave a fortieth of it.
LOSS_TOLERANCE = 5e-6


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Processes of each side; figures are medians.")] = 3,
    quick: Annotated[bool, typer.Option(help="A smaller vocabulary and short rows, to see that it works.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
    side: Annotated[str | None, typer.Option(hidden=True, help="Measure stock or ours, here.")] = None,
) -> None:
    """Highest memory of one KTO training step: stock TRL against FastKTOTrainer."""
    from kto_recipes.errors import UserError

    if side:
        print(json.dumps(_measured(side, quick)))
        return
    if quick and out is None:
        raise UserError("--quick says nothing about memory: name a file for its results with --out")
    from kto_bench import environment, over

    from kto_recipes.files import write_json
    from kto_recipes.progress import progress_bar

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    with progress_bar() as bar:
        task = bar.add_task("memory", total=len(SIDES) * repeats, note="")
        for name in SIDES * repeats:
            bar.update(task, note=name)
            found[name].append(_in_a_process(name, quick))
            bar.advance(task)
    ratio = over([stock["step"] / ours["step"] for stock, ours in zip(*found.values(), strict=True)])
    figures = {
        "model": QUICK_MODEL if quick else MODEL,
        "tokens": QUICK_TOKENS if quick else TOKENS,
        "micro_batch_size": BATCH,
        "bytes": found,
        "times_less": ratio,
        "loss_difference": abs(found["stock"][0]["loss"] - found["ours"][0]["loss"]),
    }
    record = environment()
    write_json(out or RESULTS / "kto_memory.json", record | figures)
    _print(found)
    if figures["loss_difference"] > LOSS_TOLERANCE:
        print(f"the losses differ by {figures['loss_difference']:.1e}, more than they may: {LOSS_TOLERANCE:.0e}")
    print(
        f"a step takes {ratio['median']:.1f} times less memory than stock's ({ratio['low']:.1f}–{ratio['high']:.1f} in "
        f"{repeats} runs): {record['command']}"
    )
    raise SystemExit(figures["loss_difference"] > LOSS_TOLERANCE)


def _in_a_process(side: str, quick: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise SystemExit(f"{side} ended with exit code {done.returncode}; what it said is above")
    return json.loads(done.stdout.splitlines()[-1])


def _measured(side: str, quick: bool) -> dict[str, Any]:
    """Bytes before, at the highest point, and the step's own; and its loss."""
    from kto_recipes.generation import quiet

    quiet()
    import numpy as np
    import torch
    from kto_bench import arguments, arranged, as_in_recipes, blocks_of, new_trainer, perturb, small_llama, text_rows
    from trl import KTOTrainer

    from kto_recipes.trainer import FastKTOTrainer

    torch.set_num_threads(1)
    tokens = QUICK_TOKENS if quick else TOKENS
    lengths = np.full(BATCH, tokens * 3 // 4), np.full(BATCH, tokens // 4)
    rows = arranged(text_rows(*lengths, np.arange(BATCH) % 2 == 0, seed=0), arguments(BATCH))
    kind, settings = (KTOTrainer, None) if side == "stock" else (FastKTOTrainer, as_in_recipes())
    if side == "stock":
        rows = rows.select_columns(["prompt", "completion", "label"])
    model = small_llama(QUICK_MODEL if quick else MODEL)
    trainer = new_trainer(kind, model, rows, arguments(BATCH), LORA_RANK, settings)
    perturb(trainer, 0.02)
    batch = trainer.data_collator(blocks_of(trainer.train_dataset, BATCH)[0].to_list())
    del model, rows
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the preparation freed must not stand in for what the step needs
    Path("/proc/self/clear_refs").write_text("5")  # sets the highest resident size back to the present one
    before = _status("VmRSS")
    loss = float(trainer.training_step(trainer.model, batch))
    highest = _status("VmHWM")
    return {"before": before, "highest": highest, "step": highest - before, "loss": loss}


def _status(name: str) -> int:
    """A size from Linux's /proc/self/status, bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _print(found: dict[str, list[dict[str, Any]]]) -> None:
    from statistics import median

    from rich.console import Console
    from rich.table import Table

    table = Table(title="Resident memory of one KTO training step, MiB")
    for column in ("", "before", "highest", "of the step", "loss"):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in found.items():
        mib = (f"{median(run[key] for run in runs) / MIB:,.0f}" for key in ("before", "highest", "step"))
        table.add_row(name, *mib, f"{runs[0]['loss']:.7f}")
    Console().print(table)


if __name__ == "__main__":
    run(main)
