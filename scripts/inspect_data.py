"""Say what is in prepared data before they are trained on: balance, lengths, repeats, shortcuts, and what they suggest.

    python scripts/inspect_data.py datasets/chat-like-me --recipe recipes/tiny-llama-lora

Reads kto.{train,eval}.jsonl of a dataset or of a run's data (positives.… where there are only good answers);
writes inspect.html beside them and prints the same on one screen.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run


def main(
    folder: Annotated[Path, typer.Argument(help="A prepared folder: datasets/<dataset> or outputs/<run>/data.")],
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe's folder; its tokenizer counts lengths, else words are counted.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every sample.")] = 0,
) -> None:
    """Say what is in prepared data before they are trained on."""
    import sys

    from rich.console import Console

    with Console(file=sys.stderr).status(f"reading {folder}"):
        from kto_recipes.inspect_data.console import print_inspection
        from kto_recipes.inspect_data.inspection import inspect_folder
        from kto_recipes.inspect_data.page import write_page

        inspection = inspect_folder(folder, recipe, seed)
        page = write_page(folder, inspection)
    print_inspection(inspection)
    print(f"\nthe rules and their sources, curves, and what differs most: {page}")


if __name__ == "__main__":
    run(main)
