"""The words of messages in Vietnamese and English. Numbers are cut when they are written, never rounded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from domain.indicators import Ratio
from domain.periods import VIETNAM
from domain.rounding import decimal, percent, vietnamese


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language. Fields in braces are filled with ``str.format``."""

    language: str
    time_format: str
    time_zone: str
    severities: Mapping[str, str]
    kpis: Mapping[str, str]
    windows: Mapping[str, str]
    counts: tuple[str, str]  # firing, ended; {n}
    headings: tuple[str, str]
    agencies: str  # {n}
    low: str  # {who} {kpi} {window} {rate} {counts} {threshold}
    low_short: str
    changed: Mapping[str, str]  # {who} {kpi} {window} {before} {rate} {counts}
    silent: str  # {who} {quiet_hours} {usual_hours}
    never_heard: str  # {who}
    limited: Mapping[str, str]  # {who} {kpi} {projected} {threshold} {rate} {counts}
    many: str
    subject_low: str
    subject_many: str
    subject_ended: str
    level: str
    since: str
    before: str
    missing: str
    missing_end: str
    impossible: str
    procedures: str  # {procedures}
    procedures_of: str  # {procedures} {first} {last}
    day_format: str
    also: str
    no_figures: str
    present: str
    last: str
    duration: str
    started: str
    more: str
    links: Mapping[str, str]
    test: str
    held: str
    dossiers: str
    online: Mapping[str, str]

    def whole(self, number: int) -> str:
        """A whole number with separated thousands."""
        return vietnamese(str(number)) if self.language == "vi" else f"{number:,}"

    def rate(self, ratio: Ratio) -> str:
        """A rate in percent, cut to two decimals; a dash without data."""
        found = percent(ratio)
        if found is None:
            return "—"
        return f"{vietnamese(found) if self.language == 'vi' else found} %"

    def ratio(self, ratio: Fraction, *, decimals: int = 2) -> str:
        """A ratio in percent, cut."""
        text = decimal(100 * ratio, decimals=decimals)
        return f"{vietnamese(text) if self.language == 'vi' else text} %"

    def threshold(self, ratio: Fraction) -> str:
        """A threshold in percent, without trailing zeros."""
        text = decimal(100 * ratio, decimals=4).rstrip("0").rstrip(".")
        return f"{vietnamese(text) if self.language == 'vi' else text} %"

    def counted(self, ratio: Ratio) -> str:
        """Numerator and denominator of a ratio as text."""
        return f"{self.whole(ratio.numerator)}/{self.whole(ratio.denominator)} {self.dossiers}"

    def time(self, instant: dt.datetime) -> str:
        """An instant in the time of Viet Nam."""
        return f"{instant.astimezone(VIETNAM):{self.time_format}}{self.time_zone}"

    def day(self, text: str) -> str:
        """The text of a civil day that is given as 2026-11-26."""
        return f"{dt.date.fromisoformat(text):{self.day_format}}"

    def kpi(self, code: str) -> str:
        """The name of an indicator within a sentence; an unknown code is returned unchanged."""
        return self.kpis.get(code, code)

    def online_dossiers(self, kpi: str) -> str:
        """The dossiers that the numerator of an indicator counts; for an unknown indicator only "dossiers"."""
        return self.online.get(kpi, self.dossiers)

    def window(self, code: str) -> str:
        """The words for a window; an unknown code is returned unchanged."""
        return self.windows.get(code, code)


