"""Sends the record batches of one task with one sender; defines the protocols of both and the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from domain.errors import PortalPulseError
from producers.messages import Message
from producers.sending.partitions import partitions_of
from producers.sending.places import Places
from producers.sending.record_batches import BATCH_BYTES, Batch
from producers.sending.refusals import TooLarge
from producers.sending.timeline import Timeline

#: How often progress is reported (seconds).
_PROGRESS_EVERY: Final = 0.1
#: After Ctrl-C, how long unacknowledged batches are waited for (seconds): supervisors kill a process after twenty.
STOP_SECONDS: Final = 10.0
#: Messages that are due within this time leave together (seconds).
TICK: Final = 0.01
#: Messages that are handled at once.
CHUNK: Final = 4_096


class Sender(Protocol):
    """Sends batches until they are acknowledged (``producers.sending.batch_sender``)."""

    @property
    def partitions(self) -> int:
        """The number of partitions of the topic."""
        ...

    @property
    def oldest(self) -> int | None:
        """Index of the earliest message that was submitted and is not acknowledged; None: there is none."""
        ...

    @property
    def acknowledged(self) -> int:
        """The number of acknowledged messages."""
        ...

    @property
    def failed(self) -> int:
        """The number of messages that failed."""
        ...

    @property
    def retries(self) -> int:
        """How often a batch was sent again."""
        ...

    @property
    def problem(self) -> str:
        """Why the first failed batch failed; empty: no batch has failed."""
        ...

    @property
    def gave_up(self) -> bool:
        """Whether the sender gave up, so that every further batch would fail."""
        ...

    @property
    def acknowledgements(self) -> Timeline:
        """The acknowledged messages by the moment at which they were submitted."""
        ...

    @property
    def too_large(self) -> list[TooLarge]:
        """The first messages that are too large for the topic."""
        ...

    def submit(self, batch: Batch) -> None:
        """Hand a batch over for sending; blocks while too many bytes are in flight."""
        ...

    def flush(self, *, timeout: float = ...) -> None:
        """Return when every batch is acknowledged or has failed, or after ``timeout`` seconds."""
        ...


@dataclass(slots=True)
class Run:
    """The circumstances of a task in one process.

    Attributes:
        partitions: of the topic, or of all topics of portals.
        places: chooses the partition of a message; None: the partition of its key.
        share: number of this process, and how many there are; it sends the partitions whose remainder is its number.
        pause: waits some seconds, or less when the run must stop; returns whether it must stop.
        started: reading of ``monotonic`` at the common start of all processes.
        oldest_packed: index of the earliest message that is packed and not yielded, set by the task.
        next_index: index of the next message of the source, set by the task.
        source_error: why the source could not be read to its end, set by the task.
        batch_bytes: size of a batch before compression.
    """

    partitions: int
    share: tuple[int, int]
    pause: Callable[[float], bool]
    monotonic: Callable[[], float] = time.monotonic
    started: float = 0.0
    oldest_packed: int | None = None
    next_index: int = 0
    source_error: PortalPulseError | None = None
    batch_bytes: int = BATCH_BYTES
    places: Places | None = None

    def places_of(self, messages: Sequence[Message], *, start: int) -> list[int]:
        """The partition of each message; ``start``: index of the first in the source."""
        if self.places is not None:
            return self.places.of(messages, start=start)
        return partitions_of([message.key for message in messages], self.partitions, start=start)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.monotonic() - self.started

    def owns(self, partition: int) -> bool:
        """Whether this process sends the partition."""
        number, of = self.share
        return partition % of == number


class Task(Protocol):
    """Something to send: a replay or a load."""

    @property
    def label(self) -> str:
        """The name of the task in the report."""
        ...

    @property
    def target_rate(self) -> float | None:
        """The target rate over the whole task in messages a second; None: as fast as possible."""
        ...

    def batches(self, run: Run) -> Iterator[Batch]:
        """The batches of this process, each when it is due."""
        ...

    def target_rate_at(self, elapsed: float) -> float | None:
        """The target rate of all processes together ``elapsed`` seconds after the start; None: as fast as possible."""
        ...

    def describe(self, index: int) -> str:
        """Names a message by its index in the source in a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How much a process has sent. ``position``: every message before this index is acknowledged."""

    sent: int
    acknowledged: int
    position: int


@dataclass(frozen=True, slots=True)
class SendResult:
    """What one process, or all together, sent. Moments are monotonic seconds, the same in all processes of a machine.

    ``source_error``: why the source could not be read to its end; everything before the error was sent. ``repeated`` and
    ``malformed``: sent messages that were made so on purpose. ``topic_replaced``: the topic was created again during the
    run, so that it does not contain the messages that were acknowledged before.
    """

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    retries: int = 0
    problem: str = ""
    interrupted: bool = False
    position: int = 0
    source_error: PortalPulseError | None = None
    started: float = 0.0
    ended: float = 0.0
    acknowledgements: Timeline = field(default_factory=Timeline)
    too_large: Sequence[TooLarge] = ()
    repeated: int = 0
    malformed: int = 0
    topic_replaced: bool = False

    @property
    def distinct(self) -> int:
        """Acknowledged events, each counted once."""
        return self.acknowledgements.distinct

    @property
    def events(self) -> int:
        """Acknowledged events, repeats included."""
        return self.acknowledgements.events

    @property
    def complete(self) -> bool:
        """Whether every sent message is durable."""
        return self.failed == 0 and self.acknowledged == self.sent and not self.topic_replaced

    @property
    def seconds(self) -> float:
        """Seconds from the start to the last acknowledgement."""
        return max(self.ended - self.started, 0.0)

    @property
    def rate(self) -> float:
        """Messages acknowledged a second over the whole time."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


