"""The alert on online dossiers that were accepted late (118/2025/NĐ-CP), over the last seven days that can be judged."""

from __future__ import annotations

from dashboards.rules.agency_alert import held_alert, trusted_for_long
from dashboards.rules.annotations import DECIMALS, NAME_AND_SPACE, THOUSANDS, THOUSANDS_EN, names, since_of, value_of
from dashboards.rules.rule import Rule, record, seen, texts
from dashboards.rules.timing import RuleTiming, number

_LATE, _ALL, _RATIO = "agency:accepted_late:max", "agency:registered_online:max", "agency:accepted_late:ratio"


def accepted_late(timing: RuleTiming) -> list[Rule]:
    """The records that the alert AgencyAcceptedLate reads, then the alert."""
    limit = timing.accepted_late_ratio
    return [
        record(_LATE, f"max by (agency) ({seen('agency_accepted_late_dossiers', timing)})"),
        record(_ALL, f"max by (agency) ({seen('agency_registered_online_dossiers', timing)})"),
        record(_RATIO, f"{_LATE} / on (agency) ({_ALL} > 0)"),
        held_alert(
            "AgencyAcceptedLate",
            labels="agency",
            start=f"{_RATIO} > {number(limit)} and on (agency) {_ALL} >= {timing.accepted_late_min_dossiers}",
            over=f"({_RATIO} <= {number(limit - timing.deadband_ratio)})",
            known=seen("agency_info", timing),
            key="agency",
            severity="warning",
            timing=timing,
            trusted=trusted_for_long(timing),
            annotations=_texts(limit),
        ),
    ]


def _texts(limit: float) -> dict[str, str]:
    of = '{{ $of := printf "{agency=%q}" $labels.agency }}'
    who = f"{of}{NAME_AND_SPACE}({{{{ $labels.agency }}}}): "
    cut, percent = f"floor(1e4 * {_RATIO}%s + 1e-6) / 100", number(limit * 100)

    def counts(thousands: str) -> str:
        return "/".join(value_of(f"{expr}%s", "%.0f", thousands) for expr in (_LATE, _ALL))

    return texts(
        "Nhiều hồ sơ trực tuyến bị tiếp nhận trễ.",
        "Many online dossiers are accepted late.",
        f"{who}{value_of(cut, '%.2f', DECIMALS)} % hồ sơ đăng ký trực tuyến bị tiếp nhận trễ ({counts(THOUSANDS)} hồ sơ của 7 "
        f"ngày đã hết hạn tiếp nhận); giới hạn {percent.replace('.', ',')} %.",
        f"{who}{value_of(cut, '%.2f')} % of the dossiers registered online were accepted late ({counts(THOUSANDS_EN)} dossiers "
        f"of the last 7 days whose time is over); limit: {percent} %.",
    ) | {
        **names(),
        "numerator": of + value_of(f"{_LATE}%s", "%.0f"),
        "denominator": of + value_of(f"{_ALL}%s", "%.0f"),
        "threshold": number(limit),
        "since": since_of("AgencyAcceptedLate"),
    }
