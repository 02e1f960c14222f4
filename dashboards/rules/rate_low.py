"""The alert on a rate below a rung of its ladder.

It starts with enough dossiers, fresh data and no backlog, and continues until the rate is above the deadband. It does not end
with a stalled pipeline or a backlog (the rest of a rolling window may show any rate), a shrinking or empty window, or an exporter
that does not answer. It ends when a new month or year begins: the window then has too few dossiers to judge.
"""

from __future__ import annotations

from dashboards.rules.annotations import agency_rate
from dashboards.rules.rule import Rule, alert, firing
from dashboards.rules.timing import RuleTiming

_SERIES = "agency, kpi, window"
_RUNG = f"{_SERIES}, rung"


def rate_low(timing: RuleTiming) -> Rule:
    """The alert AgencyRateLow."""
    fires = firing("AgencyRateLow")
    return alert(
        "AgencyRateLow",
        f"""
        (
          # starts: below the rung, on enough dossiers, with fresh data and no backlog
          agency:kpi:ratio < on ({_SERIES}) group_right () agency:kpi_rung:ratio
          and on ({_SERIES}) agency:kpi_enough:count
          unless on ({_SERIES}) agency:kpi_stand_in_idle:max
          and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}
          unless on () pipeline:backlog:events > {timing.backlog_limit_events}
        )
        or
        (
          # holds: fires already and is not yet above the deadband
          agency:kpi:ratio < on ({_SERIES}) group_right () agency:kpi_rung_clear:ratio
          and on ({_RUNG}) {fires}
          unless on ({_SERIES}) agency:kpi_too_few_in_period:count
        )
        or
        (
          # holds: fires already and the window has become empty, or the storage does not answer
          agency:kpi_rung:ratio
          and on ({_RUNG}) {fires}
          unless on ({_SERIES}) (agency:kpi:ratio or agency:kpi_too_few_in_period:count)
        )
        or
        (
          # holds: fires already and figures are not whole, because nothing new comes or a backlog is not counted
          agency:kpi_rung:ratio
          and on ({_RUNG}) {fires}
          and on ()
          (
            pipeline:freshness:seconds >= {timing.freshness_limit_seconds}
            or
            pipeline:backlog:events > {timing.backlog_limit_events}
          )
          unless on ({_SERIES}) agency:kpi_too_few_in_period:count
        )
        or
        (
          # holds: fires already and no exporter answers
          group by ({_RUNG}, severity) ({fires})
          unless on () agency:kpi_threshold:ratio
        )
        """,
        severity=None,
        scope="agency",
        timing=timing,
        for_seconds=timing.agency_for_seconds,
        keep_firing_seconds=timing.agency_keep_firing_seconds,
        annotations=agency_rate(
            "AgencyRateLow",
            summary="Tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo.",
            summary_en="An agency's online rate is below its threshold.",
        ),
    )
