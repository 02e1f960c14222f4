"""The alert on an agency that sends nothing, measured in office hours and against its own past.

Time outside office hours does not count, so nobody is told on a Sunday. An agency that usually sends once a week counts as
silent after more than a week, and one that sends every day after more than a day.
"""

from __future__ import annotations

from dashboards.rules.agency_alert import held_alert
from dashboards.rules.annotations import NAME_AND_SPACE, names, query_of, since_of, value_of
from dashboards.rules.rule import Rule, record, seen, texts, with_label
from dashboards.rules.timing import RuleTiming, number

_QUIET, _LIMIT = "agency:quiet_working:seconds", "agency:quiet_limit:seconds"
_USUAL = "agency:usual_quiet:seconds"


def silent(timing: RuleTiming) -> list[Rule]:
    """The records that the alert AgencySilent reads, then the alert."""
    # The clock of a scenario stands still: nobody is silent in it.
    moving = f"(1 - (max({seen('portalpulse_clock_fixed', timing)}) or vector(0)))"
    longer = f"{_QUIET} > on (agency) {_LIMIT}"
    return [
        record(_QUIET, f"max by (agency) ({seen('agency_quiet_working_seconds', timing)}) * on () group_left () {moving}"),
        record(_USUAL, f"max by (agency) ({seen('agency_usual_quiet_seconds', timing)})"),
        # An agency that was never heard of has no usual pause.
        record(
            _LIMIT,
            f"""
            clamp_min({_USUAL} * {number(timing.silent_factor)}, {timing.silent_seconds})
            or on (agency)
            {_QUIET} * 0 + {timing.never_heard_seconds}
            """,
        ),
        held_alert(
            "AgencySilent",
            labels="agency, severity",
            start=f"{with_label(f'({longer} and on (agency) {_USUAL})', 'severity', 'warning')}\n"
            f"          or {with_label(f'({longer} unless on (agency) {_USUAL})', 'severity', 'info')}",
            over=f"({_QUIET} <= on (agency) {_LIMIT})",
            known=_QUIET,
            key="agency",
            severity=None,
            timing=timing,
            annotations=_texts(),
        ),
    ]


def _texts() -> dict[str, str]:
    of = '{{ $of := printf "{agency=%q}" $labels.agency }}'
    who = f"{of}{NAME_AND_SPACE}({{{{ $labels.agency }}}}): "
    hours, usual = f"floor({_QUIET}%s / 3600)", f"ceil({_USUAL}%s / 3600)"
    known = query_of(f"{_USUAL}%s")
    return texts(
        "Cơ quan không gửi dữ liệu.",
        "An agency sends no data.",
        f"{who}{{{{ with {known} }}}}không có sự kiện nào trong {value_of(hours, '%.0f')} giờ làm việc; thường không quá "
        f"{value_of(usual, '%.0f')} giờ{{{{ else }}}}chưa từng gửi sự kiện nào{{{{ end }}}}. Tỷ lệ của cơ quan là số liệu cũ.",
        f"{who}{{{{ with {known} }}}}no events for {value_of(hours, '%.0f')} office hours; usually not more than "
        f"{value_of(usual, '%.0f')}{{{{ else }}}}it has never sent an event{{{{ end }}}}. Its rates are old.",
    ) | {
        **names(),
        "quiet_hours": of + value_of(hours, "%.0f"),
        "usual_hours": of + value_of(usual, "%.0f"),
        "since": since_of("AgencySilent"),
    }
