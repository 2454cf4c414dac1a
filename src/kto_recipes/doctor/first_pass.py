"""The first pass over a recipe: its own text and its data, in seconds and on any machine."""

import sys
from pathlib import Path

from kto_recipes.doctor.data import data_findings
from kto_recipes.doctor.finding import Finding, accepted
from kto_recipes.errors import UserError
from kto_recipes.recipe import load_recipe
from kto_recipes.recipe.checks import all_problems, allowed_checks


def first_pass(path: Path) -> list[Finding]:
    """What is wrong with the recipe at `path` and with the data it names; what it allows is a warning.

    Raises:
        UserError: when the file is missing or is not a YAML mapping.
    """
    recipe = load_recipe(path)
    own = [Finding(problem.check, "error", f"{path}: {problem.message}") for problem in all_problems(recipe)]
    return accepted([*own, *data_findings(recipe, str(path))], allowed_checks(recipe))


def refuse_errors(path: Path) -> None:
    """Stop where the first pass finds an error; its warnings are printed, one line each, on the error stream.

    Training is about to begin, so that data still to be prepared are an error here.

    Raises:
        UserError: with one line for each error.
    """
    found = first_pass(path)
    for finding in found:
        if finding.status == "warning" and finding.check != "not_prepared":
            print(f"warning: {one_line(finding)}", file=sys.stderr)
    errors = [finding for finding in found if finding.status == "error" or finding.check == "not_prepared"]
    if errors:
        raise UserError("\n       ".join(map(one_line, errors)))


def one_line(finding: Finding) -> str:
    return f"{finding.message}. {finding.advice}" if finding.advice else finding.message
