"""What a page is sent with, and the look of those on which a person judges answers."""

from pathlib import Path

from kto_recipes.report.inputs import PACKAGE as REPORT

_SHEETS = (REPORT / "style.css", Path(__file__).with_name("page.css"))
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # an address may hold a token
    "X-Content-Type-Options": "nosniff",
}


def style(*own: Path) -> str:
    """A report's style sheet, what pages for judging have beyond it, and a page's own."""
    return "".join(path.read_text("utf-8") for path in (*_SHEETS, *own))
