"""Measure what each GPU recipe costs: peak memory, tokens a second and the time of a step.

    python benchmarks/recipes_gpu.py --recipes llama-3.1-8b-lora qwen2.5-3b-lora --steps 4 --minutes 30

Runs each stage through `axolotl train` as the recipe says, on random weights of the base model's real shape, twice:
with rows as long as the recipe allows (memory at its worst) and with lengths as chats have them. The rewards'
reference, computed once before the steps, is not in the figures. Reads recipes/; writes
recipes/results/<recipe>.json. --quick tries all of this with miniatures on a CPU and writes to --out.
"""

import time
from contextlib import chdir
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kto_recipes.cli import run
from kto_recipes.errors import UserError

if TYPE_CHECKING:
    from recipe_steps import Bench, Job

RESULTS = Path("recipes/results")
QUICK_RECIPE = "qwen2.5-3b-lora-nosft"  # it has one stage, and takes a minute


def main(
    recipes: Annotated[list[str] | None, typer.Option(help="Which, by name; if none, all that need a GPU.")] = None,
    more: Annotated[list[str] | None, typer.Argument(help="More names behind that of --recipes.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps of each measurement; the first does not count.")] = 4,
    minutes: Annotated[float, typer.Option(help="Stop after so many; what is measured by then is kept.")] = 60,
    attention: Annotated[str | None, typer.Option(help="sdpa, where the recipe's own is not to be had.")] = None,
    quick: Annotated[bool, typer.Option(help="Miniatures, on a CPU; says nothing about a GPU.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results files.")] = RESULTS,
) -> None:
    """Measure what each GPU recipe costs: peak memory, tokens a second and the time of a step."""
    deadline = time.monotonic() + 60 * minutes
    if quick and out.resolve() == RESULTS.resolve():
        raise UserError(f"--quick measures miniatures: no figures for {RESULTS}; name another folder with --out")
    names = _names([*(recipes or []), *(more or [])] or [QUICK_RECIPE] * quick)
    import recipe_steps

    from kto_recipes.generation import quiet

    quiet()

    machine = recipe_steps.in_another_process(recipe_steps.find_machine)
    if machine.gpus == 0 and not quick:
        raise UserError("there is no CUDA GPU here; --quick tries the benchmark itself on a CPU")
    jobs = [
        recipe_steps.Job(path.resolve(), lengths)
        for name in names
        for path in sorted(Path("recipes", name).glob("*.yaml"), reverse=True)  # sft before kto
        for lengths in ("full", "mixed")
    ]
    Path("outputs").mkdir(exist_ok=True)
    command = _command(steps, attention, quick)
    with TemporaryDirectory(dir="outputs", prefix="benchmark-") as work:
        bench = recipe_steps.Bench(Path(work).resolve(), machine, steps, quick, attention, deadline)
        _measure_all(bench, jobs, out.resolve(), command)


def _names(asked: list[str]) -> list[str]:
    from kto_recipes.recipe import recipe_header
    from kto_recipes.recipe.text import gpus_needed

    kto = {path.parent.name: path for path in sorted(Path("recipes").glob("*/kto.yaml"))}
    on_gpu = [name for name, path in kto.items() if gpus_needed(recipe_header(path)) > 0]
    for name in asked:
        if name not in on_gpu:
            raise UserError(f'"{name}" is not a recipe for a GPU; these are: {", ".join(on_gpu)}')
    return asked or on_gpu


def _command(steps: int, attention: str | None, quick: bool) -> str:
    flags = f" --steps {steps}" + (f" --attention {attention}" if attention else "") + (" --quick" if quick else "")
    return f"python benchmarks/recipes_gpu.py{flags} --recipes"


def _measure_all(bench: "Bench", jobs: list["Job"], out: Path, command: str) -> None:
    """Measure one job after the other; print what was not, the table and the one line.

    Raises:
        UserError: when a training failed for another reason than memory, or nothing could be measured.
    """
    from rich.console import Console

    from kto_recipes.progress import progress_bar
    from kto_recipes.recipe.results import Result, add_result

    measured: list[tuple[str, Result]] = []
    failed = []
    with progress_bar() as bar, chdir(bench.work):
        for job in jobs:
            name = job.path.parent.name
            what = f"{name}, {job.stage}, {job.lengths} rows"
            obstacle = bench.obstacle(job)
            if obstacle:
                bar.console.print(f"{what}: {obstacle}")
                continue
            task = bar.add_task(job.stage.upper(), total=bench.steps, note=f"{name}, {job.lengths} rows")
            try:
                found = bench.measure(job, lambda done, task=task: bar.update(task, completed=done))
            except UserError as error:
                failed.append(f"{what}: {error}")
                continue
            if found is None:
                bar.console.print(f"{what}: no time left for two steps")
                continue
            result = Result(**found, date=date.today().isoformat(), command=f"{command} {name}")
            add_result(out / f"{name}.json", result)
            measured.append((name, result))
    Console().print(_table(measured))
    if measured:
        print(_line(measured, command))
    if failed or not measured:
        raise UserError("\n".join(failed) or "nothing was measured")


def _table(measured: list[tuple[str, Any]]) -> Any:
    from rich.table import Column, Table

    table = Table(Column("recipe", overflow="fold"), "stage", "rows", "outcome", "peak GiB", "tokens/s", "s a step")
    for name, result in measured:
        numbers = [result.peak_gib, result.tokens_per_s, result.step_s]
        shown = ["" if number is None else f"{number:,.2f}" for number in numbers]
        table.add_row(name, result.stage, result.lengths, result.outcome, *shown)
    return table


def _line(measured: list[tuple[str, Any]], command: str) -> str:
    """The largest of what fitted, in figures, and the command that measures all of it again."""
    again = f"{command} {' '.join(dict.fromkeys(name for name, _ in measured))}"
    fitted = [(name, result) for name, result in measured if result.outcome == "ok"]
    if not fitted:
        return f"out of memory in all of {len(measured)} measurements: {again}"
    name, top = max(fitted, key=lambda pair: pair[1].peak_gib or 0)
    peak = f"{top.peak_gib:.1f} GiB, " if top.peak_gib else ""
    return f"{peak}{top.tokens_per_s:,.0f} tokens/s ({name}, {top.stage}, {top.lengths} rows): {again}"


if __name__ == "__main__":
    run(main)
