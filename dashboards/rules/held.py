"""The form of every alert on an agency: what starts it needs data that can be trusted, and only figures end it."""

from __future__ import annotations

from dashboards.rules.rule import firing
from dashboards.rules.timing import RuleTiming


def trusted(timing: RuleTiming) -> str:
    """The end of an expression that starts or ends an alert: only with fresh data and no backlog."""
    return (
        f"and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}\n"
        f"          unless on () pipeline:backlog:events > {timing.backlog_limit_events}"
    )


def held(name: str, *, labels: str, start: str, over: str, known: str, key: str, timing: RuleTiming) -> str:
    """The expression of the alert ``name``, which starts with ``start`` and ends with ``over``.

    Args:
        name: of the alert.
        labels: those of the alert's series, separated by commas.
        start: the series that start it. The alert has their labels.
        over: the series that end it.
        known: a series of every agency that can have this alert. An agency without one ends it; without any it continues.
        key: the labels that ``over`` and ``known`` share with the alert.
        timing: limits of the data that start and end an alert: what is left of a window in a stall may show anything.
    """
    fires = f"group by ({labels}) ({firing(name)})"
    return f"""
        (
          # starts: with fresh data and no backlog
          ({start})
          {trusted(timing)}
        )
        or
        (
          # holds: fires already, and no figures that can be trusted say that it is over
          {fires}
          and on ({key}) {known}
          unless on ({key}) (
            ({over})
            {trusted(timing).replace(chr(10), chr(10) + "  ")}
          )
        )
        or
        (
          # holds: fires already, and neither exporter nor storage answers
          {fires}
          unless on () {known}
        )
        """
