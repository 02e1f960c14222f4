"""Drives one stream of record batches into one sender, keeps account of it and can be stopped at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from domain.errors import PortalPulseError
from producers.sending.batch_sender import TooLarge
from producers.sending.record_batches import BATCH_BYTES, Batch
from producers.sending.stream import STOP_SECONDS
from producers.sending.timeline import Timeline

#: How often progress is told (seconds).
_TELL_EVERY: Final = 0.1
#: Messages that are due within so many seconds leave together.
TICK: Final = 0.01
#: What is due sooner than this is due now: no clock is asked to wait for less (seconds).
AT_ONCE: Final = 1e-4
#: Messages that are handled at once.
CHUNK: Final = 4_096


class Sender(Protocol):
    """Takes batches and gets them acknowledged (``producers.sending.batch_sender``)."""

    @property
    def partitions(self) -> int:
        """Partitions of the topic."""
        ...

    @property
    def oldest(self) -> int | None:
        """Place of the earliest message that is handed over and not acknowledged."""
        ...

    @property
    def acknowledged(self) -> int:
        """Messages acknowledged."""
        ...

    @property
    def failed(self) -> int:
        """Messages given up."""
        ...

    @property
    def retries(self) -> int:
        """Batches sent once more."""
        ...

    @property
    def problem(self) -> str:
        """Why the first failed batch failed."""
        ...

    @property
    def lost(self) -> bool:
        """Whether going on is useless."""
        ...

    @property
    def acknowledgements(self) -> Timeline:
        """What was acknowledged, by the moment it was handed over."""
        ...

    @property
    def too_large(self) -> list[TooLarge]:
        """The first messages that the topic does not take."""
        ...

    def submit(self, batch: Batch) -> None:
        """Hand a batch over; blocks while too much is under way."""
        ...

    def flush(self, *, timeout: float = ...) -> None:
        """Return when every batch is acknowledged or has failed, after so many seconds at the latest."""
        ...


@dataclass(slots=True)
class Run:
    """What a task needs to know about the process it runs in.

    Attributes:
        partitions: of the topic.
        share: this process's number, and how many there are; it sends the partitions that leave its number as remainder.
        pause: waits for so many seconds, or less when the run is to stop; returns whether it is.
        started: reading of ``monotonic`` at the common start of all processes.
        packed: place of the earliest message that is packed and not handed out, kept by the task.
        next_place: place of the next message that the task will look at, kept by the task.
        broken: why the source could not be read to its end, kept by the task.
        batch_bytes: size of a batch before compression.
    """

    partitions: int
    share: tuple[int, int]
    pause: Callable[[float], bool]
    monotonic: Callable[[], float] = time.monotonic
    started: float = 0.0
    packed: int | None = None
    next_place: int = 0
    broken: PortalPulseError | None = None
    batch_bytes: int = BATCH_BYTES

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.monotonic() - self.started

    def mine(self, partition: int) -> bool:
        """Whether this process sends the partition."""
        number, of = self.share
        return partition % of == number


class Task(Protocol):
    """Something to send: a replay or a load."""

    @property
    def label(self) -> str:
        """What the summary calls it."""
        ...

    @property
    def asked(self) -> float | None:
        """Messages a second wanted over the whole of it; None: as many as possible."""
        ...

    def batches(self, run: Run) -> Iterator[Batch]:
        """The batches of this process, each when it is due."""
        ...

    def target(self, elapsed: float) -> float | None:
        """Messages a second wanted at this moment, by all processes; None: as many as possible."""
        ...

    def place_of(self, place: int) -> str:
        """The message at a place of the source, for a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far a process is. ``position``: everything before this place of the source is acknowledged."""

    sent: int
    acknowledged: int
    position: int


@dataclass(frozen=True, slots=True)
class SendResult:
    """What one process, or all together, sent. Moments are monotonic seconds, the same in all processes of a machine.

    ``broken`` says why the source could not be read to its end; everything before that was sent.
    """

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    retries: int = 0
    problem: str = ""
    interrupted: bool = False
    position: int = 0
    broken: PortalPulseError | None = None
    started: float = 0.0
    ended: float = 0.0
    acknowledgements: Timeline = field(default_factory=Timeline)
    too_large: Sequence[TooLarge] = ()

    @property
    def distinct(self) -> int:
        """Acknowledged events, each counted once."""
        return self.acknowledgements.distinct

    @property
    def events(self) -> int:
        """Acknowledged events, repeats included."""
        return self.acknowledgements.events

    @property
    def seconds(self) -> float:
        """From the start to the last acknowledgement."""
        return max(self.ended - self.started, 0.0)

    @property
    def rate(self) -> float:
        """Messages acknowledged a second over the whole time."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


def merged(parts: list[SendResult]) -> SendResult:
    """What several processes sent together."""
    return SendResult(
        sent=sum(part.sent for part in parts),
        acknowledged=sum(part.acknowledged for part in parts),
        failed=sum(part.failed for part in parts),
        retries=sum(part.retries for part in parts),
        problem=next((part.problem for part in parts if part.problem), ""),
        interrupted=any(part.interrupted for part in parts),
        position=min(part.position for part in parts),
        broken=next((part.broken for part in parts if part.broken), None),
        started=min(part.started for part in parts),
        ended=max(part.ended for part in parts),
        acknowledgements=Timeline.merged(part.acknowledgements for part in parts),
        too_large=[item for part in parts for item in part.too_large],
    )


def drive(task: Task, *, sender: Sender, run: Run, tell: Callable[[ProgressReport], None]) -> SendResult:
    """Send until the task ends, the run is stopped (Ctrl-C, or ``pause`` says so) or the broker is lost; then flush."""
    sent = 0
    interrupted = False
    tell_at = run.started
    batches = task.batches(run)
    try:
        for batch in batches:
            sender.submit(batch)
            sent += batch.records
            now = run.monotonic()
            if now >= tell_at:
                tell_at = now + _TELL_EVERY
                tell(ProgressReport(sent, sender.acknowledged, _position(run, sender)))
                if run.pause(0.0):
                    interrupted = True
                    break
            if sender.lost:
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
    tell(ProgressReport(sent, sender.acknowledged, position))
    return SendResult(
        sent=sent,
        acknowledged=sender.acknowledged,
        failed=sender.failed,
        retries=sender.retries,
        problem=sender.problem,
        interrupted=interrupted,
        position=position,
        broken=run.broken,
        started=run.started,
        ended=run.monotonic() if sender.acknowledgements.ended is None else sender.acknowledgements.ended,
        acknowledgements=sender.acknowledgements,
        too_large=list(sender.too_large),
    )


def _position(run: Run, sender: Sender) -> int:
    """Everything before this place is acknowledged; the order of reading matters: packed first, then under way."""
    known = [place for place in (run.packed, sender.oldest) if place is not None]
    return min([run.next_place, *known])
