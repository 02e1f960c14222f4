"""Rules on agencies: the recorded rates that boards and alerts share, and the alert on a rate below its threshold.

``AgencyRateLow`` starts when a rate is below its threshold, with enough dossiers, fresh data and no backlog. It then continues
until the rate is above the deadband. A stalled pipeline, a shrinking or an empty window, and an exporter that does not answer do
not end it. A new month or year does: its window begins with too few dossiers to say anything.
"""

from __future__ import annotations

from dashboards.rules.annotations import agency_rate
from dashboards.rules.rule import Rule, alert, firing, group, record, seen
from dashboards.rules.timing import RuleTiming, number

_SERIES = "agency, kpi, window"
#: Windows that begin at a day of the calendar. The others move along, and shrink when an agency sends little.
_CALENDAR_WINDOWS = "month|ytd"


def _records(timing: RuleTiming) -> list[Rule]:
    info = seen("agency_info", timing)
    block_of = f"* on (agency) group_left (block) max by (agency, block) ({info})"
    return [
        # max, not sum: two replicas of the exporter export the same numbers.
        record("agency:kpi_denominator:max", f"max by ({_SERIES}) ({seen('agency_kpi_denominator', timing)})"),
        # A missing numerator is 0, so that the worst agencies do not disappear.
        record(
            "agency:kpi_numerator:max",
            f"max by ({_SERIES}) ({seen('agency_kpi_numerator', timing)}) or agency:kpi_denominator:max * 0",
        ),
        # An empty window has no sample, because no data is not 0 %.
        record("agency:kpi:ratio", "agency:kpi_numerator:max / (agency:kpi_denominator:max > 0)"),
        # Thresholds belong to (agency, kpi, window): only windows with a policy can alert.
        record("agency:kpi_threshold:ratio", f"max by ({_SERIES}) ({seen('agency_threshold_ratio', timing)})"),
        record("agency:kpi_min_volume:max", f"max by ({_SERIES}) ({seen('agency_min_volume', timing)})"),
        # round: 0.05 + 0.01 is 0.060000000000000005, which exactly 6 % would not reach. clamp_max: 100 % must be reachable.
        record(
            "agency:kpi_clear:ratio",
            f"clamp_max(round(agency:kpi_threshold:ratio + {number(timing.deadband_ratio)}, 1e-6), 1)",
        ),
        # A month or year that has just begun. Within a month or year the number of dossiers does not shrink.
        record(
            "agency:kpi_too_few_in_period:count",
            f"""
            agency:kpi_denominator:max{{window=~"{_CALENDAR_WINDOWS}"}} < on ({_SERIES}) agency:kpi_min_volume:max
            """,
        ),
        # Online dossiers that are missing at the same total. 1e-6: 0.07 * 100 is 7.000000000000001 and must not become 8.
        record(
            "agency:kpi_deficit:count",
            """
            clamp_min(ceil(
              agency:kpi_threshold:ratio * agency:kpi_denominator:max - agency:kpi_numerator:max - 1e-6
            ), 0)
            """,
        ),
        # Pooled rates: sums are divided; rates are never averaged.
        record("block:kpi_numerator:sum", f"sum by (block, kpi, window) (agency:kpi_numerator:max {block_of})"),
        record("block:kpi_denominator:sum", f"sum by (block, kpi, window) (agency:kpi_denominator:max {block_of})"),
        record("block:kpi:ratio", "block:kpi_numerator:sum / (block:kpi_denominator:sum > 0)"),
        record("national:kpi_numerator:sum", "sum by (kpi, window) (agency:kpi_numerator:max)"),
        record("national:kpi_denominator:sum", "sum by (kpi, window) (agency:kpi_denominator:max)"),
        record("national:kpi:ratio", "national:kpi_numerator:sum / (national:kpi_denominator:sum > 0)"),
    ]


def _rate_low(timing: RuleTiming) -> Rule:
    fires = firing("AgencyRateLow")
    return alert(
        "AgencyRateLow",
        f"""
        (
          # starts: below the threshold, on enough dossiers, with fresh data and no backlog
          agency:kpi:ratio < on ({_SERIES}) agency:kpi_threshold:ratio
          and on ({_SERIES})
            (agency:kpi_denominator:max >= on ({_SERIES}) agency:kpi_min_volume:max)
          and on () pipeline:freshness:seconds < {timing.freshness_limit_seconds}
          unless on () pipeline:backlog:events > {timing.backlog_limit_events}
        )
        or
        (
          # holds: fires already and is not yet above the deadband
          agency:kpi:ratio < on ({_SERIES}) agency:kpi_clear:ratio
          and on ({_SERIES}) {fires}
          unless on ({_SERIES}) agency:kpi_too_few_in_period:count
        )
        or
        (
          # holds: fires already and the window has become empty, or the storage does not answer
          agency:kpi_threshold:ratio
          and on ({_SERIES}) {fires}
          unless on ({_SERIES}) (agency:kpi:ratio or agency:kpi_too_few_in_period:count)
        )
        or
        (
          # holds: fires already and no exporter answers
          group by ({_SERIES}) ({fires})
          unless on () agency:kpi_threshold:ratio
        )
        """,
        severity="critical",
        scope="agency",
        timing=timing,
        for_seconds=timing.agency_for_seconds,
        keep_firing_seconds=timing.agency_keep_firing_seconds,
        annotations=agency_rate(
            summary="Tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo.",
            summary_en="An agency's online rate is below its threshold.",
        ),
    )


def agency_group(timing: RuleTiming) -> Rule:
    """The group of ``agency.yml``."""
    return group("agency", [*_records(timing), _rate_low(timing)], timing=timing)
