"""The README's recipe table, made from the recipes' headers."""

from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.recipe.text import recipe_header

BEGIN, END = "<!-- recipes: make recipe-table -->\n", "<!-- end of recipes -->\n"


def recipe_table(recipes: Path) -> str:
    """One row for each recipe folder, told by the header of its kto.yaml."""
    rows = ["| recipe | goal | needs | measured |", "|---|---|---|---|"]
    for path in sorted(recipes.glob("*/kto.yaml")):
        header = recipe_header(path)
        name = path.parent.name
        rows.append(f"| [`{name}`](recipes/{name}) | {header['Goal']} | {header['Needs']} | {header['Measured']} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, table: str) -> str:
    """`readme` with what stands between its two marks replaced by `table`.

    Raises:
        UserError: when a mark is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"README.md: the lines {BEGIN.strip()!r} and {END.strip()!r} must stand around the table")
    return f"{before}{begin}{table}{end}{after}"
