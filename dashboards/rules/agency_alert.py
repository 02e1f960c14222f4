"""The form of every alert on an agency: what starts it needs data that can be trusted, and only figures end it."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.rules.rule import Rule, Severity, alert, firing
from dashboards.rules.timing import RuleTiming, duration


def held_alert(
    name: str,
    *,
    labels: str,
    start: str,
    over: str,
    known: str,
    key: str,
    severity: Severity | None,
    annotations: dict[str, str],
    timing: RuleTiming,
    trusted: Sequence[str] = (),
) -> Rule:
    """The alert ``name`` on agencies, which starts with ``start`` and ends with ``over``.

    Args:
        name: of the alert.
        labels: those of the alert's series, separated by commas.
        start: the series that start it. The alert has their labels.
        over: the series that end it.
        known: a series of every agency that can have this alert. An agency without one ends it; without any it continues.
        key: the labels that ``over`` and ``known`` share with the alert.
        severity: None: each series of ``start`` has that label.
        annotations: its texts.
        timing: limits of the data that start and end an alert: what is left of a window in a stall may show anything.
        trusted: lines that say when figures may start and end the alert. Without any: ``trusted_now``.
    """
    fires = f"group by ({labels}) ({firing(name)})"
    lines = trusted or trusted_now(timing)
    starts, ends = (f"\n{' ' * indent}".join(lines) for indent in (10, 12))
    return alert(
        name,
        f"""
        (
          # starts: with fresh data and no backlog
          ({start})
          {starts}
        )
        or
        (
          # holds: fires already, and no figures that can be trusted say that it is over
          {fires}
          and on ({key}) {known}
          unless on ({key}) (
            ({over})
            {ends}
          )
        )
        or
        (
          # holds: fires already, and neither exporter nor storage answers
          {fires}
          unless on () {known}
        )
        """,
        severity=severity,
        scope="agency",
        timing=timing,
        for_seconds=timing.agency_for_seconds,
        keep_firing_seconds=timing.agency_keep_firing_seconds,
        annotations=annotations,
    )


def trusted_now(timing: RuleTiming) -> tuple[str, ...]:
    """The end of an expression on figures that are read at each scrape: data are fresh, and few events wait."""
    return (
        f"and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}",
        f"unless on () pipeline:backlog:events > {timing.backlog_limit_events}",
    )


def trusted_for_long(timing: RuleTiming) -> tuple[str, ...]:
    """The same of figures that are counted in the background: data were fresh for as long as the count may be old."""
    window = duration(timing.findings_age_limit_seconds)
    return (
        # Neither while nobody knows whether data are fresh: a count stays where it is when the storage is gone.
        f"and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}",
        f"and on () pipeline:findings_age:seconds < {timing.findings_age_limit_seconds}",
        f"and on () max_over_time(pipeline:freshness:seconds[{window}]) < {timing.freshness_limit_seconds}",
        f"unless on () max_over_time(pipeline:backlog:events[{window}]) > {timing.backlog_limit_events}",
    )
