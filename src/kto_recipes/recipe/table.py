"""The README's recipe table, made from the recipes' headers and from what was measured."""

from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.recipe.results import read_results, results_file, summary
from kto_recipes.recipe.text import load_recipe, recipe_header

BEGIN, END = "<!-- recipes: make recipe-table -->\n", "<!-- end of recipes -->\n"


def recipe_table(recipes: Path) -> str:
    """One row for each recipe folder, told by the header of its kto.yaml and by its results file, if any."""
    rows = ["| recipe | goal | needs | measured |", "|---|---|---|---|"]
    for path in sorted(recipes.glob("*/kto.yaml")):
        header = recipe_header(path)
        name = path.parent.name
        cells = [f"[`{name}`](recipes/{name})", header["Goal"], header["Needs"], _measured(recipes, path)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _measured(recipes: Path, kto: Path) -> str:
    results = results_file(recipes, kto.parent.name)
    if not results.is_file():
        return recipe_header(kto)["Measured"]
    stages = {path.stem: load_recipe(path) for path in kto.parent.glob("*.yaml")}
    return summary(read_results(results), stages)


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
