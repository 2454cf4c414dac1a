"""Evaluate a run on its held-out rows: rewards, margin, AUC, KL, reply length and persona style.

    python scripts/evaluate.py outputs/tiny-llama-lora--chat-like-me

Reads the run's YAML files, its held-out rows and its models; writes samples.jsonl and, last, eval.json. Does
nothing when that was done already for the same models and rows.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run as run_command


def main(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    samples: Annotated[int | None, typer.Option(help="Replies sampled for each held-out prompt.", min=1)] = None,
) -> None:
    """Evaluate a run on its held-out rows: rewards, margin, AUC, KL, reply length and persona style."""
    from kto_recipes.evaluate.measure import EvalSettings
    from kto_recipes.evaluate.run import evaluate_run
    from kto_recipes.progress import progress_bar

    with progress_bar() as bar:

        def start_task(name: str, total: int):
            task = bar.add_task(name, total=total, note="")
            return lambda done: bar.advance(task, done)

        evaluate_run(run, EvalSettings() if samples is None else EvalSettings(samples_per_prompt=samples), start_task)


if __name__ == "__main__":
    run_command(main)
