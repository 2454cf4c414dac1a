"""Say what is wrong with a recipe and its data, in seconds, before anything is loaded or downloaded.

    python scripts/check_recipe.py llama-3.1-8b-lora

Reads the recipe and the local files that it names; writes nothing. Ends with exit code 2 where there is an error.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run

_MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


def main(
    recipe: Annotated[str, typer.Argument(help="A recipe of recipes/, or any folder or YAML file.")],
) -> None:
    """Say what is wrong with a recipe and its data, in seconds, before anything is loaded or downloaded."""
    from kto_recipes.doctor.first_pass import first_pass

    paths = _recipe_files(recipe)
    worst = [_print(path, first_pass(path)) for path in paths]
    clean = [str(path) for path, status in zip(paths, worst, strict=True) if status == "ok"]
    if clean:
        print(f"nothing wrong with {' and '.join(clean)}")
    if "error" in worst:
        raise typer.Exit(2)


def _recipe_files(name: str) -> list[Path]:
    from kto_recipes.errors import UserError

    given = Path(name) if Path(name).exists() else Path("recipes") / name
    if given.is_file():
        return [given]
    found = [path for path in (given / "sft.yaml", given / "kto.yaml") if path.is_file()]
    if not found:
        known = sorted(path.parent.name for path in Path("recipes").glob("*/kto.yaml"))
        raise UserError(
            f"{name}: no YAML file and no folder with kto.yaml or sft.yaml; the recipes here are: "
            f"{', '.join(known) or 'none'}"
        )
    return found


def _print(path: Path, findings: list) -> str:
    """Print the findings on one recipe file; the answer is the worst status among them."""
    print(path)
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        print(f"  {_MARKS[finding.status]} {finding.check:<{width}}  {finding.message}")
        if finding.advice:
            print(f"    {'':<{width}}  {finding.advice}")
    return max((finding.status for finding in findings), key=list(_MARKS).index, default="ok")


if __name__ == "__main__":
    run(main)
