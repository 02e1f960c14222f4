"""``replay FILE --check``: judges files without sending anything."""

from __future__ import annotations

import datetime as dt
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from domain.errors import ConfigurationError
from producers.cli.reports import publish, require_report_place

if TYPE_CHECKING:
    from producers.replay.checking.check import CheckProgress, CheckResult
    from producers.replay.plan import ReplayOptions

#: Parameters of ``replay`` that a check understands.
_UNDERSTOOD: Final = frozenset({"files", "format_", "delimiter", "as_json", "report", "check"})
#: Seconds between two log lines.
_LOG_EVERY: Final = 5.0


def check_files(context: typer.Context, options: ReplayOptions, *, as_json: bool, report: Path | None) -> None:
    """Judge the files of a replay and print the report; exit with 1 when a message is rejected.

    Raises:
        ConfigurationError: an option is about sending, or a file cannot be read to its end.
        UnavailableError: the temporary files or the report cannot be written.
    """
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in _UNDERSTOOD and source is not None and source.name == "COMMANDLINE":
            raise ConfigurationError(
                f"{max(parameter.opts, key=len)} does not belong to --check, which judges files and sends nothing.",
                remedy="Omit one of them.",
            )
    if not options.files:
        raise ConfigurationError("--check judges files.", remedy="Name files; - is standard input.")
    require_report_place(report, sources=options.files)
    result = _judged(options)
    from producers.replay.checking.report import CheckReport  # noqa: PLC0415 - see _judged

    publish(CheckReport(result), as_json=as_json, path=report)
    if result.error is not None:
        raise ConfigurationError(
            f"{result.error.problem} The {result.messages:,} messages before that were judged.", remedy=result.error.remedy
        )
    if result.rejections:
        raise typer.Exit(1)


def _judged(options: ReplayOptions) -> CheckResult:
    from domain.clock import SystemClock  # noqa: PLC0415 - numpy and Arrow, which --help need not load
    from pipeline.logs import configure_logging, get_logger  # noqa: PLC0415
    from pipeline.registry import registry_of  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.shutdown import interrupted_by  # noqa: PLC0415
    from producers.replay.checking.check import check  # noqa: PLC0415
    from producers.replay.plan import file_source  # noqa: PLC0415

    settings = load_settings()
    configure_logging(settings.log)
    registry = registry_of(settings)
    # As a worker does: the future begins after the present, whatever clock figures have.
    latest = SystemClock().now() + dt.timedelta(seconds=settings.ingest.future_tolerance_seconds)
    source = file_source(options)
    with interrupted_by(signal.SIGTERM), _progress(Console(stderr=True), get_logger("producers").info) as progress:
        return check(source, registry=registry, latest=latest, progress=progress)


class _Bar:
    """A progress bar on a terminal; each stage of the check replaces the bar of the stage before."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int | None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(f"judging {stage}", total=total)

    def update(self, done: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=done)


class _LogLines:
    """Logs the progress every few seconds where there is no terminal."""

    def __init__(self, log: Callable[..., object], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic = log, monotonic
        self._last = monotonic()
        self._stage: str = ""
        self._total: int | None = None

    def begin(self, stage: str, total: int | None) -> None:
        self._stage, self._total = stage, total

    def update(self, done: int) -> None:
        now = self._monotonic()
        if now - self._last >= _LOG_EVERY:
            known = {"done": done} if self._total is None else {"share": f"{done / max(self._total, 1):.0%}"}
            self._log("checking", judging=self._stage, **known)
            self._last = now


@contextmanager
def _progress(console: Console, log: Callable[..., object]) -> Iterator[CheckProgress]:
    """The progress display for the console: a bar on a terminal, log lines elsewhere."""
    if not console.is_terminal:
        yield _LogLines(log)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar)
