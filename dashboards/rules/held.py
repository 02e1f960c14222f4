"""The form of every alert on an agency: what starts it needs data that can be trusted, and only figures end it."""

from __future__ import annotations

from dashboards.rules.rule import Rule, Severity, alert, firing
from dashboards.rules.timing import RuleTiming


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
    """
    fires = f"group by ({labels}) ({firing(name)})"
    fresh = f"and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}"
    no_backlog = f"unless on () pipeline:backlog:events > {timing.backlog_limit_events}"
    return alert(
        name,
        f"""
        (
          # starts: with fresh data and no backlog
          ({start})
          {fresh}
          {no_backlog}
        )
        or
        (
          # holds: fires already, and no figures that can be trusted say that it is over
          {fires}
          and on ({key}) {known}
          unless on ({key}) (
            ({over})
            {fresh}
            {no_backlog}
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
