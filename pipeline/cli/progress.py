"""The progress bar of commands that may take minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn


class ProgressBar:
    """A progress bar on standard error; each stage replaces the stage before."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int | None) -> None:
        """Begin a stage of ``total`` steps; None when the number is unknown."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(stage, total=total)

    def advance(self, steps: int) -> None:
        """Move the bar by ``steps`` steps."""
        if self._task is not None:
            self._bar.advance(self._task, steps)


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """Show a progress bar on standard error until the block ends, if standard error is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield ProgressBar(bar)
