"""The progress bar that every long stage shows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

OnDone = Callable[[int], None]  # told how much has been done since it was last told
StartTask = Callable[[str, int], OnDone]  # given a name and an amount of work
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


@contextmanager
def tasks() -> Iterator[StartTask]:
    """What begins a task of a bar, which is shown from its first task on: not before there is something to show."""
    with ExitStack() as shown:
        bar = progress_bar()

        def start_task(name: str, total: int) -> OnDone:
            if not bar.tasks:
                shown.enter_context(bar)
            task = bar.add_task(name, total=total, note="")
            return lambda done: bar.advance(task, done)

        yield start_task
