"""Which events the workers have in hand: read from Kafka, but not acknowledged yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import PortalPulseError
from pipeline.audit.topic_log import TopicReader
from sinks.contract.audit import Acknowledged, TallyAudit

#: How long an answer of Kafka is reused (seconds). An old answer takes more events for unacknowledged, never fewer.
_CACHE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class InHand:
    """The offsets up to which the group has acknowledged the topic. When Kafka cannot say, ``fallback_reason`` says why.

    ``kafka_answers``: whether Kafka itself answered; None when it was not asked.
    """

    acknowledged: Acknowledged | None = None
    fallback_reason: str = ""
    kafka_answers: bool | None = None


class WorkInHand:
    """Asks Kafka up to which offsets the workers' group has acknowledged the topic. Several threads may use it at once.

    Args:
        audit: the storage, whose clock gives the time of the answers.
        topic: name of the topic, and a function that makes its reader.
    """

    def __init__(
        self, audit: TallyAudit, topic: tuple[str, Callable[[], TopicReader]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._audit, self._monotonic = audit, monotonic
        self._topic, self._reader = topic
        self._lock = threading.Lock()
        self._cached: tuple[float, InHand] | None = None  # when Kafka was asked, and its answer

    def __call__(self) -> InHand:
        """What the workers have in hand, from an answer of Kafka that is at most a second old.

        Raises:
            SinkError: the storage does not answer when asked for its clock.
        """
        with self._lock:
            if self._cached is None or self._monotonic() - self._cached[0] > _CACHE_SECONDS:
                self._cached = self._monotonic(), self._ask()
            return self._cached[1]

    def _ask(self) -> InHand:
        as_of = self._audit.now()
        try:
            reader = self._reader()
            # A group with members that has committed nothing yet has everything in hand.
            offsets = {(part.topic or self._topic, part.number): (part.committed or 0, part.end) for part in reader.partitions()}
            if not reader.members():
                return InHand(fallback_reason="no worker is in the consumer group", kafka_answers=True)
        except PortalPulseError as error:
            return InHand(fallback_reason=error.problem.rstrip("."), kafka_answers=False)
        # An offset beyond the end was committed in an earlier topic of the same name. It says nothing about this one.
        partitions = {where: (committed, end) for where, (committed, end) in offsets.items() if committed <= end}
        return InHand(Acknowledged(as_of, partitions), kafka_answers=True)
