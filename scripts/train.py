"""Train one stage of a run with Axolotl, unless it was done already; resume it if it was interrupted.

    python scripts/train.py outputs/tiny-llama-lora--chat-like-me/sft.yaml

Reads the recipe and what it names; writes into its output_dir: the model, train.log with everything Axolotl
says, inputs.json, and `done` last.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from kto_recipes.cli import run


def main(
    yaml: Annotated[Path, typer.Argument(help="A recipe file, usually outputs/<run>/sft.yaml or kto.yaml.")],
) -> None:
    """Train one stage of a run with Axolotl, unless it was done already; resume it if it was interrupted."""
    from kto_recipes.progress import progress_bar
    from kto_recipes.stages.train import train_stage

    with progress_bar() as bar:
        task = bar.add_task(yaml.stem.upper(), total=None, note="starting Axolotl")

        def on_log(log: dict[str, Any]) -> None:
            if "loss" in log:
                margin = f"  margin {log['rewards/margins']:.2f}" if "rewards/margins" in log else ""
                bar.update(
                    task,
                    completed=log["step"],
                    total=log["max_steps"],
                    note=f"loss {log['loss']:.3f}{margin}",
                )

        how = train_stage(yaml, on_log)
    print(f"{yaml.stem.upper()}: {how}")


if __name__ == "__main__":
    run(main)
