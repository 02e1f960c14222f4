"""Recorded differences of rates from those of one week earlier, which AgencyRateDropped and AgencyRateSurged read.

A window is compared with itself one week earlier: 24 hours with those of the same weekday, 7 days with the 7 days before.
"""

from __future__ import annotations

from typing import Final

from dashboards.rules.annotations import (
    DECIMALS,
    DENOMINATOR,
    KPI_TEXTS,
    KPI_TEXTS_EN,
    NAME_AND_SPACE,
    NUMERATOR,
    PERCENT_CUT,
    SELECTORS,
    THOUSANDS,
    THOUSANDS_EN,
    WINDOW_TEXTS,
    WINDOW_TEXTS_EN,
    label_text,
    names,
    previous,
    query_of,
    since_of,
    value_of,
)
from dashboards.rules.rule import Rule, record, seen
from dashboards.rules.timing import RuleTiming

SERIES: Final = "agency, kpi, window"
#: Corrects a limit for what arithmetic makes slightly larger or smaller; far below what one dossier changes.
EPSILON: Final = 1e-9
#: The end of a start: enough dossiers in both windows, of an indicator for which the agency has a policy.
COMPARABLE: Final = f"and on ({SERIES}) agency:kpi_comparable:count\n          and on (agency, kpi) agency:kpi_threshold:ratio"
_EARLIER_CUT: Final = "floor(1e4 * agency:kpi_earlier:ratio%s + 1e-6) / 100"


def change_records(timing: RuleTiming) -> list[Rule]:
    """The records: earlier figures, the difference in points and as a multiple, and where both windows have enough dossiers."""
    earlier, now = "agency:kpi_earlier_denominator:max", "agency:kpi_denominator:max"

    def enough(window: str, dossiers: int) -> str:
        of_window = f'{{window="{window}"}}'
        return f"{now}{of_window} >= {dossiers} and on ({SERIES}) {earlier}{of_window} >= {dossiers}"

    return [
        record(earlier, f"max by ({SERIES}) ({seen('agency_kpi_earlier_denominator', timing)})"),
        record("agency:kpi_earlier_numerator:max", f"max by ({SERIES}) ({seen('agency_kpi_earlier_numerator', timing)})"),
        record("agency:kpi_earlier:ratio", f"agency:kpi_earlier_numerator:max / ({earlier} > 0)"),
        record("agency:kpi_change:points", f"agency:kpi:ratio - on ({SERIES}) agency:kpi_earlier:ratio"),
        # From zero there is no multiple.
        record("agency:kpi_change:ratio", f"agency:kpi:ratio / on ({SERIES}) (agency:kpi_earlier:ratio > 0)"),
        record(
            "agency:kpi_comparable:count",
            f"""
            {enough("1d", timing.day_min_dossiers)}
            or
            {enough("7d", timing.week_min_dossiers)}
            """,
        ),
        # Fewer dossiers end nothing: three on a Sunday are not a recovery.
        record(
            "agency:kpi_change_known:count",
            f"""
            {enough("1d", timing.change_end_dossiers)}
            or
            {enough("7d", timing.change_end_dossiers)}
            """,
        ),
    ]


def change_texts(name: str, *, summary: str, summary_en: str, verbs: tuple[str, str]) -> dict[str, str]:
    """The annotations of the alert ``name`` on a change; ``verbs``: such as "giảm từ %s xuống", and the same in English."""
    vietnamese = f"{label_text('kpi', KPI_TEXTS)} {label_text('window', WINDOW_TEXTS)}"
    english = f"the {label_text('kpi', KPI_TEXTS_EN)} {label_text('window', WINDOW_TEXTS_EN)}"
    unknown, unknown_en = " chưa so sánh được, cảnh báo được giữ nguyên.", " cannot be compared now, and the alert stays."
    return {
        "summary": summary,
        "summary_en": summary_en,
        "description": _sentence(vietnamese, f" {verbs[0] % _rate(_EARLIER_CUT, DECIMALS)}", unknown, "hồ sơ"),
        "description_en": _sentence(english, f" {verbs[1] % _rate(_EARLIER_CUT)}", unknown_en, "dossiers"),
        **names(),
        "numerator": SELECTORS + value_of(NUMERATOR, "%.0f"),
        "denominator": SELECTORS + value_of(DENOMINATOR, "%.0f"),
        "previous": previous(),
        "since": since_of(name),
    }


def _rate(expr: str, decimals: str = "") -> str:
    return f"{value_of(expr, '%.2f', decimals)} %"


def _sentence(what: str, verb: str, unknown: str, counted: str) -> str:
    vietnamese = counted == "hồ sơ"
    now = _rate(PERCENT_CUT, DECIMALS if vietnamese else "")
    counts = "/".join(value_of(expr, "%.0f", THOUSANDS if vietnamese else THOUSANDS_EN) for expr in (NUMERATOR, DENOMINATOR))
    both = query_of("agency:kpi_change:points%s")
    return (
        f"{SELECTORS}{NAME_AND_SPACE}({{{{ $labels.agency }}}}): {what}"
        f"{{{{ with {both} }}}}{verb} {now} ({counts} {counted}).{{{{ else }}}}{unknown}{{{{ end }}}}"
    )
