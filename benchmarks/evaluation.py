"""How fast are held-out rows evaluated? In batches by length against one row at a time.

    python scripts/make_tiny_model.py && python benchmarks/evaluation.py

What `make eval` asks of a model, three times as of base, SFT and KTO model: log-probabilities of 500 held-out rows and
of as many mismatched pairs, a greedy reply and two sampled ones to each of their 250 prompts, and what those samples
score. In batches for all rows, and one at a time for every tenth, in turn in one process; in rows for each CPU second
on one thread, loading not counted. The model is the demo's tiny one, the rows are of the demo's words and lengths.
First the numbers of both ways are compared. Writes benchmarks/results/evaluation.json.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Annotated, Any

import typer
from demo_model import TINY, measured_model, refuse_in_vain

from kto_recipes.cli import run

RESULTS = Path(__file__).parent / "results"
MODELS = ("base", "sft", "kto")
SIDES = ("batched", "one by one")
FULL, QUICK = (500, 10), (40, 5)  # rows, and of how many one is evaluated by itself
SAME_WITHIN = 1e-3  # nats, in float32


def main(
    model: Annotated[Path, typer.Option(help="The folder of the model that is evaluated.")] = TINY,
    quick: Annotated[bool, typer.Option(help="Few rows and a random model, to see that it works.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
) -> None:
    """Held-out rows a second, in batches and one by one."""
    refuse_in_vain(model, quick=quick, out=out)
    import torch
    from kto_bench import environment

    from kto_recipes.files import write_json

    torch.set_num_threads(1)
    with measured_model(model, quick=quick) as folder:
        found = _measured(folder, *(QUICK if quick else FULL))
    record = environment()
    write_json(out or RESULTS / "evaluation.json", record | found)
    _print(found)
    faster = found["times_faster"]
    print(
        f"{found['rows']} held-out rows are evaluated three times at {faster['median']:.1f} ({faster['low']:.1f}–"
        f"{faster['high']:.1f}) times the rows a second of one row at a time: {record['command']}"
    )
    if found["difference"] > SAME_WITHIN:
        sys.exit(f"the log-probabilities of both ways differ by {found['difference']:.2g} nats")


def _measured(folder: Path, count: int, one_of: int) -> dict[str, Any]:
    from kto_bench import over
    from negatives_jobs import RECIPE, demo_rows, many_rows

    from kto_recipes.evaluate.measure import EvalSettings
    from kto_recipes.generation import load
    from kto_recipes.progress import progress_bar

    rows = held_out(many_rows(count // 2, demo_rows()))
    # Both answers to every tenth prompt: as long as the others.
    some = [row for number, row in enumerate(rows) if number // 2 % one_of == 0]
    settings, runs = EvalSettings(), {side: [] for side in SIDES}
    difference = 0.0
    with progress_bar() as bar:
        task = bar.add_task("evaluation", total=len(MODELS) * len(SIDES), note="")
        for number, name in enumerate(MODELS):
            loaded = load(str(folder), RECIPE)
            if number == 0:
                difference = largest_difference(loaded, some)
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                bar.update(task, note=f"{name}, {side}")
                asked, size = (rows, None) if side == "batched" else (some, 1)
                runs[side].append({"rows": len(asked), **seconds_of(loaded, asked, settings, size)})
                bar.advance(task)
    rate = {side: [it["rows"] / sum(it["seconds"].values()) for it in runs[side]] for side in SIDES}
    return {
        "rows": len(rows),
        "prompts": len(rows) // 2,
        "samples_per_prompt": settings.samples_per_prompt,
        "max_new_tokens": settings.max_new_tokens,
        "runs": runs,
        "rows_per_cpu_s": rate,
        "times_faster": over([many / one for many, one in zip(*rate.values(), strict=True)]),
        "difference": difference,
    }


def held_out(good: list[Any]) -> list[Any]:
    """Each row and, next to it, the same prompt with another row's answer as an undesirable one."""
    rotated = good[-1:] + good[:-1]
    return [
        row
        for one, other in zip(good, rotated, strict=True)
        for row in (one, {**one, "completion": other["completion"], "label": False})
    ]


def seconds_of(loaded: Any, rows: list[Any], settings: Any, size: int | None) -> dict[str, Any]:
    """CPU seconds of each part of an evaluation, and tokens said; `size` rows at a time, by default as `make eval`."""
    from kto_recipes.evaluate.measure import logps, repeated, reply_greedily, sample_replies, tokenize_held

    sized: dict[str, int] = {} if size is None else {"batch_size": size}
    held = tokenize_held(loaded, rows, [row["prompt"] for row in rows[::2]])
    seconds: dict[str, float] = {}
    said: list[list[int]] = []

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = process_time()
        done = work()
        seconds[name] = process_time() - start
        return done

    timed("matched", lambda: logps(loaded, held.matched, _silent, **sized))
    timed("mismatched", lambda: logps(loaded, held.mismatched, _silent, **sized))
    timed("greedy", lambda: reply_greedily(loaded, held.prompts, settings, _silent, **sized))
    said = timed("sampled", lambda: sample_replies(loaded, held.prompts, settings, _silent, **sized))
    pairs = list(zip(repeated(held.prompts, settings), said, strict=True))
    timed("scored", lambda: logps(loaded, pairs, _silent, **sized))
    return {"seconds": seconds, "tokens_sampled": sum(map(len, said))}


def largest_difference(loaded: Any, rows: list[Any]) -> float:
    """Between the log-probabilities (nats) of rows scored in batches and one by one; also warms both up."""
    from kto_recipes.evaluate.measure import logps, tokenize_held

    held = tokenize_held(loaded, rows, [])
    together, alone = logps(loaded, held.matched, _silent), logps(loaded, held.matched, _silent, batch_size=1)
    return float(abs(together - alone).max())


def _silent(_: int) -> None:
    """Progress within a side that nobody watches."""


def _print(found: dict[str, Any]) -> None:
    from kto_bench import over
    from rich.console import Console
    from rich.table import Table

    table = Table("", "median", "lowest", "highest", title="Held-out rows a second, on one core")
    for side, values in found["rows_per_cpu_s"].items():
        rate = over(values)
        table.add_row(side, *(f"{rate[key]:,.2f}" for key in ("median", "low", "high")))
    for part in found["runs"]["batched"][0]["seconds"]:
        each = {
            side: [it["rows"] / it["seconds"][part] for it in found["runs"][side]] for side in found["rows_per_cpu_s"]
        }
        times = over([many / one for many, one in zip(*each.values(), strict=True)])
        table.add_row(f"times faster, {part}", *(f"{times[key]:.1f}" for key in ("median", "low", "high")))
    Console().print(table)


if __name__ == "__main__":
    run(main)
