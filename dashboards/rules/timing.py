"""Every number of the alert rules in one object, so that production and demo run the same rules at different speeds.

Durations are whole seconds. A new number belongs here, not into an expression.
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

    #: An agency must stay below its threshold this long before it alerts ...
    agency_for_seconds: int = 10 * _MINUTE
    #: ... and its alert outlives a gap in the data by this long.
    agency_keep_firing_seconds: int = 15 * _MINUTE
    #: A firing alert ends only this far (0.01 = one percentage point) above its threshold, so that it does not flap.
    deadband_ratio: float = 0.01

    #: No agency alert starts, and PipelineStalled does, when the newest event is older than this against the clock.
    freshness_limit_seconds: int = 10 * _MINUTE
    #: Shorter than ``agency_for_seconds``: a stall must be known before any agency alert can be due.
    stall_for_seconds: int = 2 * _MINUTE
    stall_keep_firing_seconds: int = 5 * _MINUTE

    #: No agency alert starts while more events than this wait in Kafka, are read or stored but not in the tallies: a
    #: half-loaded backlog shows rates that never were. Full load (20,000 events/s, visible in 0.75 s) stays below it.
    backlog_limit_events: int = 30_000

    #: Events between raw table and tallies that are still normal under load. The audit's difference has no limit of its
    #: own: whatever workers do not hold at that moment is a fault.
    drift_limit_events: int = 15_000
    drift_for_seconds: int = 15 * _MINUTE
    drift_keep_firing_seconds: int = 10 * _MINUTE

    #: Share of the last hour's messages that may be set aside ...
    dead_letter_limit_ratio: float = 0.01
    #: ... judged only on an hour with at least this many messages.
    dead_letter_min_rows: int = 1_000
    dead_letter_for_seconds: int = 10 * _MINUTE
    dead_letter_keep_firing_seconds: int = 10 * _MINUTE

    #: A new agency may be without threshold this long.
    config_for_seconds: int = 15 * _MINUTE

    #: The runbook page of an alert is this plus the alert's name.
    runbook_base_url: str = "https://runbooks.example.vn/portalpulse/"

    @classmethod
    def production(cls) -> Self:
        """What the committed files hold."""
        return cls()

    @classmethod
    def demo(cls) -> Self:
        """The same rules in seconds, for one machine that shows an alert while somebody watches.

        A scenario's clock stands at the end of a civil day and its last event lies somewhere on that day: hence the
        wide freshness limit. ``stall_for_seconds`` leaves time to load the scenario. An agency must be low in several
        scrapes (3 s apart), and its alert outlives an exporter that does not answer until the stall is known: it would be
        told as over otherwise.
        """
        return cls(
            evaluation_seconds=1,
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
    """A whole number of seconds as Prometheus writes it, in the largest unit that divides it: 600 -> ``10m``."""
    for unit, size in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def number(value: float) -> str:
    """A limit as it stands in an expression: no exponent and no trailing zeros."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return text or "0"
