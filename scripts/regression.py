"""Check whether training broke what the model could do before, with lm-evaluation-harness's tasks.

    python scripts/regression.py outputs/tiny-llama-lora--chat-like-me
    python scripts/regression.py outputs/<run> --tasks arc_easy,winogrande --limit 500 --models sft,kto
    python scripts/regression.py outputs/<run> --include-path my-tasks

Reads the run's models; writes regression.json, which the report shows, and prints its table. What was measured is kept
in regression/ of the run's folder: a check that was killed goes on where it stopped, and one that is current does
nothing.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run as run_command


def main(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    tasks: Annotated[str | None, typer.Option(help="Names of the harness, as in arc_easy,gsm8k.")] = None,
    include_path: Annotated[Path | None, typer.Option(help="A folder of tasks of yours (YAML).")] = None,
    limit: Annotated[int | None, typer.Option(help="Rows of each task at most.", min=1)] = None,
    models: Annotated[str | None, typer.Option(help="Of base,sft,kto (default: all the run has).")] = None,
) -> None:
    """Check whether training broke what the model could do before, with lm-evaluation-harness's tasks."""
    os.environ["TQDM_DISABLE"] = "1"  # the harness has bars of its own; read where tqdm is imported
    from kto_recipes import progress
    from kto_recipes.regression.console import print_checked
    from kto_recipes.regression.run import RESULT, Asked, check_regression

    with progress.tasks() as start_task:
        asked = Asked(_names(models), _names(tasks), include_path, limit)
        checked = check_regression(run, asked, start_task)
    if checked.wrote and checked.notice is not None:
        print(checked.notice, file=sys.stderr)
    print_checked(run / RESULT)


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip()) or None


if __name__ == "__main__":
    run_command(main)
