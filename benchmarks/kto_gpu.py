"""How much faster and smaller is KTO on a GPU than with stock TRL? Trainings of a few steps of both, in turn.

    python benchmarks/kto_gpu.py --minutes 8

Llama 3.1 8B and Qwen2.5 3B in shape, with random weights made on the GPU: LoRA on bfloat16 weights and, where
bitsandbytes is installed, on 4-bit ones; ours with the recipes' settings; gradient checkpointing; rows as long as
HH-RLHF's (twice as long at 2,048 tokens), and rows that are all as long as may be, for the memory. Needs TRL, not
Axolotl, and no network. Out of memory is a result. Writes benchmarks/results/kto_gpu.json after every training. --quick
tries all of this in miniature, on a CPU if there is no GPU.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from kto_recipes.cli import run

RESULTS = Path(__file__).parent / "results"
SIDES = ("stock", "ours")


def main(
    minutes: Annotated[float, typer.Option(help="Begin no training after so many; the rest is noted as not run.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Steps that count, of rows as long as HH-RLHF's.")] = 6,
    lora: Annotated[int, typer.Option(min=1, help="Rank of the adapter; the recipes' is 64.")] = 64,
    attention: Annotated[str, typer.Option(help="sdpa, or flash_attention_2 where it is installed.")] = "sdpa",
    quick: Annotated[bool, typer.Option(help="Miniatures, to see that it works; needs --out.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
) -> None:
    """KTO on a GPU: tokens a second and peak memory, stock TRL against FastKTOTrainer."""
    deadline = time.monotonic() + 60 * minutes
    from kto_recipes.errors import UserError

    if quick and out is None:
        raise UserError("--quick measures miniatures: name a file for its results with --out")
    from kto_recipes.generation import quiet

    quiet()
    import torch
    from gpu_cells import Machine
    from kto_bench import environment

    if not torch.cuda.is_available() and not quick:
        raise UserError("there is no CUDA GPU here; --quick tries the benchmark itself on a CPU")
    if quick:
        torch.set_num_threads(1)  # miniatures lose by a second one
    machine = Machine(quick, lora, 2 if quick else steps, attention)
    record = environment() | {"lora_rank": lora, "attention": attention}
    found = _measure(machine, deadline, out or RESULTS / "kto_gpu.json", record)
    _print(found)
    print(f"{_last_line(found)}: {record['command']}")


def _measure(machine: Any, deadline: float, out: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """All cells, both sides of each; the one that comes first changes from cell to cell."""
    from dataclasses import asdict

    from gpu_cells import cells

    from kto_recipes.files import write_json
    from kto_recipes.progress import progress_bar

    found: list[dict[str, Any]] = [asdict(cell) for cell in cells(machine.quick)]
    for result in found:
        result.update({side: {"outcome": "not run"} for side in SIDES})
    with progress_bar() as bar:
        task = bar.add_task("trainings", total=len(SIDES) * len(found), note="")
        for number, cell in enumerate(cells(machine.quick)):
            for side in SIDES[:: 1 if number % 2 == 0 else -1]:
                bar.update(task, note=f"{_name(found[number])}, {side}")
                if time.monotonic() < deadline:
                    found[number][side] = machine.measured(cell, side)
                    write_json(out, record | {"cells": found})
                bar.advance(task)
    write_json(out, record | {"cells": found})
    return found


def _print(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, 116)
    table = Table(title="KTO, real tokens a second (three epochs with the reference pass) and peak GiB")
    for column in ("", "stock", "ours", "times faster", "stock GiB", "ours GiB"):
        table.add_column(column, justify="right" if column else "left")
    for result in found:
        speeds = [_figure(result[side], "tokens_per_s_three_epochs", ",.0f") for side in SIDES]
        peaks = [_figure(result[side], "peak_gib", ".1f") for side in SIDES]
        speed_up = _speed_up(result)
        table.add_row(_name(result), *speeds, "" if speed_up is None else f"{speed_up:.2f}", *peaks)
    console.print(table)


def _figure(side: dict[str, Any], name: str, form: str) -> str:
    if side["outcome"] != "ok":
        return side["outcome"]
    return "–" if side[name] is None else format(side[name], form)


def _speed_up(result: dict[str, Any]) -> float | None:
    if any(result[side]["outcome"] != "ok" for side in SIDES):
        return None
    stock, ours = (result[side]["tokens_per_s_three_epochs"] for side in SIDES)
    return ours / stock


def _name(result: dict[str, Any]) -> str:
    return f"{result['model']} {result['adapter']}, {result['rows']} {result['tokens']}, {result['batch']} rows"


def _last_line(found: list[dict[str, Any]]) -> str:
    first, speed_up = found[0], _speed_up(found[0])
    if speed_up is None:
        return f"{_name(first)}: stock {first['stock']['outcome']}, ours {first['ours']['outcome']}"
    return f"{_name(first)}, three epochs with the reference pass: {speed_up:.2f} times stock's tokens a second"


if __name__ == "__main__":
    run(main)
