"""The findings as a table for the terminal, and the verdict under it."""

from collections import Counter
from collections.abc import Iterable

from kto_recipes.doctor.finding import Finding

_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


def print_findings(findings: list[Finding]) -> None:
    """Print one row for each finding, what to do under what was found, and one line with the verdict."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("what was found, and → what to do", overflow="fold")
    for finding in findings:
        advice = f"\n→ {escape(finding.advice)}" if finding.advice else ""
        table.add_row(_MARKS[finding.status], finding.check, escape(finding.message) + advice)
    # Rich would cut a path off where the terminal is too narrow for it; let the terminal wrap the line
    unlimited = console.options.update(max_width=1000)
    console.width = max(console.width, console.measure(table, options=unlimited).minimum)
    console.print(table)
    console.print(f"\n{verdict(findings)}", markup=False, soft_wrap=True)


def verdict(findings: Iterable[Finding]) -> str:
    """One line: whether to start, how many findings of each kind, how long it takes and what it costs."""
    findings = list(findings)
    counts = Counter(finding.status for finding in findings)
    ready = "not ready" if counts["error"] else "ready"
    cost = next((finding.message for finding in findings if finding.check == "cost"), "time and cost not looked at")
    cost = cost.partition(":")[0]  # why it is unknown stands above
    return (
        f"{ready}: {_count(counts['ok'], 'check')} passed, {_count(counts['warning'], 'warning')}, "
        f"{_count(counts['error'], 'error')}; {cost}"
    )


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
