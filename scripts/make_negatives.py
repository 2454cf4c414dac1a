"""Make undesirable answers for a dataset that has only good ones, with a run's own base model.

Which strategies make them, and how many each, stands under negatives: in the dataset's dataset.yaml. A dataset that
has undesirable answers of its own is taken over as it is.

    python scripts/make_negatives.py --recipe recipes/tiny-llama-lora --dataset datasets/chat-like-me \
        --out outputs/tiny-llama-lora--chat-like-me/data

Reads the prepared dataset and the recipe's first stage; writes kto.{train,eval}.jsonl and, last, manifest.json
with the final counts, class weights and the shortcut audit. Answers of models are kept as they come in
answers-<strategy>.jsonl, so that a killed run goes on where it stopped. Does nothing when all was done already from
the same content.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run


def main(
    recipe: Annotated[Path, typer.Option(help="The recipe's folder; its base model is what is sampled.")],
    dataset: Annotated[Path, typer.Option(help="The prepared dataset's folder.")],
    out: Annotated[Path, typer.Option(help="The run's data folder.")],
    match_length: Annotated[
        bool,
        typer.Option(
            "--match-length",
            help="Make more answers and keep those as long as the good ones. To have it always: match_length: true "
            "under negatives: in dataset.yaml.",
        ),
    ] = False,
) -> None:
    """Make undesirable answers for a dataset that has only good ones, with a run's own base model."""
    from kto_recipes.files import read_json
    from kto_recipes.negatives.console import print_made
    from kto_recipes.negatives.make import make_run_data
    from kto_recipes.progress import tasks
    from kto_recipes.recipe import load_recipe
    from kto_recipes.settings import load_settings

    sft = recipe / "sft.yaml"  # a recipe without SFT starts KTO from the base model
    first = load_recipe(sft if sft.is_file() else recipe / "kto.yaml")
    settings = load_settings(dataset / "dataset.yaml")
    if match_length and settings.negatives is not None:
        settings.negatives.match_length = True
    with tasks() as start_task:
        made = make_run_data(
            dataset, out, first, settings, lambda strategy, rows: start_task(strategy.replace("_", " "), rows)
        )
    if made:
        manifest = read_json(out / "manifest.json")
        if "audit" in manifest:
            print_made(manifest)
        weights = manifest["weights"]
        print(
            f"{out}: {weights['n_desirable']} desirable and {weights['n_undesirable']} undesirable answers to train "
            f"on; weights {weights['desirable']:g} and {weights['undesirable']:g}, ratio {weights['ratio']:g}"
        )


if __name__ == "__main__":
    run(main)
