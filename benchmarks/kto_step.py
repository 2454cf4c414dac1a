"""How much faster is a KTO step than stock TRL's? CPU seconds for each real token, both trainers in one process.

    python benchmarks/kto_step.py
    python benchmarks/kto_step.py --ablation --model body --model v32k
    python benchmarks/kto_step.py --checkpointing

Small Llamas in float32 on one thread, micro-batch 8, row lengths of HH-RLHF (hh_lengths.json). Ours has the recipes'
settings. Stock has its rows in random order, ours in its buckets; their micro-batches alternate, so that what else the
machine does hits both alike. An alternation is some micro-batches of each side, of all sizes, with as much padding and
completion as all of them have; a figure is the median over alternations, with the lowest and the highest. Writes
benchmarks/results/kto_step.json, --ablation kto_ablation.json, --checkpointing kto_checkpointing.json.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from kto_recipes.cli import run

RESULTS = Path(__file__).parent / "results"
# Micro-batches of each side an alternation: random batches differ in padding, so that fewer scatter more.
BATCHES = {"body": 5, "v32k": 5, "v128k": 3}
QUICK_BATCHES = 2
ALONE = {
    "precompute_ref": ["precompute_ref"],
    "length_buckets": ["length_buckets"],
    "fused_logps": ["fused_logps"],
    "fused_lora": ["fused_lora"],
    "fused_logps, prefix_kl": ["fused_logps", "prefix_kl"],  # which works on the fused head's passes alone
}


def main(
    model: Annotated[list[str] | None, typer.Option(help="body, v32k, v128k; all by default.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="lora, full; both by default, v128k lora alone.")] = None,
    alternations: Annotated[int, typer.Option(min=2, help="How many.")] = 5,
    ablation: Annotated[bool, typer.Option(help="Each setting by itself as well.")] = False,
    checkpointing: Annotated[bool, typer.Option(help="Gradient checkpointing, as in the recipes for GPUs.")] = False,
    quick: Annotated[bool, typer.Option(help="Few short rows, to see that it works; needs --out.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
) -> None:
    """CPU seconds of KTO's training_step for each real token: stock TRL against FastKTOTrainer."""
    from kto_recipes.errors import UserError

    if quick and out is None:
        raise UserError("--quick says nothing about speed: name a file for its results with --out")
    for option, names, known in (("model", model, BATCHES), ("method", method, ("lora", "full"))):
        for name in names or []:
            if name not in known:
                raise UserError(f'--{option} "{name}": it is one of {", ".join(known)}')
    in_part = quick or ablation or checkpointing
    configurations = [
        (name, how)
        for name in model or (["body"] if in_part else BATCHES)
        for how in method or (["lora"] if in_part or name == "v128k" else ["lora", "full"])
    ]
    name = "kto_ablation" if ablation else "kto_checkpointing" if checkpointing else "kto_step"
    how = {
        "alternations": 2 if quick else alternations,
        "variants": _variants(ablation),
        "checkpointing": checkpointing,
        "quick": quick,
    }
    found = _measure(configurations, how, out or RESULTS / f"{name}.json")
    _print(found)
    agree = all(result["losses_agree"] for result in found)
    if not agree:
        print("the losses differ from stock's by more than they may: see the last column")
    print(_last_line(found[0]))
    raise SystemExit(0 if agree else 1)


def _measure(configurations: list[tuple[str, str]], how: dict[str, Any], out: Path) -> list[dict[str, Any]]:
    """Every configuration's figures, measured as `how` says and written to `out` after each of them."""
    from kto_recipes.generation import quiet

    quiet()
    import torch
    from kto_bench import environment
    from step_jobs import Plan, measured

    from kto_recipes.files import write_json
    from kto_recipes.progress import progress_bar

    torch.set_num_threads(1)
    record = environment() | {"interval": "the lowest and the highest alternation"}
    found: list[dict[str, Any]] = []
    with progress_bar() as bar:
        for model, method in configurations:
            task = bar.add_task(f"{model} {method}", total=None, note="preparing")
            plan = Plan(model, method, batches=QUICK_BATCHES if how["quick"] else BATCHES[model], **how)

            def advance(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total, note="")

            found.append(measured(plan, advance))
            write_json(out, record | {"configurations": found})
    return found


def _variants(ablation: bool) -> dict[str, dict[str, bool]]:
    """What is changed of the recipes' settings; each setting by itself before."""
    off = {name: False for names in ALONE.values() for name in names}
    alone = {title: off | dict.fromkeys(names, True) for title, names in ALONE.items()}
    return (alone if ablation else {}) | {"ours": {}, "without prefix_kl": {"prefix_kl": False}}


def _print(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, 116)
    table = Table(title="CPU time of KTO for each real token, and how many times faster than stock TRL")
    for column in ("", "ms a token", "one step", "three epochs", "SFT steps", "loss differs by"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for result in found:
        of_sft = result["of_sft_step"]
        name = f"stock, {result['model']} {result['method']}"
        table.add_row(name, _milliseconds(result, "stock"), "1", "1", _range(of_sft["stock"]), "")
        for name, speed_up in result["speed_up"].items():
            figures = (_range(speed_up["step"]), _range(speed_up["three_epochs"]), _range(of_sft[name]))
            table.add_row(name, _milliseconds(result, name), *figures, f"{result['loss_difference'][name]:.0e}")
        table.add_section()
    console.print(table)


def _last_line(result: dict[str, Any]) -> str:
    from kto_bench import environment

    figures = {name: _range(found["three_epochs"]) for name, found in result["speed_up"].items()}
    return (
        f"{result['model']} {result['method']}, three epochs with the reference pass: {figures['ours']} times stock's "
        f"tokens a CPU second, {figures['without prefix_kl']} without prefix_kl, {len(result['samples']['stock'])} "
        f"alternations: {environment()['command']}"
    )


def _milliseconds(result: dict[str, Any], name: str) -> str:
    from statistics import median

    return f"{1000 * median(result['samples'][name]):.2f}"


def _range(figure: dict[str, float]) -> str:
    return f"{figure['median']:.2f} ({figure['low']:.2f}–{figure['high']:.2f})"


if __name__ == "__main__":
    run(main)
