"""Parts of alert texts: Go templates that read recorded series and write numbers in Vietnamese notation.

Rates are truncated, never rounded: 4.9999 % must not be shown as "5,00 %, ngưỡng 5 %". The annotations ``numerator``,
``threshold`` and similar ones are plain numbers with a decimal point, which a receiver formats; ratios are from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

from dashboards.rules.timing import number

#: The name of the alert's agency, or nothing. A failed scrape at this moment must not take it from a message.
_INFO = '{{ with printf "last_over_time(agency_info{agency=%q}[10m])" $labels.agency | query }}'
_NAME = _INFO + '{{ . | first | label "name" }}{{ end }}'
NAME_AND_SPACE = _NAME.replace("{{ end }}", " {{ end }}")
#: Sets ``$of`` and ``$at``, the selectors of the figures and of the rung of the alert. A rung of zero shows the threshold.
SELECTORS = (
    '{{ $of := printf "{agency=%q,kpi=%q,window=%q}" $labels.agency $labels.kpi $labels.window }}'
    '{{ $rung := $labels.rung }}{{ if eq $rung "zero" }}{{ $rung = "below5" }}{{ end }}'
    '{{ $at := printf "{agency=%q,kpi=%q,window=%q,rung=%q}" $labels.agency $labels.kpi $labels.window $rung }}'
)

#: 61729 -> 61.729 (below 1,000 million) and 4.99 -> 4,99, as pipeline stages.
THOUSANDS = r'reReplaceAll "(\\d)(\\d{3})$" "$1.$2" | reReplaceAll "(\\d)(\\d{3})\\." "$1.$2."'
THOUSANDS_EN = r'reReplaceAll "(\\d)(\\d{3})$" "$1,$2" | reReplaceAll "(\\d)(\\d{3})," "$1,$2,"'
DECIMALS = r'reReplaceAll "\\." ","'

#: 1e-6 corrects 6493.999999999999 to 6494; it is far below 1/denominator.
PERCENT_CUT = "floor(1e4 * agency:kpi:ratio%s + 1e-6) / 100"
NUMERATOR, DENOMINATOR = "agency:kpi_numerator:max%s", "agency:kpi_denominator:max%s"
#: The limit of the rung; a rate of zero is compared with the threshold of the policy.
_LIMIT = "agency:kpi_rung:ratio%r"
_CLEAR = "agency:kpi_rung_clear:ratio%r"

KPI_TEXTS = {"I1": "tỷ lệ hồ sơ trực tuyến toàn trình", "I5": "tỷ lệ hồ sơ trực tuyến"}
WINDOW_TEXTS = {
    "1h": "trong 1 giờ qua",
    "1d": "trong 24 giờ qua",
    "7d": "trong 7 ngày qua",
    "30d": "trong 30 ngày qua",
    "month": "từ đầu tháng",
    "ytd": "từ đầu năm",
}
KPI_TEXTS_EN = {"I1": "rate of fully online dossiers", "I5": "rate of online dossiers"}
WINDOW_TEXTS_EN = {
    "1h": "in the last hour",
    "1d": "in the last 24 hours",
    "7d": "in the last 7 days",
    "30d": "in the last 30 days",
    "month": "this month so far",
    "ytd": "this year so far",
}


def vietnamese_number(value: int) -> str:
    """A whole number with Vietnamese thousands."""
    return f"{value:,}".replace(",", ".")


def vietnamese_percent(ratio: float) -> str:
    """A limit in percent in Vietnamese notation, without trailing zeros."""
    return f"{number(round(ratio * 100, 7)).replace('.', ',')} %"


def whole(expr: str) -> str:
    """A template for the first value of ``expr`` as a whole number with Vietnamese thousands; empty when there is none."""
    return f'{{{{ with query "{expr}" }}}}{{{{ . | first | value | printf "%.0f" | {THOUSANDS} }}}}{{{{ end }}}}'


def whole_en(expr: str) -> str:
    """A template for the first value of ``expr`` as a whole number with English thousands; empty when there is none."""
    return f'{{{{ with query "{expr}" }}}}{{{{ . | first | value | printf "%.0f" | {THOUSANDS_EN} }}}}{{{{ end }}}}'


def age(seconds: str) -> str:
    """A template for the first value of ``seconds`` in Vietnamese: minutes up to two hours, hours up to two days, then days."""
    return _age(seconds, whole, "phút", "giờ", "ngày")


def age_en(seconds: str) -> str:
    """A template for the first value of ``seconds`` in English: minutes up to two hours, hours up to two days, then days."""
    return _age(seconds, whole_en, "minutes", "hours", "days")


def _age(seconds: str, whole: Callable[[str], str], minutes: str, hours: str, days: str) -> str:
    in_minutes, in_hours, in_days = (whole(f"floor({seconds} / {unit})") for unit in (60, 3_600, 86_400))
    return (
        f'{{{{ with query "{seconds}" }}}}{{{{ $age := . | first | value }}}}'
        f"{{{{ if lt $age 7200.0 }}}}{in_minutes} {minutes}{{{{ else if lt $age 172800.0 }}}}{in_hours} {hours}"
        f"{{{{ else }}}}{in_days} {days}{{{{ end }}}}{{{{ end }}}}"
    )


def label_text(label: str, texts: dict[str, str]) -> str:
    """A template for the text of a label's value; an unknown value is shown unchanged."""
    cases = "{{ else ".join(f'if eq $labels.{label} "{value}" }}}}{text}' for value, text in texts.items())
    return f"{{{{ {cases}{{{{ else }}}}{{{{ $labels.{label} }}}}{{{{ end }}}}"


