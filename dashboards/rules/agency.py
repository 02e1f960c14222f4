"""Recorded rates of agencies, blocks and the nation, for boards and alerts, and the ladder of limits below which alerts start.

A rung of the ladder is ``zero``, ``below5`` (the threshold of the policy), ``below10`` or ``target``. Each rung is a series with
its limit and its severity, so that one alert serves all rungs. Alertmanager sends only the worst rung of an agency.
"""

from __future__ import annotations

from dashboards.rules.accepted_late import accepted_late
from dashboards.rules.changes import change_records
from dashboards.rules.off_pace import off_pace
from dashboards.rules.rate_dropped import rate_dropped
from dashboards.rules.rate_low import rate_low
from dashboards.rules.rate_surged import rate_surged
from dashboards.rules.rule import Rule, group, record, seen, with_label
from dashboards.rules.silent import silent
from dashboards.rules.timing import RuleTiming, number

_SERIES = "agency, kpi, window"
#: Windows that begin at a day of the calendar. The others move along, and shrink when an agency sends little.
_CALENDAR_WINDOWS = "month|ytd"
#: Smaller than one dossier of any number: only a true zero is below it.
_ZERO = "1e-9"


def _figures(timing: RuleTiming) -> list[Rule]:
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
        # Enough dossiers to be judged.
        record("agency:kpi_enough:count", f"agency:kpi_denominator:max >= on ({_SERIES}) agency:kpi_min_volume:max"),
        # A window that stands in for shorter ones, while one of these holds enough dossiers itself.
        record(
            "agency:kpi_stand_in_idle:max",
            f"""
            max by ({_SERIES}) ({seen("agency_stand_in_window", timing)})
            and on (agency, kpi) agency:kpi_enough:count{{window="1d"}}
            or
            max by ({_SERIES}) ({seen('agency_stand_in_window{window="30d"}', timing)})
            and on (agency, kpi) agency:kpi_enough:count{{window="7d"}}
            """,
        ),
        # A month or year that has just begun. Within a month or year the number of dossiers does not shrink.
        record(
            "agency:kpi_too_few_in_period:count",
            f"""
            agency:kpi_denominator:max{{window=~"{_CALENDAR_WINDOWS}"}} < on ({_SERIES}) agency:kpi_min_volume:max
            """,
        ),
        # New online dossiers that reach the threshold; they count in the denominator, too. 1e-6: a whole number that arithmetic
        # makes slightly larger must not become the next one. A threshold of 100 % cannot be reached by new dossiers.
        record(
            "agency:kpi_deficit:count",
            """
            clamp_min(ceil(
              (agency:kpi_threshold:ratio * agency:kpi_denominator:max - agency:kpi_numerator:max)
              / ((1 - agency:kpi_threshold:ratio) > 0) - 1e-6
            ), 0)
            """,
        ),
    ]


def _ladder(timing: RuleTiming) -> list[Rule]:
    limits = f"""(
            {with_label(f"agency:kpi_threshold:ratio%s * 0 + {_ZERO}", "rung", "zero")}
            or {with_label("agency:kpi_threshold:ratio%s", "rung", "below5")}
            or max by ({_SERIES}, rung) ({seen("agency_rung_ratio%s", timing)})
            )"""
    day, year = limits.replace("%s", '{window!="ytd"}'), limits.replace("%s", '{window="ytd"}')

    def with_severity(expr: str, severity: str, rungs: str) -> str:
        return f'label_replace({expr}, "severity", "{severity}", "rung", "{rungs}")'

    urgent = with_severity(with_severity(day, "critical", "zero|below5"), "warning", "below10")
    # A year is low for months: it wakes nobody.
    slow = with_severity(year, "warning", "zero|below5|below10")
    return [
        record(
            "agency:kpi_rung:ratio",
            f"""
            {with_severity(urgent, "info", "target")}
            or
            {with_severity(slow, "info", "target")}
            """,
        ),
        # round: 0.05 + 0.01 is 0.060000000000000005, which exactly 6 % would not reach. clamp_max: 100 % must be reachable.
        # A zero has no deadband: one dossier ends it.
        record(
            "agency:kpi_rung_clear:ratio",
            f"""
            clamp_max(round(agency:kpi_rung:ratio{{rung!="zero"}} + {number(timing.deadband_ratio)}, 1e-6), 1)
            or
            agency:kpi_rung:ratio{{rung="zero"}}
            """,
        ),
    ]


def _pooled(timing: RuleTiming) -> list[Rule]:
    """The records of pooled rates: numerators and denominators are summed, then divided; rates are never averaged."""
    block_of = f"* on (agency) group_left (block) max by (agency, block) ({seen('agency_info', timing)})"
    return [
        record("block:kpi_numerator:sum", f"sum by (block, kpi, window) (agency:kpi_numerator:max {block_of})"),
        record("block:kpi_denominator:sum", f"sum by (block, kpi, window) (agency:kpi_denominator:max {block_of})"),
        record("block:kpi:ratio", "block:kpi_numerator:sum / (block:kpi_denominator:sum > 0)"),
        record("national:kpi_numerator:sum", "sum by (kpi, window) (agency:kpi_numerator:max)"),
        record("national:kpi_denominator:sum", "sum by (kpi, window) (agency:kpi_denominator:max)"),
        record("national:kpi:ratio", "national:kpi_numerator:sum / (national:kpi_denominator:sum > 0)"),
    ]


def agency_group(timing: RuleTiming) -> Rule:
    """The rule group of ``agency.yml``."""
    rules = [
        *_figures(timing),
        *_ladder(timing),
        *_pooled(timing),
        rate_low(timing),
        *change_records(timing),
        *rate_dropped(timing),
        *rate_surged(timing),
        *silent(timing),
        *off_pace(timing),
        *accepted_late(timing),
    ]
    return group("agency", rules, timing=timing)
