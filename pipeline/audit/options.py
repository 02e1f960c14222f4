"""What an audit is asked to do, and who hears of its progress."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Protocol


class KafkaCheck(enum.StrEnum):
    """How far Kafka is audited."""

    NONE = "none"
    OFFSETS = "offsets"
    DEEP = "deep"


class Progress(Protocol):
    """Receives the progress of an audit."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of ``total`` steps begins."""
        ...

    def advance(self, steps: int) -> None:
        """Some steps are done."""
        ...


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit. ``first`` and ``last`` are included, None means no bound; ``settle`` in seconds."""

    first: dt.date | None = None
    last: dt.date | None = None
    repair: bool = False
    settle: float = 10.0
    repeats: bool = True
    kafka: KafkaCheck = KafkaCheck.NONE

    @property
    def period(self) -> tuple[dt.date, dt.date] | None:
        """The days to audit, or None for all."""
        if self.first is None and self.last is None:
            return None
        return self.first or dt.date.min, self.last or dt.date.max