def query_of(expr: str) -> str:
    """The template pipeline that queries ``expr``; ``%s`` in it selects the figures and ``%r`` the rung of the alert."""
    names = {"%s": "$of", "%r": "$at"}
    arguments = " ".join(names[expr[i : i + 2]] for i in range(len(expr)) if expr[i : i + 2] in names)
    return f'printf "{expr.replace("%r", "%s")}" {arguments} | query'


def value_of(expr: str, form: str, stages: str = "") -> str:
    """A template for the first value of ``expr`` in the format ``form``; empty when there is none."""
    piped = f" | {stages}" if stages else ""
    return f'{{{{ with {query_of(expr)} }}}}{{{{ . | first | value | printf "{form}"{piped} }}}}{{{{ end }}}}'


def _missing(limit: str) -> str:
    """PromQL of how many more dossiers, all online, reach ``limit`` (they count in the denominator, too).

    Empty where no number does.
    """
    gap = f"({limit} * on (agency, kpi, window) {DENOMINATOR} - on (agency, kpi, window) {NUMERATOR})"
    return f"clamp_min(ceil({gap} / on (agency, kpi, window) ((1 - {limit}) > 0) - 1e-6), 0)"


def _description(language: str) -> str:
    vietnamese = language == "vi"
    thousands = THOUSANDS if vietnamese else THOUSANDS_EN
    decimals = DECIMALS if vietnamese else ""
    numerator, denominator = (value_of(expr, "%.0f", thousands) for expr in (NUMERATOR, DENOMINATOR))
    limit = value_of(f"100 * {_LIMIT}", "%.4g", decimals)
    clear = value_of(f"100 * {_CLEAR}", "%.4g", decimals)
    rate = value_of(PERCENT_CUT, "%.2f", decimals)
    need, end = (value_of(_missing(each), "%.0f", thousands) for each in (_LIMIT, _CLEAR))
    subject = f"{NAME_AND_SPACE}({{{{ $labels.agency }}}}): "
    if vietnamese:
        known = (
            f" là {rate} % ({numerator}/{denominator} hồ sơ); ngưỡng {limit} %; "
            f"{{{{ with {query_of(_missing(_LIMIT) + ' > 0')} }}}}cần thêm ít nhất {need} hồ sơ trực tuyến để đạt {limit} %"
            f"{{{{ with {query_of(_missing(_CLEAR))} }}}} ({end} hồ sơ để kết thúc cảnh báo){{{{ end }}}}"
            f"{{{{ else }}}}cảnh báo kết thúc khi đạt từ {clear} % trở lên{{{{ end }}}}."
        )
        unknown = f" chưa đọc được hoặc kỳ không có hồ sơ nào, cảnh báo được giữ nguyên; ngưỡng {limit} %."
        what = f"{label_text('kpi', KPI_TEXTS)} {label_text('window', WINDOW_TEXTS)}"
    else:
        known = (
            f" is {rate} % ({numerator}/{denominator} dossiers); threshold: {limit} %; "
            f"{{{{ with {query_of(_missing(_LIMIT) + ' > 0')} }}}}{need} more online dossiers reach {limit} %"
            f"{{{{ with {query_of(_missing(_CLEAR))} }}}} ({end} end the alert){{{{ end }}}}"
            f"{{{{ else }}}}the alert ends at {clear} %{{{{ end }}}}."
        )
        unknown = f" is not known, or the window is empty, and the alert stays; threshold: {limit} %."
        what = f"the {label_text('kpi', KPI_TEXTS_EN)} {label_text('window', WINDOW_TEXTS_EN)}"
    with_rate = f"{{{{ with {query_of(PERCENT_CUT)} }}}}{known}{{{{ else }}}}{unknown}{{{{ end }}}}"
    return f"{SELECTORS}{subject}{what}{with_rate}"


def since_of(name: str) -> str:
    """A template for when the condition began to hold, in Unix seconds: when the alert became pending, not when it fired."""
    selector = "{alertname=%q,agency=%q,kpi=%q,window=%q,rung=%q}"
    labels = f'"{name}" $labels.agency $labels.kpi $labels.window $labels.rung'
    found = f'printf "ALERTS_FOR_STATE{selector}" {labels} | query'
    return f'{{{{ with {found} }}}}{{{{ . | first | value | printf "%.0f" }}}}{{{{ end }}}}'


def previous() -> str:
    """A template for the rate of one week earlier as numerator/denominator; empty where it is not known."""
    counts = "/".join(value_of(f"agency:kpi_earlier_{part}:max%s", "%.0f") for part in ("numerator", "denominator"))
    return f"{SELECTORS}{{{{ with {query_of('agency:kpi_earlier:ratio%s')} }}}}{counts}{{{{ end }}}}"


def names() -> dict[str, str]:
    """The annotations with the agency's name in both languages."""
    english = _NAME.replace('label "name"', 'label "name_en"')
    return {"agency_name": _NAME, "agency_name_en": english}


def agency_rate(name: str, *, summary: str, summary_en: str) -> dict[str, str]:
    """Annotations of the alert ``name`` on an agency's rate: texts, then plain numbers for templates and receivers."""
    return {
        "summary": summary,
        "summary_en": summary_en,
        "description": _description("vi"),
        "description_en": _description("en"),
        **names(),
        "numerator": SELECTORS + value_of(NUMERATOR, "%.0f"),
        "denominator": SELECTORS + value_of(DENOMINATOR, "%.0f"),
        "threshold": SELECTORS + value_of(_LIMIT, "%.6g"),
        "previous": previous(),
        "missing": SELECTORS + value_of(_missing(_LIMIT), "%.0f"),
        "missing_to_end": SELECTORS + value_of(_missing(_CLEAR), "%.0f"),
        "since": since_of(name),
    }
