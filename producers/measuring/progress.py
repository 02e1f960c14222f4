"""Shows how many messages were sent: a bar on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich import progress as bars
from rich.console import Console

from pipeline.texts import escaped
from producers.sending.progress import Progress, TargetRate

#: Seconds between two log lines.
_LOG_EVERY: Final = 5.0
#: The displayed rate is the mean over this many seconds.
_RATE_OVER: Final = 2.0

#: Logs an event with numbers, as ``structlog``'s bound ``info`` does.
Log = Callable[..., object]


class Bar:
    """A progress bar with the rate reached, the target rate and the time left."""

    def __init__(self, progress: bars.Progress, task: bars.TaskID, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._task = task
        self._monotonic = monotonic
        self._started = monotonic()
        self._target: TargetRate = lambda _: None
        self._recent: deque[tuple[float, int]] = deque([(self._started, 0)])

    def expect(self, total: int | None) -> None:
        """Set how many messages there will be; None: no end is known."""
        self._progress.update(self._task, total=total)
        self._started = self._monotonic()
        self._recent = deque([(self._started, 0)])

    def set_target(self, target: TargetRate) -> None:
        """Set what is displayed as the target rate."""
        self._target = target

    def update(self, sent: int) -> None:
        """Set how many messages were handed to the sender."""
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
    """Logs a line about the progress every few seconds."""

    def __init__(self, log: Log, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._total: int | None = None
        self._started = monotonic()
        self._last = (self._started, 0)
        self._target: TargetRate = lambda _: None

    def expect(self, total: int | None) -> None:
        """Set how many messages there will be; None: no end is known."""
        self._total = total
        self._started = self._monotonic()
        self._last = (self._started, 0)

    def set_target(self, target: TargetRate) -> None:
        """Set what is displayed as the target rate."""
        self._target = target

    def update(self, sent: int) -> None:
        """Set how many messages were handed to the sender."""
        now = self._monotonic()
        since, before = self._last
        if now - since >= _LOG_EVERY:
            wanted = self._target(now - self._started)
            known = {"total": self._total, "wanted": None if wanted is None else round(wanted, 1 if wanted < 10 else None)}
            more = {name: value for name, value in known.items() if value is not None}
            self._log("sending", sent=sent, rate=round((sent - before) / (now - since)), **more)
            self._last = (now, sent)


@contextmanager
def shown(console: Console, log: Log, *, title: str) -> Iterator[Progress]:
    """The progress display for the console: a bar on a terminal, log lines elsewhere."""
    if not console.is_terminal:
        yield LogLines(log)
        return
    columns = (
        bars.TextColumn("{task.description}", style="bold", markup=False),  # the name of a file may look like markup
        bars.BarColumn(),
        bars.TextColumn("{task.completed:,}"),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(escaped(title), total=None, rate=""))
