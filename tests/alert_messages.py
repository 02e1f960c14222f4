"""Alerts for the tests of messages, and the expected messages: ``python -m tests.alert_messages`` writes them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from dashboards.notify.alerts import Alert
from dashboards.notify.content import Links, content_of
from dashboards.notify.messages import message_of
from dashboards.notify.words import LANGUAGES
from domain.indicators import Ratio
from domain.periods import VIETNAM

#: A Thursday, 05:22 in Viet Nam.
STARTED = dt.datetime(2026, 11, 26, 5, 22, tzinfo=VIETNAM)
ENDED = dt.datetime(2026, 11, 26, 8, 0, tzinfo=VIETNAM)
SINCE = dt.datetime(2026, 11, 26, 5, 12, tzinfo=VIETNAM)


def alert(name="AgencyRateLow", *, firing=True, agency="H26", window="1d", severity="critical", rung="below5", kpi="I1", **notes):
    """An alert about a low rate, 3 of 104, unless told otherwise."""
    labels = {"alertname": name, "severity": severity, "scope": "agency"}
    annotations = {"summary": "Tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo.", "summary_en": "The rate is below its threshold."}
    labels |= {"agency": agency, "kpi": kpi, "window": window, "rung": rung}
    annotations |= {"agency_name": "Hà Nội", "agency_name_en": "Ha Noi", "numerator": "3", "denominator": "104"}
    annotations |= {"threshold": "0.05", "missing_to_end": "4", "previous": "0.12049", "since": str(SINCE.timestamp())}
    return Alert(f"{name}-{agency}-{window}-{rung}", firing, labels, annotations | notes, STARTED, None if firing else ENDED)


def silent(agency="H26", *, firing=True, severity="warning", **notes):
    """An alert about an agency that sends nothing."""
    labels = {"alertname": "AgencySilent", "severity": severity, "scope": "agency", "agency": agency}
    annotations = {"summary": "Cơ quan không gửi dữ liệu.", "summary_en": "An agency sends no data."}
    annotations |= {"agency_name": "Hà Nội", "agency_name_en": "Ha Noi", "since": str(SINCE.timestamp())}
    return Alert(f"silent-{agency}", firing, labels, annotations | notes, STARTED, None if firing else ENDED)


def fault(name="PipelineStalled", *, firing=True, severity="critical", **notes):
    """An alert about the pipeline."""
    annotations = {
        "summary": "Hệ thống không nhận được sự kiện hồ sơ mới.",
        "summary_en": "No new dossier events arrive.",
        "description": "Sự kiện mới nhất đã cách đây 12 phút.",
        "description_en": "The newest event is 12 minutes old.",
    }
    labels = {"alertname": name, "severity": severity, "scope": "pipeline"}
    return Alert(name, firing, labels, annotations | notes, STARTED, None if firing else ENDED)


DATA = Path(__file__).parent / "data" / "messages"
LINKS = Links(
    "https://board.example.vn/", "https://board.example.vn/?agency={agency}", "https://p.example.vn/runbook/{language}#{alert}"
)
OTHERS = {"agency_name": "Bộ <Y tế> & khác", "agency_name_en": "Ministry <of> Health & others"}
PROCEDURES = {"procedures": "1.000001 0/40; 1.000002 3/31", "procedures_from": "2026-11-25", "procedures_to": "2026-11-26"}
DROPPED = {
    "summary": "Tỷ lệ hồ sơ trực tuyến giảm mạnh.",
    "summary_en": "An agency's online rate dropped.",
    "previous": "24/100",
    "numerator": "120",
    "denominator": "1000",
}
SURGED = {
    "summary": "Tỷ lệ hồ sơ trực tuyến tăng mạnh.",
    "summary_en": "An agency's online rate surged.",
    "previous": "120/1000",
    "numerator": "240",
    "denominator": "1000",
}
OFF_PACE = {
    "summary": "Với tiến độ hiện nay, cả năm không đạt chỉ tiêu.",
    "summary_en": "At the present pace the year ends below its target.",
    "threshold": "0.7",
    "previous": "",
    "projected": "0.689999",
}
LATE = {
    "summary": "Nhiều hồ sơ trực tuyến bị tiếp nhận trễ.",
    "summary_en": "Many online dossiers are accepted late.",
    "threshold": "0.1",
    "previous": "",
    "numerator": "130",
    "denominator": "1040",
}
#: What happened, by the name of the expected files.
CASES = {
    "agency": [
        alert(window="ytd", severity="warning", numerator="1203", denominator="37450"),
        alert(procedures="Đăng ký khai sinh 0/40; Cấp căn cước 1/31; Đăng ký kết hôn 2/33"),
        alert(window="7d", firing=False),
    ],
    "ended": [alert(firing=False)],
    "pipeline": [fault()],
    "many": [alert(), alert(agency="G15", numerator="0", rung="zero", **OTHERS), alert(agency="H17", firing=False)],
    "dropped": [alert("AgencyRateDropped", severity="warning", rung="", **DROPPED, **PROCEDURES)],
    "surged": [alert("AgencyRateSurged", severity="info", rung="", window="7d", **SURGED)],
    "silent": [silent(quiet_hours="14", usual_hours="9"), silent("G15", severity="info", **OTHERS)],
    "silent-one": [silent(quiet_hours="14", usual_hours="9")],
    "accepted-late": [alert("AgencyAcceptedLate", severity="warning", kpi="", window="", rung="", **LATE)],
    "off-pace": [alert("AgencyOffPace", severity="info", rung="", window="ytd", **OFF_PACE)],
}


def written(name, language):
    """The message of a case."""
    words = LANGUAGES[language]
    return message_of(content_of(CASES[name], words, links=LINKS, present=lambda _: Ratio(25, 360)), words)


def forms(message):
    """The text of each form by the ending of its file."""
    return {"txt": f"{message.subject}\n\n{message.text}", "html": message.html, "telegram": message.telegram}


def write_expected():
    """Write the expected messages; read the difference before you commit it."""
    DATA.mkdir(exist_ok=True)
    for name in CASES:
        for language in LANGUAGES:
            for form, text in forms(written(name, language)).items():
                (DATA / f"{name}.{language}.{form}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_expected()
