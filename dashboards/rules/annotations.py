"""Parts of alert texts: Go templates that read recorded series and write numbers in Vietnamese notation.

Rates are truncated, never rounded: 4.9999 % must not be shown as "5,00 %, ngưỡng 5 %". The annotations ``rate``, ``numerator``
and similar ones are plain numbers with a decimal point, which a receiver formats.
"""

from __future__ import annotations

from dashboards.rules.timing import number

#: The name of the alert's agency, or nothing.
_NAME = '{{ with printf "agency_info{agency=%q}" $labels.agency | query }}{{ . | first | label "name" }}{{ end }}'
_NAME_AND_SPACE = _NAME.replace("{{ end }}", " {{ end }}")
#: Selects the series of the alert that the text describes; used with ``_LABELS``.
_OF_ALERT = "{agency=%q,kpi=%q,window=%q}"
_LABELS = "$labels.agency $labels.kpi $labels.window"

#: 61729 -> 61.729 (below 1,000 million) and 4.99 -> 4,99, as pipeline stages.
_THOUSANDS = r'reReplaceAll "(\\d)(\\d{3})$" "$1.$2" | reReplaceAll "(\\d)(\\d{3})\\." "$1.$2."'
_DECIMALS = r'reReplaceAll "\\." ","'

#: 1e-6 corrects 6493.999999999999 to 6494; it is far below 1/denominator.
_PERCENT_CUT = "floor(1e4 * agency:kpi:ratio%s + 1e-6) / 100"
_THRESHOLD_PERCENT = "100 * agency:kpi_threshold:ratio%s"
_CLEAR_PERCENT = "100 * agency:kpi_clear:ratio%s"

_KPI_TEXTS = {"I1": "tỷ lệ hồ sơ trực tuyến toàn trình", "I5": "tỷ lệ hồ sơ trực tuyến"}
_WINDOW_TEXTS = {
    "1h": "trong 1 giờ qua",
    "1d": "trong 24 giờ qua",
    "7d": "trong 7 ngày qua",
    "month": "từ đầu tháng",
    "ytd": "từ đầu năm",
}


def vietnamese_number(value: int) -> str:
    """A whole number with Vietnamese thousands."""
    return f"{value:,}".replace(",", ".")


def vietnamese_percent(ratio: float) -> str:
    """A limit in percent in Vietnamese notation, without decimals that say nothing."""
    return f"{number(round(ratio * 100, 7)).replace('.', ',')} %"


def whole(expr: str) -> str:
    """The first value of ``expr`` as a whole number with Vietnamese thousands; nothing when there is none."""
    return f'{{{{ with query "{expr}" }}}}{{{{ . | first | value | printf "%.0f" | {_THOUSANDS} }}}}{{{{ end }}}}'


def whole_en(expr: str) -> str:
    """The first value of ``expr`` as a whole number with English thousands; nothing when there is none."""
    stages = r'reReplaceAll "(\\d)(\\d{3})$" "$1,$2" | reReplaceAll "(\\d)(\\d{3})," "$1,$2,"'
    return f'{{{{ with query "{expr}" }}}}{{{{ . | first | value | printf "%.0f" | {stages} }}}}{{{{ end }}}}'


def _label_text(label: str, texts: dict[str, str]) -> str:
    """The text for the value of a label; an unknown value is shown as it is."""
    cases = "{{ else ".join(f'if eq $labels.{label} "{value}" }}}}{text}' for value, text in texts.items())
    return f"{{{{ {cases}{{{{ else }}}}{{{{ $labels.{label} }}}}{{{{ end }}}}"


def _plain(expr: str, *, form: str) -> str:
    of_alert = expr.replace("%s", _OF_ALERT)
    query = f'printf "{of_alert}" {_LABELS} | query'
    return f'{{{{ with {query} }}}}{{{{ . | first | value | printf "{form}" }}}}{{{{ end }}}}'


def _inside(expr: str, *, form: str, stages: str) -> str:
    """Like ``_plain``, in a text that has set ``$of``."""
    return f'{{{{ printf "{expr}" $of | query | first | value | printf "{form}" | {stages} }}}}'


def _description() -> str:
    rate = f'{{{{ . | first | value | printf "%.2f" | {_DECIMALS} }}}} %'
    numerator = _inside("agency:kpi_numerator:max%s", form="%.0f", stages=_THOUSANDS)
    denominator = _inside("agency:kpi_denominator:max%s", form="%.0f", stages=_THOUSANDS)
    threshold = f'{{{{ . | first | value | printf "%.4g" | {_DECIMALS} }}}} %'
    missing = f'{{{{ . | first | value | printf "%.0f" | {_THOUSANDS} }}}}'
    clear = _inside(_CLEAR_PERCENT, form="%.4g", stages=_DECIMALS)
    return "".join(
        (
            f'{{{{ $of := printf "{_OF_ALERT}" {_LABELS} }}}}',
            f"{_NAME_AND_SPACE}({{{{ $labels.agency }}}}): ",
            f"{_label_text('kpi', _KPI_TEXTS)} {_label_text('window', _WINDOW_TEXTS)}",
            f'{{{{ with printf "{_PERCENT_CUT}" $of | query }}}} là {rate} ({numerator}/{denominator} hồ sơ)',
            '{{ else }} chưa tính được vì {{ with printf "agency:kpi_denominator:max%s" $of | query }}không có hồ sơ nào',
            "{{ else }}chưa đọc được số liệu{{ end }}, cảnh báo được giữ nguyên{{ end }}",
            f'{{{{ with printf "{_THRESHOLD_PERCENT}" $of | query }}}}; ngưỡng {threshold}{{{{ end }}}}',
            f'{{{{ with printf "agency:kpi_deficit:count%s > 0" $of | query }}}}; còn thiếu {missing} hồ sơ trực tuyến',
            '{{ else }}{{ with printf "agency:kpi:ratio%s" $of | query }}',
            f"; cảnh báo kết thúc khi đạt từ {clear} % trở lên{{{{ end }}}}{{{{ end }}}}.",
        )
    )


def agency_rate(*, summary: str, summary_en: str) -> dict[str, str]:
    """Annotations of an alert on an agency's rate: texts, then plain numbers for templates and receivers."""
    return {
        "summary": summary,
        "summary_en": summary_en,
        "description": _description(),
        "agency_name": _NAME,
        "numerator": _plain("agency:kpi_numerator:max%s", form="%.0f"),
        "denominator": _plain("agency:kpi_denominator:max%s", form="%.0f"),
        "rate": _plain(_PERCENT_CUT, form="%.2f"),
        "threshold": _plain(_THRESHOLD_PERCENT, form="%.4g"),
        "deficit": _plain("agency:kpi_deficit:count%s", form="%.0f"),
    }
