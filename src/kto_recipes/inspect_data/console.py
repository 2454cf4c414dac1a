"""An inspection on one screen of the terminal."""

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from kto_recipes.inspect_data import view
from kto_recipes.inspect_data.inspection import Inspection
from kto_recipes.inspect_data.shortcuts import FEATURES

MOST_TEXT = 60  # of a repeated completion
FIRST_COLUMN = 24  # so that the numbers of two tables stand under each other


def print_inspection(inspection: Inspection) -> None:
    console = Console(highlight=False)
    tables = [_classes(inspection), _lengths(inspection), _facts(inspection), _audit(inspection)]
    advice = _advice(inspection)
    # Rich would cut numbers off where the terminal is too narrow for them; let the terminal wrap the lines
    unlimited = console.options.update(max_width=1000)
    console.width = max(console.width, *(console.measure(it, options=unlimited).minimum for it in [*tables, advice]))
    for table in tables:
        if table.row_count:
            console.print(table)
            console.print()
    console.print("To mend" if inspection.findings else "Nothing to mend was found.", style="bold")
    for finding in inspection.findings:
        console.print(f"[yellow]![/] {escape(finding.message)}")
        if finding.advice:
            console.print(f"  → {escape(finding.advice)}")
    console.print()
    console.print(advice)


def _table(**options) -> Table:
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", **options
    )


def _numbers(title: str, shown: view.Table) -> Table:
    table = _table()
    _add_uncut(table, title, [name for name, _ in shown.rows], justify="left", least=FIRST_COLUMN)
    for i, column in enumerate(shown.columns):
        _add_uncut(table, column, [cells[i] for _, cells in shown.rows])
    for name, cells in shown.rows:
        table.add_row(escape(name), *cells)
    return table


def _add_uncut(table: Table, column: str, cells: list[str], justify: JustifyMethod = "right", least: int = 0) -> None:
    """A column whose cells stay whole, those with a space in them, too."""
    width = max(least, *map(cell_len, [column, *cells]))
    table.add_column(escape(column), justify=justify, no_wrap=True, min_width=width)


def _classes(inspection: Inspection) -> Table:
    return _numbers(inspection.name, view.classes(inspection))


def _lengths(inspection: Inspection) -> Table:
    return _numbers(f"length in {inspection.lengths.unit}", view.lengths(inspection))


def _facts(inspection: Inspection) -> Table:
    table = _table(show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in view.facts(inspection):
        table.add_row(name, escape(value))
    table.add_row("user turns in a prompt", escape(view.one_line(view.turns(inspection))))
    table.add_row("languages of answers", escape(view.one_line(view.languages(inspection))))
    for repeated in inspection.repeats.completions[:1]:
        text = " ".join(repeated.text.split())
        shown = text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
        table.add_row("most repeated completion", escape(f"{repeated.rows:,} × “{shown}”"))
    return table


def _audit(inspection: Inspection) -> Table:
    table = _table()
    rows = view.audit(inspection)
    _add_uncut(table, "told apart by (AUC)", [row.name for row in rows], justify="left", least=FIRST_COLUMN)
    for name in FEATURES.values():
        table.add_column(name.removesuffix(" alone"), justify="right", overflow="fold")
    _add_uncut(table, "compared", [row.compared for row in rows])
    for row in rows:
        cells = [f"[bold yellow]{value}[/]" if is_shortcut else value for value, is_shortcut in row.cells]
        table.add_row(escape(row.name), *cells, row.compared)
    return table


def _advice(inspection: Inspection) -> Table:
    table = _table()
    table.add_column("suggested", no_wrap=True)
    table.add_column("", overflow="fold", style="bold")
    table.add_column("because", overflow="fold")
    for advice in inspection.advice:
        table.add_row(advice.topic, escape(advice.choice), escape(advice.reason))
    return table
