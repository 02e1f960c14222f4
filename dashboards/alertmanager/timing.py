"""How long Alertmanager gathers, waits and repeats, in one object: production and demo differ in nothing else.

Durations are whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class AlertTiming:
    """Waiting times of the routes; the defaults are those of production."""

    #: Alerts that arrive within this time of each other travel in one message.
    group_wait_seconds: int = 30
    #: News of a group already reported waits this long.
    group_interval_seconds: int = 5 * 60
    #: An unchanged group is told again after this. Beyond Alertmanager's data retention (120 h) it repeats too early.
    repeat_interval_seconds: int = 4 * 3600

    #: Troubles of the pipeline go out faster: they explain what the agencies' figures are worth.
    pipeline_group_wait_seconds: int = 10
    pipeline_repeat_interval_seconds: int = 3600

    #: Labels that make one message of agency alerts; ``...`` (all labels) sends each agency's alert by itself.
    agency_group_by: tuple[str, ...] = ("alertname", "kpi")
    agency_repeat_interval_seconds: int = 24 * 3600

    #: One heartbeat per this long. The repeat stays just below: equal values skip beats.
    heartbeat_interval_seconds: int = 60
    heartbeat_repeat_seconds: int = 50

    @classmethod
    def production(cls) -> Self:
        """What the committed file holds."""
        return cls()

    @classmethod
    def demo(cls) -> Self:
        """Each agency's alert alone and within a second or two."""
        return cls(
            group_wait_seconds=1,
            group_interval_seconds=5,
            pipeline_group_wait_seconds=1,
            agency_group_by=("...",),
        )
