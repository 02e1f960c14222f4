"""Prints the findings for people, and shows meanwhile which parts are being examined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.native.doctor.finding import Finding, summary

_MARKS = {"ok": "[green]✓[/green]", "idle": "[dim]·[/dim]", "note": "[yellow]![/yellow]", "wrong": "[bold red]✗[/bold red]"}
#: Parts that are named while they are examined.
_SHOWN = 3


def print_findings(findings: list[Finding], *, console: Console) -> None:
    """Print the findings as a table, and the remedies below it."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        since = "" if finding.since is None else f" (since {finding.since:%Y-%m-%d %H:%M} UTC)"
        table.add_row(_MARKS[finding.state], finding.part, escape(f"{finding.says}{since}"))
    console.print(table)
    for finding in findings:
        if finding.state != "ok" and finding.remedy:
            console.print(f"{_MARKS[finding.state]} {finding.part}: {escape(finding.remedy)}", highlight=False)
    console.print(summary(findings), highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[Sequence[str]], None]]:
    """Show on a terminal which parts are still being examined: yields a function that takes their names.

    Silent without a terminal.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Examining ...") as status:

        def show(parts: Sequence[str]) -> None:
            named = ", ".join(parts[:_SHOWN]) + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")
            status.update(escape(f"Examining {named} ..."))

        yield show
