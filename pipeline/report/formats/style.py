"""Decimals, rounding and language of a printed report, and the words of both languages."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.calendars import PeriodKind
from domain.indicators import ALL_INDICATORS, Ratio
from domain.periods import VIETNAM
from domain.rate_classes import RateClass
from domain.rounding import Rounding, change_in_percent, change_in_points, percent, vietnamese
from pipeline.report.completeness import NotFinal

#: Shown where there is no data.
NO_DATA: Final = "—"
#: Kinds of periods that are named by their days.
_UNNAMED: Final = frozenset({PeriodKind.DAY.value, PeriodKind.DAYS.value, PeriodKind.YEAR_TO_DATE.value})
#: Most decimals of a printed rate.
MAX_DECIMALS: Final = 6


class Language(enum.StrEnum):
    """The language of headings, names and numbers."""

    VI = "vi"
    EN = "en"


#: Headings and sentences: key -> (Vietnamese, English).
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "rank": ("Hạng", "Rank"),
    "code": ("Mã", "Code"),
    "unit": ("Đơn vị", "Unit"),
    "block": ("Khối", "Block"),
    "numerator": ("tử số", "numerator"),
    "denominator": ("mẫu số", "denominator"),
    "rate": ("tỷ lệ (%)", "rate (%)"),
    "class": ("Mức", "Class"),
    "points": ("điểm", "points"),
    "points_long": ("thay đổi (điểm phần trăm)", "change (percentage points)"),
    "relative": ("thay đổi so với kỳ trước (%)", "change relative to before (%)"),
    "before": ("kỳ so sánh", "period compared with"),
    "before_short": ("trước, %", "before, %"),
    "procedure": ("Thủ tục", "Procedure"),
    "before_short_counts": ("kỳ trước", "before"),
    "after_short_counts": ("kỳ này", "after"),
    "contribution": ("đóng góp (điểm)", "contribution (points)"),
    "others": ("các thủ tục khác", "other procedures"),
    "channel": ("Kênh nộp", "Channel"),
    "in_person": ("trực tiếp", "in person"),
    "online": ("trực tuyến", "online"),
    "post": ("qua bưu chính", "by post"),
    "no_channel": ("không rõ kênh", "channel not known"),
    "sub-unit": ("Đơn vị tiếp nhận", "Sub-unit"),
    "figure": ("Số liệu", "Figure"),
    "dossiers": ("Hồ sơ", "Dossiers"),
    "of": ("trên", "of"),
    "no_due_date": ("không có ngày hẹn trả", "no due date"),
    "last_day_units": ("Đơn vị tính theo ngày cuối kỳ báo cáo.", "By the units of the last day of the period."),
    "no_change": ("một trong hai kỳ không có dữ liệu", "one of the periods has no data"),
    "target": ("chỉ tiêu (%)", "target (%)"),
    "submitted": ("Hồ sơ nộp", "Submitted"),
    "submitted_online": ("Nộp trực tuyến", "Submitted online"),
    "settled": ("Đã giải quyết", "Settled"),
    "settled_full": ("Toàn trình", "Toàn trình"),
    "settled_full_any_return": ("Toàn trình, mọi cách trả", "Toàn trình, any return"),
    "refused": ("Không tiếp nhận", "Refused"),
    "withdrawn": ("Công dân rút", "Withdrawn"),
    "stopped": ("Dừng xử lý", "Stopped"),
    "given_back": ("Trả lại", "Given back"),
    "final": ("Số liệu đã chốt.", "The figures are final."),
    "not_final": ("SỐ LIỆU CHƯA CHỐT", "NOT FINAL"),
    "title": ("Báo cáo dịch vụ công trực tuyến", "Online public services"),
    "period": ("Kỳ báo cáo", "Period"),
    "compared": ("So với", "Compared with"),
    "units": ("Đơn vị tính theo", "Units of"),
    "units_event": ("ngày phát sinh", "the day of each event"),
    "silent": ("Không gửi dữ liệu trong kỳ", "Sent nothing in the period"),
    "interrupted": ("Gián đoạn", "Interrupted"),
    "excluded": ("Hồ sơ bị loại khỏi thống kê", "Excluded dossiers"),
    "map": ("Bản đồ tỷ lệ", "Map of rates"),
    "ranking": ("Xếp hạng", "Ranking"),
    "nation": ("Toàn quốc", "Nation"),
    "printed_cut": ("Tỷ lệ in ra được cắt, không làm tròn.", "Printed rates are cut, not rounded."),
    "printed_half_up": ("Tỷ lệ in ra được làm tròn số học.", "Printed rates are rounded half-up."),
    "return_excluded": (
        "I1: hồ sơ trả kết quả tại bộ phận một cửa không tính là toàn trình.",
        "I1: a dossier whose result was handed out at the counter does not count as toàn trình.",
    ),
    "return_counted": (
        "I1: hồ sơ trả kết quả tại bộ phận một cửa cũng tính là toàn trình.",
        "I1: a dossier whose result was handed out at the counter counts as toàn trình as well.",
    ),
    "asked_at": ("Số liệu tính đến", "Counted up to"),
    "count": ("Số hồ sơ", "Dossiers"),
}
_CLASSES: Final[Mapping[RateClass, tuple[str, str]]] = {
    RateClass.ZERO: ("bằng 0", "zero"),
    RateClass.BELOW_5: ("dưới 5 %", "below 5 %"),
    RateClass.BELOW_10: ("dưới 10 %", "below 10 %"),
    RateClass.BELOW_TARGET: ("dưới chỉ tiêu", "below target"),
    RateClass.MET: ("đạt", "met"),
    RateClass.NO_TARGET: ("không có chỉ tiêu", "no target"),
    RateClass.NO_DATA: ("không có dữ liệu", "no data"),
}


@dataclass(frozen=True, slots=True)
class Style:
    """How figures are printed. Rates are computed from the report's integers, so they are exact with any number of decimals."""

    decimals: int = 2
    rounding: Rounding = Rounding.CUT
    language: Language = Language.VI

    def word(self, key: str) -> str:
        """The heading or sentence of a key of ``_WORDS`` in the language of the report."""
        vietnamese_word, english = _WORDS[key]
        return vietnamese_word if self.language is Language.VI else english

    def named(self, name_vi: str, name_en: str) -> str:
        """``name_vi`` or ``name_en``, as the language of the report says."""
        return name_vi if self.language is Language.VI else name_en

    def class_word(self, name: str) -> str:
        """A class of ``domain.rate_classes`` in words."""
        return _CLASSES[RateClass(name)][self.language is Language.EN]

    def indicator(self, code: str) -> str:
        """The name of an indicator."""
        return self.named(ALL_INDICATORS[code].name_vi, ALL_INDICATORS[code].name_en)

    def name(self, row: Mapping[str, Any]) -> str:
        """The name of a row's unit, block or nation."""
        return str(row["name"] if self.language is Language.VI else row["name_en"])

    def short_name(self, row: Mapping[str, Any]) -> str:
        """The name of a row for narrow columns; in English the same as ``name``."""
        return str(row["short_name"] if self.language is Language.VI else row["name_en"])

    def day(self, text: str) -> str:
        """A day, given as 2024-08-20, as the language writes it: 20/08/2024 in Vietnamese."""
        return f"{text[8:10]}/{text[5:7]}/{text[:4]}" if self.language is Language.VI else text

    def instant(self, text: str) -> str:
        """A time, given as ISO 8601, in the local time of Viet Nam, to the second."""
        local = dt.datetime.fromisoformat(text).astimezone(VIETNAM)
        return f"{local:%H:%M:%S} {self.day(local.date().isoformat())}"

    def period(self, named: Mapping[str, Any]) -> str:
        """A period as its days, after its name if it has one: 2024-Q3 (01/07/2024 - 30/09/2024)."""
        first, last = named["from"], named["to"]
        days = self.day(first) if first == last else f"{self.day(first)} - {self.day(last)}"
        return days if named["kind"] in _UNNAMED else f"{named['name']} ({days})"

    def warning(self, report: Mapping[str, Any]) -> str:
        """Sentences about why the figures of a report are not final; "" when they are."""
        completeness = report["completeness"]
        if completeness["final"]:
            return ""
        sentences = [reason["text"] for reason in completeness["reasons"]]
        if self.language is Language.VI:
            sentences = [self._reason(reason, report) for reason in completeness["reasons"]]
        return f"{self.word('not_final')}: {' '.join(sentences)}"

    def _reason(self, reason: Mapping[str, Any], report: Mapping[str, Any]) -> str:
        """The Vietnamese sentence of a reason why figures are not final."""
        if reason["code"] == NotFinal.PERIOD_NOT_OVER:
            return f"Kỳ báo cáo đến hết ngày {self.day(report['period']['to'])} chưa kết thúc."
        if reason["code"] == NotFinal.MESSAGES_WAITING:
            return f"Còn {self.count(report['completeness']['messages_waiting'])} bản tin chưa được tính."
        if reason["code"] == NotFinal.DOSSIERS_WAITING:
            return f"Còn {self.count(report['completeness']['dossiers_waiting'])} hồ sơ chưa được tính lại."
        if reason["code"] == NotFinal.CATALOGUE_RECOUNT:
            return "Hồ sơ đã lưu chưa được tính lại hết theo danh mục thủ tục mới nạp."
        if reason["code"] == NotFinal.ANSWERS_NOT_OVER:
            return "Hồ sơ nộp ngày cuối kỳ vẫn còn thời hạn tiếp nhận."
        return f"Chưa xác định được mọi bản tin đã được tính hay chưa. ({reason['text']})"

    def number(self, text: str) -> str:
        """A number, given as text with a decimal point, in the notation of the language."""
        if self.language is Language.VI:
            return vietnamese(text)
        sign = text[:1] if text[:1] in {"+", "-"} else ""
        whole, point, fraction = text.removeprefix(sign).partition(".")
        return f"{sign}{int(whole):,}{point}{fraction}"

    def count(self, number: int) -> str:
        """A whole number in the notation of the language."""
        return self.number(str(number))

    def rate(self, figure: Mapping[str, Any]) -> str:
        """The rate of a figure (with ``numerator`` and ``denominator``) in percent, without the percent sign."""
        printed = percent(ratio_of(figure), decimals=self.decimals, rounding=self.rounding)
        return NO_DATA if printed is None else self.number(printed)

    def points(self, figure: Mapping[str, Any]) -> str:
        """The change of a figure in percentage points; "" without a comparison."""
        if "before" not in figure:
            return ""
        printed = change_in_points(ratio_of(figure["before"]), ratio_of(figure), decimals=self.decimals)
        return NO_DATA if printed is None else self.number(printed)

    def relative(self, figure: Mapping[str, Any]) -> str:
        """The change of a figure in percent of its earlier rate; "" without a comparison."""
        if "before" not in figure:
            return ""
        printed = change_in_percent(ratio_of(figure["before"]), ratio_of(figure), decimals=self.decimals)
        return NO_DATA if printed is None else self.number(printed)

    def return_note(self, report: Mapping[str, Any], indicators: Collection[str]) -> str:
        """A sentence about which numerator I1 has in a report or explanation; "" when ``indicators`` (printed) lacks I1."""
        return self.word(f"return_{report['return_at_counter']}") if "I1" in indicators else ""

    @property
    def rounding_note(self) -> str:
        """A sentence about how printed rates are cut or rounded."""
        return self.word("printed_cut" if self.rounding is Rounding.CUT else "printed_half_up")


def ratio_of(figure: Mapping[str, Any]) -> Ratio:
    """The ratio of a figure with ``numerator`` and ``denominator``."""
    return Ratio(int(figure["numerator"]), int(figure["denominator"]))
