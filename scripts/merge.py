"""Merge a trained adapter into its base model, unless that was done already.

    python scripts/merge.py outputs/tiny-llama-lora--chat-like-me/sft.yaml

Reads the recipe and the adapter in its output_dir; writes output_dir/merged, a plain Transformers model with
its tokenizer and chat template, and merged/done last.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run


def main(yaml: Annotated[Path, typer.Argument(help="The recipe file whose adapter is merged.")]) -> None:
    """Merge a trained adapter into its base model, unless that was done already."""
    from rich.console import Console

    from kto_recipes.stages.merge import merge_stage

    with Console(stderr=True).status(f"{yaml.stem.upper()}: merging the adapter"):
        merged = merge_stage(yaml)
    print(f"{yaml.stem.upper()}: {'adapter merged' if merged else 'was merged already'}")


if __name__ == "__main__":
    run(main)
