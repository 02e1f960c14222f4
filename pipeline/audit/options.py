"""The options of an audit, and the interface to which it reports its progress."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Protocol


class KafkaCheck(enum.StrEnum):
    """Whether an audit looks at Kafka: not at all, at the offsets, or also at every message that is still in the log."""

    NONE = "none"
    OFFSETS = "offsets"
    DEEP = "deep"


class Progress(Protocol):
    """Receives the progress of an audit."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of ``total`` steps begins."""
        ...

    def advance(self, steps: int) -> None:
        """``steps`` more steps of the stage are done."""
        ...


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit.

    Attributes:
        first, last: the days to audit, both included; None: no bound.
        repair: whether to repair what is wrong.
        settle: settling time in seconds.
        repeats: whether to search repeated events and event ids.
        kafka: what to compare with Kafka.
    """

    first: dt.date | None = None
    last: dt.date | None = None
    repair: bool = False
    settle: float = 10.0
    repeats: bool = True
    kafka: KafkaCheck = KafkaCheck.NONE

    @property
    def period(self) -> tuple[dt.date, dt.date] | None:
        """First and last day to audit, or None for all days."""
        if self.first is None and self.last is None:
            return None
        return self.first or dt.date.min, self.last or dt.date.max
