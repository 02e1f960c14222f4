"""The alert on an agency whose year ends below its target even if the rest equals the last 30 days in volume and rate."""

from __future__ import annotations

from dashboards.rules.agency_alert import held_alert
from dashboards.rules.annotations import (
    DECIMALS,
    KPI_TEXTS,
    KPI_TEXTS_EN,
    NAME_AND_SPACE,
    SELECTORS,
    label_text,
    names,
    query_of,
    since_of,
    value_of,
)
from dashboards.rules.rule import Rule, record, seen, texts, with_label
from dashboards.rules.timing import RuleTiming

_SERIES = "agency, kpi, window"
_TARGET = 'agency:kpi_rung:ratio{window="ytd", rung="target"}'
_YEAR_END, _LEFT = "agency:kpi_year_end:ratio", "pipeline:year_left:days"
_OVER = "agency:kpi_on_pace:ratio"


def off_pace(timing: RuleTiming) -> list[Rule]:
    """The records that the alert AgencyOffPace reads, then the alert. Only agencies with a target of the year have it."""

    def whole_year(part: str) -> str:
        return (
            f'(agency:kpi_{part}:max{{window="ytd"}} + on (agency, kpi) '
            f'agency:kpi_{part}:max{{window="30d"}} * on () group_left () ({_LEFT} / 30))'
        )

    above, below = whole_year("numerator"), whole_year("denominator")
    return [
        record(_LEFT, f"max({seen('portalpulse_year_left_seconds', timing)}) / 86400"),
        record(_YEAR_END, with_label(f"{above} / on (agency, kpi) ({below} > 0)", "window", "ytd")),
        # In a year that has just begun nothing can be said.
        record(
            _OVER,
            f"""
            {_YEAR_END} >= on ({_SERIES}) (agency:kpi_rung_clear:ratio{{window="ytd", rung="target"}} - 1e-9)
            or
            agency:kpi_too_few_in_period:count{{window="ytd"}}
            """,
        ),
        held_alert(
            "AgencyOffPace",
            labels=_SERIES,
            start=f"{_YEAR_END} < on ({_SERIES}) ({_TARGET} - 1e-9)\n"
            f"          and on ({_SERIES}) agency:kpi_enough:count\n"
            f'          and on (agency, kpi) agency:kpi_denominator:max{{window="30d"}} >= {timing.off_pace_min_dossiers}\n'
            f"          and on () {_LEFT} <= {timing.off_pace_left_days}",
            over=_OVER,
            known=_TARGET,
            key=_SERIES,
            severity="info",
            timing=timing,
            annotations=_texts(),
        ),
    ]


def _texts() -> dict[str, str]:
    cut = "floor(1e4 * agency:kpi_year_end:ratio%s + 1e-6) / 100"
    target = "100 * agency:kpi_rung:ratio%r"
    at = SELECTORS.replace("$labels.rung", '"target"')
    who = f"{at}{NAME_AND_SPACE}({{{{ $labels.agency }}}}): "
    numbers = [(f"agency:kpi_{part}:max%s", "%.0f") for part in ("numerator", "denominator")]
    vietnamese = (
        f"{who}nếu phần còn lại của năm như 30 ngày qua, {label_text('kpi', KPI_TEXTS)} cả năm "
        f"{{{{ with {query_of(cut)} }}}}là {value_of(cut, '%.2f', DECIMALS)} %{{{{ else }}}}chưa tính được{{{{ end }}}}; "
        f"chỉ tiêu {value_of(target, '%.4g', DECIMALS)} %."
    )
    english = (
        f"{who}if the rest of the year is like the last 30 days, the {label_text('kpi', KPI_TEXTS_EN)} of the year "
        f"{{{{ with {query_of(cut)} }}}}is {value_of(cut, '%.2f')} %{{{{ else }}}}is not known{{{{ end }}}}; "
        f"target: {value_of(target, '%.4g')} %."
    )
    return texts(
        "Với tiến độ hiện nay, cả năm không đạt chỉ tiêu.",
        "At the present pace the year ends below its target.",
        vietnamese,
        english,
    ) | {
        **names(),
        **{name: at + value_of(*each) for name, each in zip(("numerator", "denominator"), numbers, strict=True)},
        "threshold": at + value_of(target.removeprefix("100 * "), "%.6g"),
        "projected": at + value_of("agency:kpi_year_end:ratio%s", "%.6f"),
        "since": since_of("AgencyOffPace"),
    }
