"""Copy a recipe to a folder of your own, with its edit block filled in for your dataset.

    python scripts/copy_recipe.py --source llama-3.1-8b-lora --dataset mine --name my-llama

Reads recipes/<source>/ and, where there is one, the dataset's manifest (for the class weights); writes
recipes/<name>/, whole or not at all, and never over a folder that is there.
"""

from typing import Annotated

import typer

from kto_recipes.cli import run


def main(
    source: Annotated[str, typer.Option(help="The recipe to copy: a folder in recipes/.")],
    dataset: Annotated[str, typer.Option(help="The dataset it is for: a folder in datasets/.")],
    name: Annotated[str, typer.Option(help="The new recipe's name.")],
) -> None:
    """Copy a recipe to a folder of your own, with its edit block filled in for your dataset."""
    from kto_recipes.recipe.copy import copy_recipe

    print(f"{copy_recipe(source, dataset, name)}: written; edit what you like there, then")
    print(f"  make check RECIPE={name} DATASET={dataset}")
    print(f"  make report RECIPE={name} DATASET={dataset}")


if __name__ == "__main__":
    run(main)
