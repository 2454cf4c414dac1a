"""Say what would go wrong with a recipe, its data and this machine, before a GPU hour is spent.

    python scripts/doctor.py --recipe recipes/tiny-llama-lora --dataset datasets/chat-like-me \
        --run outputs/tiny-llama-lora--chat-like-me --price 2.0

Reads the recipe, the prepared data and what the machine says; trains two steps in outputs/<run>/doctor/ and removes
them. Prints a table; the exit code is 2 when an error stands.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run as run_command


def main(
    recipe: Annotated[Path, typer.Option(help="The recipe's folder.")],
    dataset: Annotated[Path, typer.Option(help="The prepared dataset's folder.")],
    run: Annotated[Path, typer.Option(help="The run's folder.")],
    price: Annotated[float | None, typer.Option(help="What the machine costs, in dollars an hour.", min=0)] = None,
    smoke: Annotated[bool, typer.Option(help="Whether to train two steps, which takes a minute or more.")] = True,
    gpus: Annotated[int, typer.Option(envvar="GPUS", help="How many GPUs are to train.", min=1)] = 1,
) -> None:
    """Say what would go wrong with a recipe, its data and this machine, before a GPU hour is spent."""
    import os
    import sys

    from rich.console import Console

    from kto_recipes.doctor.plan import Plan
    from kto_recipes.doctor.run import examine
    from kto_recipes.doctor.table import print_findings
    from kto_recipes.errors import UserError

    os.environ["GPUS"] = str(gpus)  # how the training stages are told
    plan = Plan(recipe, dataset, run, gpus, price)
    with Console(file=sys.stderr).status("doctor") as status:
        findings = examine(plan, lambda what: status.update(f"doctor: {what}"), smoke=smoke)
    print_findings(findings)
    wrong = list(dict.fromkeys(finding.check for finding in findings if finding.status == "error"))
    if wrong:
        raise UserError(f"{recipe.name} is not ready to run: {', '.join(wrong)}")


if __name__ == "__main__":
    run_command(main)
