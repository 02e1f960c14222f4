"""Shows the phases of a run: a line for each when it is over, bars meanwhile; and reads JSON answers of processes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from domain.errors import UnavailableError
from producers.sending.progress import TargetRate


@contextmanager
def phase(title: str, *, console: Console) -> Iterator[None]:
    """Print, when the block ends, what was done and how long it took; the block shows its own progress meanwhile."""
    begun = time.monotonic()
    yield
    console.print(f"[green]✓[/green] {title} [dim]({time.monotonic() - begun:.1f} s)[/dim]", highlight=False)


def steps(console: Console) -> Progress:
    """Bars that disappear when they are over."""
    columns = (TextColumn("    {task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True)


class SentBar:
    """Shows how many messages were sent; implements the ``Progress`` of ``producers``."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("produced", total=None)

    def expect(self, total: int | None) -> None:
        """Show the total number of messages."""
        self._bar.update(self._task, total=total)

    def set_target(self, target: TargetRate) -> None:
        """The target rate is not displayed."""

    def update(self, sent: int) -> None:
        """Show how many have been sent."""
        self._bar.update(self._task, completed=sent)


def verdict_panel(lines: Sequence[str], *, passed: bool, seconds: float) -> Panel:
    """The panel at the end of a run: whether it passed, what was compared, and how long it took."""
    return Panel(
        "\n".join(lines),
        title="[bold green]Passed[/bold green]" if passed else "[bold red]Failed[/bold red]",
        subtitle=f"{seconds:.0f} s in all",
        border_style="green" if passed else "red",
        title_align="left",
    )


def json_of(client: httpx.Client, url: str, **parameters: str) -> Any:
    """The JSON that ``url`` answers.

    Raises:
        UnavailableError: there is no valid answer.
    """
    try:
        answer = client.get(url, params=parameters)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(f"{url} does not answer: {error}.", remedy="See the logs of the stack.") from error
