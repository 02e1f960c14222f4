"""The alert on a rate that dropped within a week: the rate of 7 days by some points, or that of 24 hours to a fraction."""

from __future__ import annotations

from dashboards.rules.agency_alert import held_alert
from dashboards.rules.changes import COMPARABLE, EPSILON, SERIES, change_texts
from dashboards.rules.rule import Rule, record
from dashboards.rules.timing import RuleTiming, number


def rate_dropped(timing: RuleTiming) -> list[Rule]:
    """The record of what ends the alert AgencyRateDropped (a small difference again, or an earlier rate of 0), then the alert."""
    points, ratio = 'agency:kpi_change:points{window="7d"}', 'agency:kpi_change:ratio{window="1d"}'
    over = "agency:kpi_not_dropped:points"
    dropped = f"{points} <= {number(-timing.drop_points + EPSILON)}"
    halved = f"{ratio} <= {number(timing.drop_ratio + EPSILON)}"
    ended_points = timing.drop_points - timing.deadband_ratio
    return [
        record(
            over,
            f"""
            (
              {points} > {number(-ended_points + EPSILON)}
              or
              {ratio} > {number(timing.drop_ratio + timing.change_deadband + EPSILON)}
              or
              agency:kpi_earlier:ratio{{window="1d"}} == 0
            )
            and on ({SERIES}) agency:kpi_change_known:count
            """,
        ),
        held_alert(
            "AgencyRateDropped",
            labels=SERIES,
            start=f"({dropped} or {halved})\n          {COMPARABLE}",
            over=over,
            known="agency:kpi_denominator:max",
            key=SERIES,
            severity="warning",
            timing=timing,
            annotations=change_texts(
                "AgencyRateDropped",
                summary="Tỷ lệ hồ sơ trực tuyến giảm mạnh.",
                summary_en="An agency's online rate dropped.",
                verbs=("giảm từ %s (một tuần trước) xuống", "fell from %s one week earlier to"),
            ),
        ),
    ]