VIETNAMESE: Final = Words(
    language="vi",
    time_format="%H:%M ngày %d/%m/%Y",
    time_zone="",
    severities={"critical": "nghiêm trọng", "warning": "cảnh báo", "info": "thông tin", "none": "không"},
    kpis={"I1": "tỷ lệ hồ sơ trực tuyến toàn trình", "I5": "tỷ lệ hồ sơ trực tuyến"},
    windows={
        "1h": "trong 1 giờ qua",
        "1d": "trong 24 giờ qua",
        "7d": "trong 7 ngày qua",
        "30d": "trong 30 ngày qua",
        "month": "từ đầu tháng",
        "ytd": "từ đầu năm",
    },
    counts=("{n} cảnh báo", "{n} đã kết thúc"),
    headings=("ĐANG CẢNH BÁO", "ĐÃ KẾT THÚC"),
    agencies="{n} cơ quan",
    low="{who}: {kpi} {window} là {rate} ({counts}), dưới ngưỡng {threshold}.",
    low_short="{window} {rate} ({counts}), ngưỡng {threshold}",
    changed={
        "AgencyRateDropped": "{who}: {kpi} {window} giảm từ {before} (một tuần trước) xuống {rate} ({counts}).",
        "AgencyRateSurged": "{who}: {kpi} {window} tăng từ {before} (một tuần trước) lên {rate} ({counts}).",
    },
    silent="{who}: không có sự kiện nào trong {quiet_hours} giờ làm việc; thường không quá {usual_hours} giờ.",
    never_heard="{who}: chưa từng gửi sự kiện nào.",
    limited={
        "AgencyOffPace": "{who}: nếu phần còn lại của năm như 30 ngày qua, {kpi} cả năm là {projected}, dưới chỉ tiêu "
        "{threshold}; từ đầu năm đến nay là {rate} ({counts}).",
        "AgencyAcceptedLate": "{who}: {rate} hồ sơ đăng ký trực tuyến bị tiếp nhận trễ ({counts} của 7 ngày đã hết hạn tiếp "
        "nhận), quá giới hạn {threshold}.",
    },
    many="{who}: {rate} {window} ({counts}), ngưỡng {threshold}",
    subject_low="{who}: {kpi} {rate}, dưới ngưỡng {threshold}",
    subject_ended="{who}: {kpi} hiện là {rate}",
    subject_many="{agencies}: {summary}",
    level="Mức độ: {severity}.",
    since="Tỷ lệ thấp từ {since}.",
    before="Một tuần trước là {before}.",
    missing="Cần thêm {n} {online} để đạt {threshold}.",
    missing_end="Cần thêm {n} {online} để đạt {threshold}, {m} hồ sơ để kết thúc cảnh báo.",
    impossible="Không thể đạt {threshold} trong kỳ này.",
    procedures="Thủ tục ảnh hưởng nhiều nhất: {procedures}",
    procedures_of="Thủ tục ảnh hưởng nhiều nhất từ {first} đến {last}: {procedures}.",
    day_format="%d/%m/%Y",
    also="Kỳ khác cũng dưới ngưỡng: {others}.",
    no_figures="{who}: {kpi} {window} chưa có số liệu mới; cảnh báo được giữ nguyên.",
    present="{who}: {kpi} {window} hiện là {rate} ({counts}).",
    last="{who}: {kpi} {window}; số liệu cuối cùng trước khi kết thúc là {rate} ({counts}).",
    duration="Từ {start} đến {end}.",
    started="Bắt đầu: {start}.",
    more="… và {n} cảnh báo khác.",
    links={"board": "Bảng theo dõi", "agency": "Trang của cơ quan", "runbook": "Hướng dẫn xử lý"},
    test="TIN THỬ: không có sự cố nào.",
    held="Các thông báo ngoài giờ làm việc:",
    dossiers="hồ sơ",
    online={"I1": "hồ sơ toàn trình", "I5": "hồ sơ trực tuyến"},
)

ENGLISH: Final = Words(
    language="en",
    time_format="%H:%M on %Y-%m-%d",
    time_zone=" (UTC+7)",
    severities={"critical": "critical", "warning": "warning", "info": "information", "none": "none"},
    kpis={"I1": "rate of fully online dossiers", "I5": "rate of online dossiers"},
    windows={
        "1h": "in the last hour",
        "1d": "in the last 24 hours",
        "7d": "in the last 7 days",
        "30d": "in the last 30 days",
        "month": "this month so far",
        "ytd": "this year so far",
    },
    counts=("{n} firing", "{n} ended"),
    headings=("FIRING", "ENDED"),
    agencies="{n} agencies",
    low="{who}: the {kpi} {window} is {rate} ({counts}), below the threshold of {threshold}.",
    low_short="{window} {rate} ({counts}), threshold {threshold}",
    changed={
        "AgencyRateDropped": "{who}: the {kpi} {window} fell from {before} one week earlier to {rate} ({counts}).",
        "AgencyRateSurged": "{who}: the {kpi} {window} rose from {before} one week earlier to {rate} ({counts}).",
    },
    silent="{who}: no events for {quiet_hours} office hours; usually not more than {usual_hours}.",
    never_heard="{who}: it has never sent an event.",
    limited={
        "AgencyOffPace": "{who}: if the rest of the year is like the last 30 days, the {kpi} of the year is {projected}, below "
        "the target of {threshold}; so far it is {rate} ({counts}).",
        "AgencyAcceptedLate": "{who}: {rate} of the dossiers registered online were accepted late ({counts} of the last 7 days "
        "whose time is over), above the limit of {threshold}.",
    },
    many="{who}: {rate} {window} ({counts}), threshold {threshold}",
    subject_low="{who}: {kpi} {rate}, below {threshold}",
    subject_ended="{who}: {kpi} now {rate}",
    subject_many="{agencies}: {summary}",
    level="Severity: {severity}.",
    since="The rate has been low since {since}.",
    before="One week earlier it was {before}.",
    missing="{n} more {online} reach {threshold}.",
    missing_end="{n} more {online} reach {threshold}, {m} end the alert.",
    impossible="{threshold} cannot be reached in this period.",
    procedures="Procedures that explain most of it: {procedures}",
    procedures_of="Procedures that explain most of it, {first} to {last}: {procedures}.",
    day_format="%Y-%m-%d",
    also="Other windows below the threshold: {others}.",
    no_figures="{who}: no new figures for the {kpi} {window}; the alert stays.",
    present="{who}: the {kpi} {window} is now {rate} ({counts}).",
    last="{who}: {kpi} {window}; the last figures before the end were {rate} ({counts}).",
    duration="From {start} to {end}.",
    started="Since {start}.",
    more="… and {n} more alerts.",
    links={"board": "Board", "agency": "The agency", "runbook": "Runbook"},
    test="TEST: nothing has happened.",
    held="Messages from outside office hours:",
    dossiers="dossiers",
    online={"I1": "fully online dossiers", "I5": "online dossiers"},
)

LANGUAGES: Final = {"vi": VIETNAMESE, "en": ENGLISH}
