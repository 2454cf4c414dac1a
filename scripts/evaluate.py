"""Evaluate a run on its held-out rows: rewards, KL, length, variety, repetition, refusals and persona style.

    python scripts/evaluate.py outputs/tiny-llama-lora--chat-like-me

Reads the run's YAML files, its held-out rows and its models; writes held_out.jsonl, samples.jsonl and, last,
eval.json. What was measured is kept in eval/ of the run's folder, so that a killed evaluation goes on where it
stopped. Does nothing when all was done already for the same models and rows.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run as run_command


def main(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    samples: Annotated[int | None, typer.Option(help="Replies sampled for each held-out prompt.", min=1)] = None,
) -> None:
    """Evaluate a run on its held-out rows: rewards, KL, length, variety, repetition, refusals and persona style."""
    from kto_recipes.evaluate.measure import EvalSettings
    from kto_recipes.evaluate.run import RESULT, evaluate_run
    from kto_recipes.files import read_json
    from kto_recipes.progress import tasks

    with tasks() as start_task:
        settings = EvalSettings() if samples is None else EvalSettings(samples_per_prompt=samples)
        wrote = evaluate_run(run, settings, start_task)
    if wrote:
        for sentence in read_json(run / RESULT).get("missing", {}).values():
            print(f"not measured: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
