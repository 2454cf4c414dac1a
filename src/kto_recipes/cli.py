"""What every script in scripts/ shares: how it starts, and how it stops on a person's mistake."""

import signal
import sys
from collections.abc import Callable

import typer

from kto_recipes.errors import UserError


def run(main: Callable[..., None]) -> None:
    """Run `main` as a command-line program; a `UserError` ends it with one message and exit code 2."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped, too
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
