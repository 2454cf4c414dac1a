"""Bring the README's recipe table up to date with the recipes' headers.

    python scripts/recipe_table.py

Reads the header of every recipes/*/kto.yaml; writes the table in README.md where it changed.
"""

from pathlib import Path

from kto_recipes.cli import run


def main() -> None:
    """Bring the README's recipe table up to date with the recipes' headers."""
    from kto_recipes.files import write_text_if_changed
    from kto_recipes.recipe.table import recipe_table, with_table

    readme = Path("README.md")
    if write_text_if_changed(readme, with_table(readme.read_text(encoding="utf-8"), recipe_table(Path("recipes")))):
        print(f"{readme}: the recipe table was brought up to date")


if __name__ == "__main__":
    run(main)
