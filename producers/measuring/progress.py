"""Shows how far the sending is: a bar for a person at a terminal, a log line every few seconds for everyone else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from producers.sending import stream as sending

#: Seconds between two log lines.
_LOG_EVERY: Final = 5.0
#: The rate reached is that of the last so many seconds.
_RATE_OVER: Final = 2.0

#: Logs a constant event with numbers; ``structlog``'s bound ``info`` fits.
Log = Callable[..., object]
#: The rate wanted at a moment (seconds after the start); None: as many as possible.
Target = Callable[[float], float | None]


class RateProgress(sending.Progress, Protocol):
    """Progress that also shows the wanted rate beside the reached one."""

    def aim_by(self, target: Target) -> None:
        """What to ask for the wanted rate."""
        ...


class NullProgress(sending.NullProgress):
    """Progress that nobody watches."""

    def aim_by(self, target: Target) -> None:
        """Show nothing."""


class Bar:
    """A bar with the rate reached, the rate wanted and the time left."""

    def __init__(self, progress: Progress, task: TaskID, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._task = task
        self._monotonic = monotonic
        self._started = monotonic()
        self._target: Target = lambda _: None
        self._recent: deque[tuple[float, int]] = deque([(self._started, 0)])

    def expect(self, total: int | None) -> None:
        """How many messages there will be; None: no end is known."""
        self._progress.update(self._task, total=total)
        self._started = self._monotonic()
        self._recent = deque([(self._started, 0)])

    def aim_by(self, target: Target) -> None:
        """What to ask for the wanted rate."""
        self._target = target

    def update(self, sent: int) -> None:
        """So many messages have been handed to the writer."""
        now = self._monotonic()
        recent = self._recent
        recent.append((now, sent))
        while len(recent) > 2 and now - recent[0][0] > _RATE_OVER:
            recent.popleft()
        since, before = recent[0]
        wanted = self._target(now - self._started)
        reached = f"{(sent - before) / (now - since):,.0f}/s" if now > since else ""
        of = "" if wanted is None else f" of {wanted:,.0f}/s wanted"
        self._progress.update(self._task, completed=sent, rate=reached + of)


class LogLines:
    """A line every few seconds."""

    def __init__(self, log: Log, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._total: int | None = None
        self._started = monotonic()
        self._last = (self._started, 0)
        self._target: Target = lambda _: None

    def expect(self, total: int | None) -> None:
        """How many messages there will be; None: no end is known."""
        self._total = total
        self._started = self._monotonic()
        self._last = (self._started, 0)

    def aim_by(self, target: Target) -> None:
        """What to ask for the wanted rate."""
        self._target = target

    def update(self, sent: int) -> None:
        """So many messages have been handed to the writer."""
        now = self._monotonic()
        since, before = self._last
        if now - since >= _LOG_EVERY:
            wanted = self._target(now - self._started)
            known = {"total": self._total, "wanted": None if wanted is None else round(wanted, 1 if wanted < 10 else None)}
            more = {name: value for name, value in known.items() if value is not None}
            self._log("sending", sent=sent, rate=round((sent - before) / (now - since)), **more)
            self._last = (now, sent)


@contextmanager
def shown(console: Console, log: Log, *, title: str, rate: float | None) -> Iterator[RateProgress]:
    """The progress that fits the console: a bar on a terminal, log lines elsewhere."""
    if not console.is_terminal:
        lines = LogLines(log)
        lines.aim_by(lambda _: rate)
        yield lines
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = Bar(progress, progress.add_task(title, total=None, rate=""))
        bar.aim_by(lambda _: rate)
        yield bar
