"""The progress bar that every long stage shows."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

NAME_WIDTH = 16  # so that the bars of one chain stand under each other


def progress_bar() -> Progress:
    """A Rich progress bar on the error stream; tasks may carry a `note`, shown at the end of the line."""
    return Progress(
        TextColumn(f"{{task.description:<{NAME_WIDTH}}}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