def merged(parts: list[SendResult]) -> SendResult:
    """The results of several processes added up."""
    return SendResult(
        sent=sum(part.sent for part in parts),
        acknowledged=sum(part.acknowledged for part in parts),
        failed=sum(part.failed for part in parts),
        retries=sum(part.retries for part in parts),
        problem=next((part.problem for part in parts if part.problem), ""),
        interrupted=any(part.interrupted for part in parts),
        position=min(part.position for part in parts),
        source_error=next((part.source_error for part in parts if part.source_error), None),
        started=min(part.started for part in parts),
        ended=max(part.ended for part in parts),
        acknowledgements=Timeline.merged(part.acknowledgements for part in parts),
        too_large=[item for part in parts for item in part.too_large],
        repeated=sum(part.repeated for part in parts),
        malformed=sum(part.malformed for part in parts),
    )


def send_task(task: Task, *, sender: Sender, run: Run, on_progress: Callable[[ProgressReport], None]) -> SendResult:
    """Send until the task ends, the run is stopped (Ctrl-C or ``pause``) or the sender gave up.

    Then wait for acknowledgements.
    """
    sent = repeated = malformed = 0
    interrupted = False
    next_report_at = run.started
    batches = task.batches(run)
    try:
        for batch in batches:
            sender.submit(batch)
            sent += batch.records
            repeated += batch.repeated
            malformed += batch.malformed
            now = run.monotonic()
            if now >= next_report_at:
                next_report_at = now + _PROGRESS_EVERY
                on_progress(ProgressReport(sent, sender.acknowledged, _position(run, sender)))
                if run.pause(0.0):
                    interrupted = True
                    break
            if sender.gave_up:
                break
        else:
            interrupted = run.pause(0.0)
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        sender.flush(timeout=STOP_SECONDS)
    else:
        sender.flush()
    position = _position(run, sender)
    on_progress(ProgressReport(sent, sender.acknowledged, position))
    acknowledged = sender.acknowledged
    return SendResult(
        sent=sent,
        acknowledged=acknowledged,
        # A batch that was not answered when the flush ended has failed, too.
        failed=max(sender.failed, sent - acknowledged),
        retries=sender.retries,
        problem=sender.problem,
        interrupted=interrupted,
        position=position,
        source_error=run.source_error,
        started=run.started,
        ended=run.monotonic() if sender.acknowledgements.ended is None else sender.acknowledgements.ended,
        acknowledgements=sender.acknowledgements,
        too_large=list(sender.too_large),
        repeated=repeated,
        malformed=malformed,
    )


def _position(run: Run, sender: Sender) -> int:
    """The index before which every message is acknowledged.

    The order of reading matters: packed messages first, then those in flight.
    """
    known = [index for index in (run.oldest_packed, sender.oldest) if index is not None]
    return min([run.next_index, *known])
