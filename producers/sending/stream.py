"""Sends a stream of messages through a writer and says in the end what became of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from producers.messages import Kind, Message

#: How often progress is told (seconds).
_TELL_EVERY: Final = 0.1
#: What is under way when the sending is stopped gets so long (seconds): whoever stops processes kills after twenty.
STOP_SECONDS: Final = 10.0


class Writer(Protocol):
    """Takes messages; used by one thread."""

    @property
    def acknowledged(self) -> int:
        """Messages that are durable at the destination."""
        ...

    @property
    def failed(self) -> int:
        """Messages given up: they may or may not have arrived."""
        ...

    @property
    def problem(self) -> str:
        """Why the first failed message failed; empty while none has."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the destination is gone for good, so that going on is useless."""
        ...

    def send(self, key: bytes | None, value: bytes | None) -> None:
        """Hand one message over; blocks while too many are under way."""
        ...

    def flush(self, *, timeout: float = ...) -> None:
        """Return when every message handed over is acknowledged or has failed, after so many seconds at the latest."""
        ...


class Progress(Protocol):
    """Shows a person how far the sending is."""

    def expect(self, total: int | None) -> None:
        """How many messages there will be; None: no end is known."""
        ...

    def update(self, sent: int) -> None:
        """So many messages have been handed to the writer."""
        ...


class NullProgress:
    """Progress that nobody watches."""

    def expect(self, total: int | None) -> None:
        """Show nothing."""

    def update(self, sent: int) -> None:
        """Show nothing."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was sent. ``distinct`` counts events once; lines of a replayed file are counted as they are."""

    source: str
    seed: int | None
    sent: int
    distinct: int
    repeated: int
    malformed: int
    acknowledged: int
    failed: int
    seconds: float
    interrupted: bool
    problem: str

    @property
    def rate(self) -> float:
        """Messages acknowledged a second, over the whole time."""
        return self.acknowledged / self.seconds if self.seconds > 0 else 0.0

    @property
    def complete(self) -> bool:
        """Whether everything sent is durable."""
        return self.failed == 0 and self.acknowledged == self.sent

    def as_dict(self) -> dict[str, Any]:
        """The summary for ``--json``."""
        return {
            "source": self.source,
            "seed": self.seed,
            "sent": self.sent,
            "distinct": self.distinct,
            "repeated": self.repeated,
            "malformed": self.malformed,
            "acknowledged": self.acknowledged,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "interrupted": self.interrupted,
            "problem": self.problem,
        }


def send_all(messages: Iterable[Message], *, source: str, seed: int | None, writer: Writer, progress: Progress) -> Summary:
    """Send until the stream ends, Ctrl-C stops it or the destination is lost; then flush.

    The stream itself waits until its next message is due. A second Ctrl-C during the flush ends at once.
    """
    started = time.monotonic()
    counts: Counter[Kind] = Counter()
    interrupted = False
    sent = 0
    tell_at = started
    try:
        for message in messages:
            writer.send(message.key, message.value)
            sent += 1
            counts[message.kind] += 1
            now = time.monotonic()
            if now >= tell_at:
                progress.update(sent)
                tell_at = now + _TELL_EVERY
                if writer.lost:
                    break
    except KeyboardInterrupt:
        interrupted = True
    progress.update(sent)
    if interrupted:
        writer.flush(timeout=STOP_SECONDS)
    else:
        writer.flush()
    return Summary(
        source=source,
        seed=seed,
        sent=sent,
        distinct=counts[Kind.EVENT] + counts[Kind.RAW],
        repeated=counts[Kind.REPEAT],
        malformed=counts[Kind.MALFORMED],
        acknowledged=writer.acknowledged,
        failed=writer.failed,
        seconds=time.monotonic() - started,
        interrupted=interrupted,
        problem=writer.problem,
    )
