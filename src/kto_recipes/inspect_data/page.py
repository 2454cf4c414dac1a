"""The inspection as one HTML file, in the look of a run's report."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from kto_recipes.files import write_text
from kto_recipes.inspect_data import view
from kto_recipes.inspect_data.inspection import Inspection
from kto_recipes.inspect_data.shortcuts import FEATURES
from kto_recipes.report.inputs import PACKAGE as REPORT
from kto_recipes.report.page import PLOTLY, script, template
from kto_recipes.report.tables import moment

PACKAGE = Path(__file__).parent
PAGE = "inspect.html"


def write_page(folder: Path, inspection: Inspection) -> Path:
    """Write `folder`/inspect.html, which needs no other file and loads nothing."""
    text = template(PACKAGE / "page.html.j2").render(context(inspection))
    write_text(folder / PAGE, text)
    return folder / PAGE


def context(inspection: Inspection) -> dict[str, Any]:
    """Everything the template shows."""
    return {
        "name": inspection.name,
        "summary": summary(inspection),
        "findings": inspection.findings,
        "advice": inspection.advice,
        "classes": view.classes(inspection),
        "facts": view.facts(inspection),
        "audit": view.audit(inspection),
        "audit_caption": view.audit_caption(inspection),
        "features": list(FEATURES.values()),
        "lengths": view.lengths(inspection),
        "lengths_caption": view.lengths_caption(inspection),
        "turns": view.turns(inspection),
        "languages": view.languages(inspection),
        "completions": inspection.repeats.completions,
        "plots": view.plots(inspection),
        "style": Markup((REPORT / "style.css").read_text() + (PACKAGE / "style.css").read_text()),
        "scripts": [script(PLOTLY), script(PACKAGE / "page.js")],
    }


def summary(inspection: Inspection) -> str:
    train, manifest = inspection.train, inspection.manifest
    made = f", prepared {moment(manifest['created'])}" if manifest.get("created") else ""
    recipe = f" Judged for the recipe {inspection.recipe.name}." if inspection.recipe else ""
    held_out = f", {inspection.held_out.rows:,} held out" if inspection.held_out else ", none held out"
    return f"{train.rows:,} rows to train on{held_out}; {train.path.name}{made}.{recipe}"
