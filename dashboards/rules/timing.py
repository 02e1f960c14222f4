"""Every number of the alert rules in one object, so that production and demo have the same rules with other durations.

Durations are whole seconds. A new number belongs here, not in an expression.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

from domain.targets import DEADBAND

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
    deadband_ratio: float = float(DEADBAND)

    #: The rate of 7 days dropped when it is so far (0.05 = five percentage points) below that of the 7 days before, ...
    drop_points: float = 0.05
    #: ... and that of 24 hours when it is at most this part of that of the same weekday, ...
    drop_ratio: float = 0.5
    #: ... with at least so many dossiers in both. It surged when it is so many times the earlier one, and ``drop_points`` above.
    surge_ratio: float = 2.0
    week_min_dossiers: int = 2_000
    day_min_dossiers: int = 200
    #: To avoid flapping, a part or multiple of an earlier rate ends an alert this far from its limit; points ``deadband_ratio``.
    change_deadband: float = 0.1
    #: Fewer dossiers than this end no alert on a change.
    change_end_dossiers: int = 30

    #: An agency is silent after this multiple of its longest usual pause, and never before so many seconds of office hours.
    silent_factor: float = 1.5
    silent_seconds: int = 9 * 60 * _MINUTE
    #: One that was never heard of, after so many seconds of office hours in which others were.
    never_heard_seconds: int = 27 * 60 * _MINUTE

    #: The end of a year is judged when at most so many days of it are left, on so many dossiers of the last 30 days.
    off_pace_left_days: int = 305
    off_pace_min_dossiers: int = 200

    #: Share of the dossiers registered online that may be accepted late, of at least so many.
    accepted_late_ratio: float = 0.1
    accepted_late_min_dossiers: int = 100
    #: Findings and late acceptances are counted in the background. Those of a stall are told by nobody: data must be fresh for as
    #: long as a count may be old.
    findings_age_limit_seconds: int = 60 * _MINUTE
    findings_age_for_seconds: int = 60 * _MINUTE

    #: When the newest event is older than this, PipelineStalled starts, and no agency alert does.
    freshness_limit_seconds: int = 10 * _MINUTE
    #: Shorter than ``agency_for_seconds``, so that a stall alerts before any agency does.
    stall_for_seconds: int = 2 * _MINUTE
    stall_keep_firing_seconds: int = 5 * _MINUTE

    #: A part that does not answer alerts after this time and ``sample_guard_seconds``.
    part_for_seconds: int = 1 * _MINUTE
    part_keep_firing_seconds: int = 2 * _MINUTE
    #: A group may be without partitions for this long while it rebalances.
    rebalance_for_seconds: int = 5 * _MINUTE
    no_events_for_seconds: int = 10 * _MINUTE

    #: No agency alert starts while more events than this are in Kafka or in a worker and not in the tallies, because rates are
    #: wrong while a backlog is half processed. Full load (20,000 events/s, visible in 0.75 s) stays below this limit.
    backlog_limit_events: int = 30_000
    backlog_for_seconds: int = 5 * _MINUTE
    backlog_keep_firing_seconds: int = 5 * _MINUTE
    #: A lag above so many events that grows for so long will not go away.
    lag_growing_events: int = 1_000
    lag_growing_seconds: int = 15 * _MINUTE
    #: Without an acknowledgement for this long a worker that holds events stands still.
    acknowledgement_seconds: int = 10 * _MINUTE
    acknowledgements_late_for_seconds: int = 30 * _MINUTE

    #: Events between raw table and tallies that are normal under load.
    tally_lag_limit_events: int = 15_000
    tally_lag_for_seconds: int = 15 * _MINUTE
    #: What the audit finds it confirms itself, so that any number above 0 is wrong.
    drift_for_seconds: int = 1 * _MINUTE
    drift_keep_firing_seconds: int = 10 * _MINUTE
    audit_failing_seconds: int = 15 * _MINUTE
    #: A round of the audit may take long on a large storage.
    audit_age_limit_seconds: int = 120 * _MINUTE
    audit_age_for_seconds: int = 60 * _MINUTE

    #: Share of the last hour's messages that may be dead-lettered ...
    dead_letter_limit_ratio: float = 0.01
    #: ... in an hour with at least this many messages.
    dead_letter_min_rows: int = 1_000
    dead_letter_for_seconds: int = 10 * _MINUTE
    dead_letter_keep_firing_seconds: int = 10 * _MINUTE
    #: The most frequent reason is that of this time.
    reason_seconds: int = 60 * _MINUTE

    #: A new agency may have no threshold for this long.
    config_for_seconds: int = 15 * _MINUTE

    #: Calls to the storage that may fail within this time.
    storage_errors_seconds: int = 10 * _MINUTE
    storage_errors_limit: int = 5
    storage_errors_for_seconds: int = 5 * _MINUTE
    #: How long operations are told that messages were lost.
    lost_seconds: int = 60 * _MINUTE
    disk_free_ratio: float = 0.1
    disk_for_seconds: int = 10 * _MINUTE

    #: Prometheus and Alertmanager are judged by this time.
    meta_seconds: int = 10 * _MINUTE
    meta_for_seconds: int = 5 * _MINUTE
    #: Share of the scrapes that must succeed.
    scrape_share: float = 0.8
    missed_evaluations_limit: int = 2

    #: The runbook page of an alert has this address followed by the alert's name.
    runbook_base_url: str = "https://runbooks.example.vn/portalpulse/"

    @classmethod
    def production(cls) -> Self:
        """The timing of the committed files."""
        return cls()

    def faster(self, factor: int) -> Self:
        """The same rules with every duration divided by ``factor`` (to a whole second, at least one)."""
        durations = (field.name for field in fields(self) if field.name.endswith("_seconds"))
        return replace(self, **{name: max(1, getattr(self, name) // factor) for name in durations})

    @property
    def guard(self) -> str:
        """``sample_guard_seconds`` as a range of PromQL."""
        return duration(self.sample_guard_seconds)

    @classmethod
    def demo(cls) -> Self:
        """The same rules sixty times as fast, for a demonstration on one machine.

        Scrapes are 3 s apart and a busy machine misses some; the guard covers this. Little traffic has pauses of more than ten
        seconds; the limit of freshness covers this. Findings are counted as seldom as in production, and a busy machine
        acknowledges as late.
        """
        return replace(
            cls.production().faster(60),
            sample_guard_seconds=12,
            freshness_limit_seconds=60,
            findings_age_limit_seconds=600,
            acknowledgement_seconds=180,
            backlog_limit_events=1_000,
            tally_lag_limit_events=1_000,
            meta_seconds=30,
            storage_errors_seconds=30,
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
