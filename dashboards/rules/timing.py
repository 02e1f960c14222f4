"""Every number of the alert rules in one object, so that production and demo have the same rules with other durations.

Durations are whole seconds. A new number belongs here, not in an expression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

_MINUTE = 60
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


@dataclass(frozen=True, slots=True)
class RuleTiming:
    """Intervals, waiting times and limits of all rules; the defaults are those of production."""

    #: How often Prometheus evaluates every group.
    evaluation_seconds: int = 1 * _MINUTE
    #: A sample counts for this long when scrapes fail: several scrapes, and shorter than ``agency_keep_firing_seconds``.
    sample_guard_seconds: int = 2 * _MINUTE

    #: An agency must stay below its threshold this long before it alerts ...
    agency_for_seconds: int = 10 * _MINUTE
    #: ... and its alert continues this long through a gap in the data.
    agency_keep_firing_seconds: int = 15 * _MINUTE
    #: To avoid flapping, a firing alert ends only this far (0.01 = one percentage point) above its threshold.
    deadband_ratio: float = 0.01

    #: When the newest event is older than this, PipelineStalled starts, and no agency alert does.
    freshness_limit_seconds: int = 10 * _MINUTE
    #: Shorter than ``agency_for_seconds``, so that a stall alerts before any agency does.
    stall_for_seconds: int = 2 * _MINUTE
    stall_keep_firing_seconds: int = 5 * _MINUTE

    #: No agency alert starts while more events than this are in Kafka or in a worker and not in the tallies, because rates are
    #: wrong while a backlog is half processed. Full load (20,000 events/s, visible in 0.75 s) stays below this limit.
    backlog_limit_events: int = 30_000

    #: Events between raw table and tallies that are normal under load. The audit's difference has no limit of its own: it is an
    #: error when it exceeds the events that workers are processing.
    drift_limit_events: int = 15_000
    drift_for_seconds: int = 15 * _MINUTE
    drift_keep_firing_seconds: int = 10 * _MINUTE

    #: Share of the last hour's messages that may be dead-lettered ...
    dead_letter_limit_ratio: float = 0.01
    #: ... in an hour with at least this many messages.
    dead_letter_min_rows: int = 1_000
    dead_letter_for_seconds: int = 10 * _MINUTE
    dead_letter_keep_firing_seconds: int = 10 * _MINUTE

    #: A new agency may have no threshold for this long.
    config_for_seconds: int = 15 * _MINUTE

    #: The runbook page of an alert has this address followed by the alert's name.
    runbook_base_url: str = "https://runbooks.example.vn/portalpulse/"

    @classmethod
    def production(cls) -> Self:
        """The timing of the committed files."""
        return cls()

    @classmethod
    def demo(cls) -> Self:
        """The same rules in seconds, for a demonstration on one machine.

        A scenario's clock is at the end of a civil day and its last event is some time on that day, hence the high freshness
        limit. ``stall_for_seconds`` leaves time to load the scenario. An agency must be low in several scrapes (3 s apart). When
        the exporter stops answering, its alert continues until the stall alerts; otherwise it would be reported as resolved.
        """
        return cls(
            evaluation_seconds=1,
            sample_guard_seconds=12,
            agency_for_seconds=10,
            agency_keep_firing_seconds=90,
            freshness_limit_seconds=86_400,
            stall_for_seconds=60,
            stall_keep_firing_seconds=5,
            backlog_limit_events=1_000,
            drift_limit_events=1_000,
            drift_for_seconds=30,
            drift_keep_firing_seconds=15,
            dead_letter_for_seconds=15,
            dead_letter_keep_firing_seconds=15,
            config_for_seconds=15,
        )


def duration(seconds: int) -> str:
    """A number of seconds in Prometheus notation, in the largest unit that divides it: 600 -> ``10m``."""
    for unit, size in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def number(value: float) -> str:
    """A limit as text for an expression, without exponent and trailing zeros."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return text or "0"
