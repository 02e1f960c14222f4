"""Sends a task and measures it: how far it is, meanwhile; what became of it and how soon it was visible, in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from domain.errors import UnavailableError
from producers.measuring.latency import Watch, latency
from producers.measuring.progress import RateProgress
from producers.measuring.result import Outcome, Window, measured, sent_curve
from producers.measuring.service import Service
from producers.sending.batch_sender import TooLarge
from producers.sending.checkpoint import Checkpoint
from producers.sending.send_loop import ProgressReport, SendResult, Task
from producers.sending.worker_processes import Broker, run_task

#: Runs a task; ``fleet.run_task`` in real life.
Runner = Callable[..., SendResult]


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """The running process to ask what is visible; ``required`` when a person named it: then it must answer."""

    url: str | None
    required: bool = False


def measure(
    task: Task,
    *,
    broker: Broker,
    processes: int,
    asked: ProbeTarget,
    progress: RateProgress,
    windows: Sequence[Window] = (),
    checkpoint: Checkpoint | None = None,
    runner: Runner = run_task,
    watch: Callable[[Service], Watch] = Watch,
) -> Outcome:
    """Send all of ``task`` and wait until it is visible, or until nothing more becomes visible.

    Raises:
        UnavailableError: the broker, or the process that a person named, does not answer.
        ConfigurationError: the topic is missing.
    """
    with ExitStack() as stack:
        watching, note = _watched(stack, asked, watch)

        def tell(told: ProgressReport) -> None:
            progress.update(told.sent)
            if checkpoint is not None:
                checkpoint.reached(told.position)

        progress.aim_by(task.target)
        sent = runner(task, broker=broker, processes=processes, tell=tell)
        if checkpoint is not None:
            checkpoint.reached(sent.position)
            checkpoint.close(finished=not sent.interrupted and sent.failed == 0 and sent.broken is None)
        too_large = [_named(task, item) for item in sent.too_large]
        if watching is None:
            return Outcome(
                source=task.label,
                sent=sent,
                target=task.asked,
                processes=processes,
                note=note,
                windows=measured(sent, None, windows),
                too_large=too_large,
            )
        with suppress(KeyboardInterrupt):  # whoever does not want to wait gets what is known
            watching.wait_for(sent.events if watching.counts_repeats else sent.distinct)
        visible, repeats = watching.visible, watching.counts_repeats
        return Outcome(
            source=task.label,
            sent=sent,
            target=task.asked,
            processes=processes,
            visible=min(visible.total, sent.events if repeats else sent.distinct),
            latency=latency(sent_curve(sent, repeats=repeats), visible),
            note=watching.method + (f"; last problem: {watching.problem}" if watching.problem else ""),
            windows=measured(sent, visible, windows, repeats=repeats),
            too_large=too_large,
        )


def _named(task: Task, item: TooLarge) -> str:
    """A message that the topic does not take, for people."""
    where = task.label if item.place is None else task.place_of(item.place)
    return f"{where}: {item.size:,} bytes, key {(item.key or b'').decode('utf-8', 'replace')!r}"


def _watched(stack: ExitStack, asked: ProbeTarget, watch: Callable[[Service], Watch]) -> tuple[Watch | None, str]:
    if asked.url is None:
        return None, "nothing: no running process is known (portalpulse up, or --http)"
    try:
        return stack.enter_context(watch(Service(asked.url))), ""
    except UnavailableError as error:
        if asked.required:
            raise
        return None, f"nothing: {error.problem}"
