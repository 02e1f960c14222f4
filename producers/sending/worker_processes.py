"""Runs one task in one or several processes, each with its own connections and partitions, and merges their results.

A partition is sent by one process, so its order holds. Every process reads the whole source and sends its part of it. They start
together, on the machine's monotonic clock.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier, Event
from typing import Any, Final

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from pipeline.kafka.security import PLAINTEXT
from pipeline.kafka.topic_identity import topic_identity
from pipeline.logs import SENDING_LIBRARY, configure_logging
from pipeline.settings import KafkaSettings, load_settings
from producers.sending.batch_sender import BatchSender
from producers.sending.refusals import replaced_reason
from producers.sending.send_loop import ProgressReport, Run, SendResult, Task, merged, send_task

#: Longest time that starting all processes may take (seconds).
_START_SECONDS: Final = 60.0
#: Longest wait for a message of a process (seconds).
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to send: addresses (host:port), topic, protocol, login and authorities; ``portals``: used instead of ``topic``."""

    bootstrap: tuple[str, ...]
    topic: str
    security: KafkaSettings = field(default_factory=lambda: PLAINTEXT)
    portals: tuple[str, ...] = ()

    def sender(self) -> BatchSender:
        """A new sender to this topic.

        Raises:
            UnavailableError: no broker answers, or it refuses access.
            ConfigurationError: the topic is missing.
        """
        return BatchSender(bootstrap=self.bootstrap, topic=self.topic, security=self.security, portals=self.portals)

    def topic_id(self) -> str:
        """The id of the topic, which changes when it is deleted and created again; "" when the brokers do not tell the id.

        Several topics of portals have no common id: a topic that is created again is noticed by the offsets of sent messages.
        """
        if self.portals:
            return ""
        return topic_identity(self.security.model_copy(update={"bootstrap": self.bootstrap, "topic": self.topic}))


def run_task(task: Task, *, broker: Broker, processes: int, on_progress: Callable[[ProgressReport], None]) -> SendResult:
    """Send a task; Ctrl-C stops it with a result. A topic that was created again meanwhile makes the result incomplete.

    Raises:
        UnavailableError: the broker does not answer, or a process ended unexpectedly.
        ConfigurationError: the topic is missing, or has fewer partitions than there are processes.
    """
    with broker.sender() as sender:  # it says why the broker cannot be used, in a sentence and at once
        before = broker.topic_id()
        if processes == 1:
            sent = _sent(task, sender=sender, on_progress=on_progress)
    if processes > 1:
        sent = _in_processes(task, broker=broker, processes=processes, on_progress=on_progress)
    if sent.interrupted or not before:  # an interrupted run ends at once; --resume compares the ids
        return sent
    after = broker.topic_id()
    if not after or after == before:
        return sent
    return replace(sent, topic_replaced=True, problem=sent.problem or replaced_reason(broker.topic))


def _sent(task: Task, *, sender: BatchSender, on_progress: Callable[[ProgressReport], None]) -> SendResult:
    run = Run(
        partitions=sender.partitions,
        share=(0, 1),
        pause=threading.Event().wait,
        started=time.monotonic(),
        batch_bytes=sender.batch_bytes,
        places=sender.places,
    )
    return send_task(task, sender=sender, run=run, on_progress=on_progress)


def partitions_of_topic(broker: Broker) -> int:
    """The number of partitions of the topic.

    Raises:
        UnavailableError: the broker does not answer.
        ConfigurationError: the topic is missing.
    """
    with broker.sender() as sender:
        return sender.partitions


def _in_processes(task: Task, *, broker: Broker, processes: int, on_progress: Callable[[ProgressReport], None]) -> SendResult:
    partitions = partitions_of_topic(broker)
    if processes > partitions:
        raise ConfigurationError(
            f"{processes} processes cannot share {partitions} partitions.", remedy=f"Give --processes at most {partitions}."
        )
    context = multiprocessing.get_context("spawn")
    stop, barrier = context.Event(), context.Barrier(processes)
    children: dict[Connection, BaseProcess] = {}
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        child: BaseProcess = context.Process(
            target=_child,
            args=(task, broker, (number, processes), theirs, (stop, barrier)),
            name=f"sender-{number}",
            daemon=True,
        )
        child.start()
        theirs.close()
        children[ours] = child
    try:
        return merged(list(_results(children, stop=stop, on_progress=on_progress)))
    finally:
        stop.set()
        for child in children.values():
            child.join(_START_SECONDS if child.exitcode is None else 0)
            if child.is_alive():
                child.kill()


def _results(
    children: dict[Connection, BaseProcess], *, stop: Event, on_progress: Callable[[ProgressReport], None]
) -> Iterator[SendResult]:
    """The results of the child processes; reports their common progress until all have ended."""
    last: dict[Connection, ProgressReport] = {}
    waiting = dict(children)
    while waiting:
        try:
            ready = wait(list(waiting), timeout=_POLL_SECONDS)
        except KeyboardInterrupt:
            if stop.is_set():
                raise
            stop.set()
            continue
        for connection in ready:
            assert isinstance(connection, Connection)
            try:
                heard: Any = connection.recv()
            except EOFError:
                child = waiting.pop(connection)
                child.join(1)
                raise UnavailableError(
                    f"The process {child.name} ended unexpectedly (exit code {child.exitcode}).",
                    remedy="Start again; a run that was started with --state continues with --resume.",
                ) from None
            if isinstance(heard, ProgressReport):
                last[connection] = heard
                if len(last) == len(children):
                    on_progress(_together(list(last.values())))
            else:
                del waiting[connection]
                if isinstance(heard, PortalPulseError):
                    raise heard
                yield heard


def _together(report: list[ProgressReport]) -> ProgressReport:
    return ProgressReport(
        sent=sum(item.sent for item in report),
        acknowledged=sum(item.acknowledged for item in report),
        position=min(item.position for item in report),
    )


def _child(task: Task, broker: Broker, share: tuple[int, int], results: Connection, signals: tuple[Event, Barrier]) -> None:
    """The body of a child process: sends its part of the task, and returns the result or the error that ended it."""
    stop, barrier = signals
    # Ctrl-C reaches the whole process group; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(load_settings().log, silenced=SENDING_LIBRARY)  # a spawned process has nothing of its parent's
    try:
        with broker.sender() as sender:
            run = Run(
                partitions=sender.partitions,
                share=share,
                pause=stop.wait,
                batch_bytes=sender.batch_bytes,
                places=sender.places,
            )
            barrier.wait(_START_SECONDS)
            run.started = time.monotonic()
            sent = send_task(task, sender=sender, run=run, on_progress=results.send)
        results.send(sent)
    except PortalPulseError as error:
        barrier.abort()
        with contextlib.suppress(OSError):
            results.send(error)
    except threading.BrokenBarrierError:
        results.send(UnavailableError("The processes could not start together.", remedy="Give fewer --processes."))
