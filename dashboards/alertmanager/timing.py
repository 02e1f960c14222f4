"""The grouping, waiting and repeat times of Alertmanager in one object. Production and demo differ only in these.

Durations are whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class AlertTiming:
    """The waiting times of the routes; the defaults are those of production."""

    #: Alerts that arrive within this time of each other are sent in one message.
    group_wait_seconds: int = 30
    #: Changes to a group that was already reported wait this long.
    group_interval_seconds: int = 5 * 60
    #: An unchanged group is reported again after this time. Above Alertmanager's data retention (120 h) it repeats too early.
    repeat_interval_seconds: int = 4 * 3600

    #: Alerts about the pipeline are sent sooner, because they tell whether the agencies' figures can be trusted.
    pipeline_group_wait_seconds: int = 10
    pipeline_repeat_interval_seconds: int = 3600

    #: Labels by which agency alerts are grouped into messages; ``...`` (all labels) sends each agency's alert separately.
    agency_group_by: tuple[str, ...] = ("alertname", "kpi")
    agency_repeat_interval_seconds: int = 24 * 3600
    #: Operations get one message about all agencies; a newcomer waits this long.
    operations_group_interval_seconds: int = 15 * 60
    #: The times of escalations in the recipients file are divided by this.
    escalation_divisor: int = 1

    #: Interval of the heartbeat. The repeat time is slightly shorter, because with equal values heartbeats are skipped.
    heartbeat_interval_seconds: int = 60
    heartbeat_repeat_seconds: int = 50

    @classmethod
    def production(cls) -> Self:
        """The timing of the committed file."""
        return cls()

    def faster(self, factor: int) -> Self:
        """The same routes with every duration divided by ``factor`` (to a whole second, at least one)."""
        durations = (field.name for field in fields(self) if field.name.endswith("_seconds"))
        shorter = replace(self, **{name: max(1, getattr(self, name) // factor) for name in durations})
        return replace(
            shorter,
            # With equal values heartbeats are skipped.
            heartbeat_interval_seconds=max(shorter.heartbeat_interval_seconds, shorter.heartbeat_repeat_seconds + 1),
            escalation_divisor=self.escalation_divisor * factor,
        )

    @classmethod
    def demo(cls) -> Self:
        """The timing of the demo: each agency's alert is sent separately and within two seconds."""
        return cls(
            group_wait_seconds=1,
            group_interval_seconds=5,
            pipeline_group_wait_seconds=1,
            agency_group_by=("...",),
            operations_group_interval_seconds=5,
            escalation_divisor=3600,
        )
