"""The results as a small table for the terminal."""

from pathlib import Path

from kto_recipes.report.inputs import read_object
from kto_recipes.report.metrics import Cell, comparison

ONE_LINE_WIDTH = 120  # narrower, an interval stands under its value

LABEL_WIDTH = 11  # of the longest word of a label; four intervals beside it fit 80 columns


def print_results(folder: Path) -> None:
    """Print the table of `folder`/eval.json, or one line that says there is none."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    evaluation = read_object(folder / "eval.json")
    if evaluation is None:
        console.print(f"no {folder / 'eval.json'}; nothing was evaluated", markup=False, soft_wrap=True)
        return
    results = comparison(evaluation)
    caption = "95 % intervals in brackets; rewards, margin and KL in nats"
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption=caption,
        caption_justify="left",
    )
    table.add_column("", min_width=LABEL_WIDTH)
    for column in results.columns:
        table.add_column(column, justify="right", no_wrap=True)
    between = " " if console.width >= ONE_LINE_WIDTH else "\n"
    for row in results.rows:
        table.add_row(row.label, *(_text(cell, between) for cell in row.cells))
    # Rich would cut numbers off where the terminal is too narrow for them; let the terminal wrap the lines
    unlimited = console.options.update(max_width=1000)
    console.width = max(console.width, console.measure(table, options=unlimited).minimum)
    console.print(table)


def _text(cell: Cell, between: str) -> str:
    from rich.markup import escape

    return escape(f"{cell.value}{between}{cell.interval}" if cell.interval else cell.value)
