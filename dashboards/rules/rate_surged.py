"""The alert on a rate that is a multiple of the rate of one week earlier: a success, or dossiers that are sent wrongly."""

from __future__ import annotations

from dashboards.rules.agency_alert import held_alert
from dashboards.rules.changes import COMPARABLE, EPSILON, SERIES, change_texts
from dashboards.rules.rule import Rule, record
from dashboards.rules.timing import RuleTiming, number


def rate_surged(timing: RuleTiming) -> list[Rule]:
    """The record of what ends the alert AgencyRateSurged, then the alert.

    It also needs some points: from 0.5 % to 1 % is a few dossiers.
    """
    points, ratio = "agency:kpi_change:points", "agency:kpi_change:ratio"
    over = "agency:kpi_not_surged:ratio"
    return [
        record(
            over,
            f"""
            (
              {ratio} < {number(timing.surge_ratio - timing.change_deadband - EPSILON)}
              or
              {points} < {number(timing.drop_points - timing.deadband_ratio - EPSILON)}
            )
            and on ({SERIES}) agency:kpi_change_known:count
            """,
        ),
        held_alert(
            "AgencyRateSurged",
            labels=SERIES,
            start=f"{ratio} >= {number(timing.surge_ratio - EPSILON)}\n"
            f"          and on ({SERIES}) {points} >= {number(timing.drop_points - EPSILON)}\n"
            f"          {COMPARABLE}",
            over=over,
            known="agency:kpi_denominator:max",
            key=SERIES,
            severity="info",
            timing=timing,
            annotations=change_texts(
                "AgencyRateSurged",
                summary="Tỷ lệ hồ sơ trực tuyến tăng mạnh.",
                summary_en="An agency's online rate surged.",
                verbs=("tăng từ %s (một tuần trước) lên", "rose from %s one week earlier to"),
            ),
        ),
    ]
