"""Shows how far the sending is: a bar for a person at a terminal, a log line every few seconds for everyone else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from producers import sending

#: Seconds between two log lines.
_LOG_EVERY: Final = 5.0

#: Logs a constant event with numbers; ``structlog``'s bound ``info`` fits.
Log = Callable[..., object]


class Bar:
    """A bar with the rate reached, the rate wanted and the time left."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._started = time.monotonic()

    def expect(self, total: int | None) -> None:
        """How many messages there will be; None: no end is known."""
        self._progress.update(self._task, total=total)
        self._started = time.monotonic()

    def update(self, sent: int) -> None:
        """So many messages have been handed to the writer."""
        seconds = time.monotonic() - self._started
        self._progress.update(self._task, completed=sent, rate=f"{sent / seconds:,.0f}/s" if seconds > 0 else "")


class LogLines:
    """A line every few seconds."""

    def __init__(self, log: Log, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._total: int | None = None
        self._last = (monotonic(), 0)

    def expect(self, total: int | None) -> None:
        """How many messages there will be; None: no end is known."""
        self._total = total

    def update(self, sent: int) -> None:
        """So many messages have been handed to the writer."""
        now = self._monotonic()
        since, before = self._last
        if now - since >= _LOG_EVERY:
            self._log("sending", sent=sent, total=self._total, rate=round((sent - before) / (now - since)))
            self._last = (now, sent)


@contextmanager
def shown(console: Console, log: Log, *, title: str, rate: float | None) -> Iterator[sending.Progress]:
    """The progress that fits the console: a bar on a terminal, log lines elsewhere."""
    if not console.is_terminal:
        yield LogLines(log)
        return
    wanted = "" if rate is None else f"of {rate:,.0f}/s wanted"
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn(wanted),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(title, total=None, rate=""))
