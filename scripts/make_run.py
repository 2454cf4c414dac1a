"""Write a run's sft.yaml and kto.yaml: the recipe's, with the edit block filled in for a dataset.

    python scripts/make_run.py --recipe recipes/tiny-llama-lora --dataset datasets/chat-like-me \
        --run outputs/tiny-llama-lora--chat-like-me

Reads the recipe, the dataset's manifest and the manifest of the run's data; writes a file only where its
content changes, so that nothing is trained again for a touched file.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run as run_command


def main(
    recipe: Annotated[Path, typer.Option(help="The recipe's folder.")],
    dataset: Annotated[Path, typer.Option(help="The prepared dataset's folder.")],
    run: Annotated[Path, typer.Option(help="The run's folder.")],
) -> None:
    """Write a run's sft.yaml and kto.yaml: the recipe's, with the edit block filled in for a dataset."""
    from kto_recipes.recipe import refuse_problems
    from kto_recipes.stages.run_files import Run, write_run_files

    for name in ("sft.yaml", "kto.yaml"):
        if (recipe / name).is_file():
            refuse_problems(recipe / name)
    for path in write_run_files(Run(recipe, dataset, run)):
        print(f"{path}: written")


if __name__ == "__main__":
    run_command(main)
