"""The form of every alert on an agency: it starts only on data that can be trusted, and ends only on figures."""

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
        name: the name of the alert.
        labels: the labels of the alert's series, separated by commas.
        start: PromQL of the series that start the alert, which gets their labels.
        over: PromQL of the series that end the alert.
        known: PromQL of a series for every agency that can have this alert. When only the series of one agency is missing, its
            alert ends; when all are missing, alerts continue.
        key: the labels that ``over`` and ``known`` share with the alert.
        severity: None: each series of ``start`` has a label ``severity``.
        annotations: the texts of the alert.
        timing: limits of the data that start and end an alert: in a stall the rest of a window may show any rate.
        trusted: lines that say when figures may start and end the alert. Empty: ``trusted_now``.
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
    """The end of an expression, for figures that are read at each scrape: data are fresh, and few events wait."""
    return (
        f"and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}",
        f"unless on () pipeline:backlog:events > {timing.backlog_limit_events}",
    )


def trusted_for_long(timing: RuleTiming) -> tuple[str, ...]:
    """The end of an expression, for figures counted in the background: data were fresh for as long as the count may be old."""
    window = duration(timing.findings_age_limit_seconds)
    return (
        # Neither while nobody knows whether data are fresh: a count stays where it is when the storage is gone.
        f"and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}",
        f"and on () pipeline:findings_age:seconds < {timing.findings_age_limit_seconds}",
        f"and on () max_over_time(pipeline:freshness:seconds[{window}]) < {timing.freshness_limit_seconds}",
        f"unless on () max_over_time(pipeline:backlog:events[{window}]) > {timing.backlog_limit_events}",
    )
