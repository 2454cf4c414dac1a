"""How fast are undesirable answers made? Sampled in batches against one by one, and by rule, on one core.

    python scripts/make_tiny_model.py && python benchmarks/negatives.py

Sampling: the demo's tiny model, 64 new tokens at most, batches of 64 and one prompt at a time in turn, in new tokens
for each CPU second. Memory: the highest resident size when base_sample has answered N prompts and 8 N, each in a
process of its own. The other strategies: rows for each CPU second, on texts of the demo's words and lengths; for
contaminate also the seconds until 100,000 replies are indexed. Writes benchmarks/results/negatives.json.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from demo_model import TINY, measured_model, refuse_in_vain

from kto_recipes.cli import run

RESULTS = Path(__file__).parent / "results"
BY_RULE = ("corrupt", "template", "paraphrase")
MIB = 2**20
# Prompts in batches, prompts one by one, prompts for memory; rows by rule; replies indexed, rows of those.
FULL = (256, 24, 128, 20_000, 100_000, 5_000)
QUICK = (64, 8, 32, 500, 2_000, 1_000)


def main(
    model: Annotated[Path, typer.Option(help="The folder of the model that is sampled.")] = TINY,
    repeats: Annotated[int, typer.Option(min=1, help="Alternations; figures are medians.")] = 5,
    quick: Annotated[bool, typer.Option(help="Few rows and a random model, to see that it works.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
    memory_of: Annotated[int | None, typer.Option(hidden=True, help="Sample so many prompts, here.")] = None,
) -> None:
    """Throughput of every way to make undesirable answers, and the memory of sampling."""
    refuse_in_vain(model, quick=quick, out=out)
    import torch
    from kto_bench import environment
    from negatives_jobs import sampling_memory

    from kto_recipes.files import write_json

    torch.set_num_threads(1)
    if memory_of is not None:
        print(json.dumps(sampling_memory(str(model), memory_of)))
        return
    with measured_model(model, quick=quick) as folder:
        found = _measured(folder, QUICK if quick else FULL, repeats)
    record = environment()
    write_json(out or RESULTS / "negatives.json", record | found)
    _print(found)
    faster, grown = found["times_faster"], found["memory_grows"]
    print(
        f"batched sampling is {faster['median']:.1f} ({faster['low']:.1f}–{faster['high']:.1f}) times as fast as one "
        f"prompt at a time, and takes {grown['median']:.2f} times the memory for 8 times the prompts: "
        f"{record['command']}"
    )


def _measured(model: Path, sizes: tuple[int, ...], repeats: int) -> dict[str, Any]:
    from kto_bench import over
    from negatives_jobs import contaminate_speed, demo_rows, many_rows, rows_per_second, sampling_speed

    from kto_recipes.progress import progress_bar

    prompts, alone, few, by_rule, indexed, contaminated = sizes
    with progress_bar() as bar:
        task = bar.add_task("negatives", total=3 + len(BY_RULE), note="sampling")
        speed = sampling_speed(str(model), prompts, alone, repeats)
        bar.update(task, advance=1, note="memory")
        memory = [[_in_a_process(model, n) for n in (few, 8 * few)] for _ in range(min(repeats, 3))]
        rules = {}
        for name in BY_RULE:
            bar.update(task, advance=1, note=name)
            rules[name] = over(rows_per_second(name, many_rows(by_rule, demo_rows()), repeats))
        bar.update(task, advance=1, note="contaminate")
        replies = contaminate_speed(many_rows(indexed, demo_rows()), contaminated, min(repeats, 3))
        bar.advance(task)
    return {
        "prompts": prompts,
        "tokens_per_cpu_s": speed,
        "times_faster": over([many / one for many, one in zip(*speed.values(), strict=True)]),
        "memory": memory,
        "memory_grows": over([more["highest"] / less["highest"] for less, more in memory]),
        "rows": by_rule,
        "rows_per_cpu_s": rules,
        "contaminate": {"replies": indexed, "rows": contaminated, **{key: over(v) for key, v in replies.items()}},
    }


def _in_a_process(model: Path, prompts: int) -> dict[str, int]:
    command = [sys.executable, __file__, "--model", str(model), "--memory-of", str(prompts), "--quick", "--out", "-"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise SystemExit(f"sampling {prompts} prompts ended with exit code {done.returncode}; what it said is above")
    return json.loads(done.stdout.splitlines()[-1])


def _print(found: dict[str, Any]) -> None:
    from kto_bench import over
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Undesirable answers, on one core")
    for column in ("", "median", "lowest", "highest"):
        table.add_column(column, justify="right" if column else "left")

    def add(name: str, value: dict[str, float], form: str = ",.0f") -> None:
        table.add_row(name, *(format(value[key], form) for key in ("median", "low", "high")))

    for name, values in found["tokens_per_cpu_s"].items():
        add(f"base_sample, {name}, tokens/s", over(values))
    for runs in zip(*found["memory"], strict=True):
        add(f"base_sample, MiB for {runs[0]['prompts']} prompts", over([run["highest"] / MIB for run in runs]))
    for name, values in found["rows_per_cpu_s"].items():
        add(f"{name}, rows/s", values)
    about = found["contaminate"]
    add(f"contaminate, s to index {about['replies']:,} replies", about["index_s"], ".1f")
    add("contaminate, then rows/s", about["rows_per_s"])
    Console().print(table)


if __name__ == "__main__":
    run(main)
