"""Sends a task, shows its progress, and measures how soon its events are visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from domain.errors import UnavailableError
from producers.measuring.latency import Watch, latency
from producers.measuring.result import SendReport, Window, measured, sent_curve
from producers.measuring.service import Service
from producers.sending.checkpoint import Checkpoint
from producers.sending.progress import Progress
from producers.sending.refusals import TooLarge
from producers.sending.send_loop import ProgressReport, SendResult, Task
from producers.sending.worker_processes import Broker, run_task

#: Runs a task: ``run_task``; a test passes its own.
Runner = Callable[..., SendResult]


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """The running process that is asked what is visible.

    ``required``: the user named it, so it must answer; ``service`` opens it.
    """

    url: str | None
    required: bool = False
    service: Callable[[str], Service] = Service


def measure(
    task: Task,
    *,
    broker: Broker,
    processes: int,
    probe: ProbeTarget,
    progress: Progress,
    windows: Sequence[Window] = (),
    checkpoint: Checkpoint | None = None,
    runner: Runner = run_task,
    watch: Callable[[Service], Watch] = Watch,
) -> SendReport:
    """Send all of ``task``, then wait until all of its events are visible, or until no more become visible.

    Raises:
        UnavailableError: the broker, or the process that the user named, does not answer.
        ConfigurationError: the topic is missing.
    """
    with ExitStack() as stack:
        watching, note = _start_watch(stack, probe, watch)

        def on_progress(report: ProgressReport) -> None:
            progress.update(report.sent)
            if checkpoint is not None:
                checkpoint.reached(report.position)

        progress.set_target(task.target_rate_at)
        sent = runner(task, broker=broker, processes=processes, on_progress=on_progress)
        if checkpoint is not None:
            checkpoint.reached(sent.position)
            checkpoint.close(finished=not sent.interrupted and sent.complete and sent.source_error is None)
        too_large = [_describe_too_large(task, item) for item in sent.too_large]
        if watching is None:
            return SendReport(
                source=task.label,
                sent=sent,
                target=task.target_rate,
                processes=processes,
                note=note,
                windows=measured(sent, None, windows),
                too_large=too_large,
            )
        with suppress(KeyboardInterrupt):  # a second Ctrl-C ends the wait, and the report says what is known
            watching.wait_for(sent.events if watching.counts_repeats else sent.distinct)
        visible, repeats = watching.visible, watching.counts_repeats
        return SendReport(
            source=task.label,
            sent=sent,
            target=task.target_rate,
            processes=processes,
            visible=min(visible.total, sent.events if repeats else sent.distinct),
            latency=latency(sent_curve(sent, repeats=repeats), visible),
            exact_latency=None if watching.exact is None else latency(sent_curve(sent, repeats=repeats), watching.exact),
            note=watching.method + (f"; last problem: {watching.problem}" if watching.problem else ""),
            windows=measured(sent, visible, windows, repeats=repeats),
            too_large=too_large,
            dead_letters=watching.dead_letters(),
        )


def _describe_too_large(task: Task, item: TooLarge) -> str:
    """A sentence for people about a message that is too large for the topic."""
    where = task.label if item.source_index is None else task.describe(item.source_index)
    return f"{where}: {item.size:,} bytes, key {(item.key or b'').decode('utf-8', 'replace')!r}"


def _start_watch(stack: ExitStack, probe: ProbeTarget, watch: Callable[[Service], Watch]) -> tuple[Watch | None, str]:
    if probe.url is None:
        return None, "nothing: no running process is known (portalpulse up, or --http)"
    try:
        return stack.enter_context(watch(probe.service(probe.url))), ""
    except UnavailableError as error:
        if probe.required:
            raise
        return None, f"nothing: {error.problem}"
