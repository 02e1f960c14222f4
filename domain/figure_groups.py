"""The groups of figures over whole dossiers, such as balance, due dates, accepted late and channels, and what each figure is.

The figures of a group are counted together, for the same dossiers. Each figure is a count. A figure with a denominator is also a
rate of two counts of its group. ``domain.group_counts`` says what one dossier adds to a group.

Source of the rules: docs/domain.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from domain.figure_group import Group
from domain.indicators import Indicator

_SUBMITTED_DAY: Final = "the day of the submitted event"
_SETTLED_DAY: Final = "the day of the settled event"
_LAST_DAY_UNITS: Final = "For the unit of submitted, followed through the successions to the last day of the period."
_STOCK: Final = "Sums over units, never over periods."


def _figure(code: str, name_vi: str, name_en: str, denominator: str = "", **texts: str) -> Indicator:
    fields = {"placed_by": "", "source": ""} | texts
    return Indicator(code, name_vi, name_en, numerator=code, denominator=denominator, **fields)


def _of_balance(code: str, name_vi: str, name_en: str, placed_by: str, remarks: str) -> Indicator:
    return _figure(
        code,
        name_vi,
        name_en,
        placed_by=placed_by,
        source="bulletins of provinces: received + carried over = settled + given back + open",
        remarks=f"{remarks} {_LAST_DAY_UNITS}",
    )


_BALANCE: Final = Group(
    "balance",
    "Số liệu hồ sơ",
    "Balance of dossiers",
    (
        _of_balance("received", "Mới tiếp nhận", "Received", _SUBMITTED_DAY, "Submitted in the period."),
        _of_balance("carried_over", "Kỳ trước chuyển sang", "Carried over", "the first day of the period", _STOCK),
        _of_balance("in_hand", "Tổng số hồ sơ", "In hand", "any day of the period", f"Received + carried over. {_STOCK}"),
        _of_balance("settled", "Đã giải quyết", "Settled", _SETTLED_DAY, "Of those in hand."),
        _of_balance(
            "given_back", "Trả lại, rút", "Given back", "the day of the 3, 7 or 8 that gave it back", "Of those in hand."
        ),
        _of_balance("open", "Đang giải quyết", "Open at the end", "the last day of the period", _STOCK),
    ),
    by_last_day=True,
)


def _refused(code: str, name_vi: str, name_en: str, status: int) -> Indicator:
    return _figure(
        code,
        name_vi,
        name_en,
        placed_by=f"the day of the first {status}",
        source="statuses of the national portal",
        remarks="Once a dossier. For the unit of that event.",
    )


_REFUSED: Final = Group(
    "refused",
    "Không tiếp nhận, rút, dừng xử lý",
    "Refused, withdrawn, stopped",
    (
        _refused("refused", "Không tiếp nhận", "Refused", 3),
        _refused("withdrawn", "Công dân rút", "Withdrawn", 7),
        _refused("stopped", "Dừng xử lý", "Stopped", 8),
    ),
    in_tallies=True,
)


def _of_due(
    code: str, name_vi: str, name_en: str, denominator: str = "", *, received: bool = False, remarks: str = ""
) -> Indicator:
    return _figure(
        code,
        name_vi,
        name_en,
        denominator,
        placed_by=_SUBMITTED_DAY if received else "the due day, if it is over",
        source="bulletins of provinces (Vĩnh Phúc, 09/2021)",
        remarks=f"{remarks} {_LAST_DAY_UNITS}".strip(),
    )


_DUE: Final = Group(
    "due",
    "Đúng hạn theo ngày hẹn trả",
    "On time by due day",
    (
        _of_due("due", "Đến hạn", "Due", remarks="Without those given back on or before the due day."),
        _of_due("on_time", "Đúng hạn", "On time", "due", remarks="Settled on or before the due day."),
        _of_due("late_or_overdue", "Quá hạn", "Late or overdue", "due"),
        _figure(
            "given_back_or_withdrawn",
            "Trả lại, rút",
            "Given back or withdrawn",
            "due",
            placed_by="the day of the 3, 7 or 8 that gave it back",
            source="bulletins of provinces (Vĩnh Phúc, 09/2021)",
            remarks=f"As in the balance; the bulletins divide it by the dossiers that are due. {_LAST_DAY_UNITS}",
        ),
        _of_due("received", "Mới tiếp nhận", "Received", received=True),
        _of_due("without_due_date", "Không có ngày hẹn trả", "No due date", "received", received=True),
        _of_due(
            "online_level_3", "Trực tuyến mức độ 3", "Online, level 3", "received", received=True, remarks="By legacy level."
        ),
        _of_due(
            "online_level_4", "Trực tuyến mức độ 4", "Online, level 4", "received", received=True, remarks="By legacy level."
        ),
        _of_due(
            "online", "Trực tuyến mức độ 3 và 4", "Online, levels 3 and 4", "received", received=True, remarks="Both levels."
        ),
    ),
    by_last_day=True,
)


def _of_settled(code: str, name_vi: str, name_en: str, denominator: str = "settled") -> Indicator:
    return _figure(
        code,
        name_vi,
        name_en,
        denominator,
        placed_by=_SETTLED_DAY,
        source="practice of Huế and others",
        remarks="For the unit of settled. By civil days.",
    )


_SETTLED_DUE: Final = Group(
    "settled-due",
    "Giải quyết so với ngày hẹn trả",
    "Settled by due day",
    (
        _of_settled("settled", "Đã giải quyết", "Settled", ""),
        _of_settled("settled_before_due", "Trước hạn", "Before the due day"),
        _of_settled("settled_on_due", "Đúng ngày hẹn", "On the due day"),
        _of_settled("settled_after_due", "Quá hạn", "After the due day"),
        _of_settled("settled_without_due_date", "Không có ngày hẹn trả", "No due date"),
    ),
)


def _of_766(code: str, name_vi: str, name_en: str, denominator: str = "", remarks: str = "") -> Indicator:
    return _figure(
        code,
        name_vi,
        name_en,
        denominator,
        placed_by="any day of the period on which it was in hand",
        source="formula 2.1 of the 766 index",
        remarks=f"{remarks} {_STOCK} {_LAST_DAY_UNITS}".strip(),
    )


_DUE_766: Final = Group(
    "due-766",
    "Đúng hạn theo bộ chỉ số 766",
    "On time by the 766 index",
    (
        _of_766("base_766", "Hồ sơ đánh giá", "Base", remarks="Accepted, in hand, and with a due date or a longest time."),
        _of_766("on_time_766", "Đúng hạn", "On time", "base_766", "Without the time of waiting for supplements."),
        _of_766("late_766", "Quá hạn", "Late", "base_766"),
        _of_766("no_due_date_766", "Không có ngày hẹn trả", "No due date", remarks="Neither a due date nor a longest time."),
    ),
    by_last_day=True,
)
_DECREE: Final = "Nghị định 118/2025/NĐ-CP, Điều 17-18"
_ACCEPTED_LATE: Final = Group(
    "accepted-late",
    "Tiếp nhận trễ",
    "Accepted late",
    (
        _figure(
            "registered_online",
            "Đăng ký trực tuyến",
            "Registered online",
            placed_by=_SUBMITTED_DAY,
            source=_DECREE,
            remarks=f"Online, submitted as a 1, from PORTALPULSE_INDICATORS__ACCEPTED_LATE_FROM on. {_LAST_DAY_UNITS}",
        ),
        _figure(
            "accepted_late",
            "Tiếp nhận trễ",
            "Accepted late",
            "registered_online",
            placed_by=_SUBMITTED_DAY,
            source=_DECREE,
            remarks=f"No other status by the end of the next working day. {_LAST_DAY_UNITS}",
        ),
    ),
    by_last_day=True,
)


def _by_channel(milestone: str, placed_by: str, names: tuple[str, str]) -> tuple[Indicator, ...]:
    channels = (
        ("in_person", "trực tiếp", "in person"),
        ("online", "trực tuyến", "online"),
        ("post", "qua bưu chính", "by post"),
        ("no_channel", "không rõ kênh", "channel not known"),
    )
    source, remarks = "statuses and channels of the national portal", "For the unit of that event."
    texts = {"placed_by": placed_by, "source": source, "remarks": remarks}
    whole = _figure(milestone, names[0], names[1], **texts)
    parts = (
        _figure(f"{milestone}_{channel}", f"{names[0]} {name_vi}", f"{names[1]} {name_en}", milestone, **texts)
        for channel, name_vi, name_en in channels
    )
    return (whole, *parts)


_FULL_REMARKS: Final = "Only an online dossier can be toàn trình."
_CHANNELS: Final = Group(
    "channels",
    "Theo kênh nộp",
    "By channel",
    (
        *_by_channel("submitted", _SUBMITTED_DAY, ("Nộp", "Submitted")),
        *_by_channel("settled", _SETTLED_DAY, ("Giải quyết", "Settled")),
        *(
            _figure(
                f"{code}_online",
                name_vi,
                name_en,
                "settled_online",
                placed_by=_SETTLED_DAY,
                source="EMC",
                remarks=f"{remarks} {_FULL_REMARKS}".strip(),
            )
            for code, name_vi, name_en, remarks in (
                ("settled_full", "Toàn trình", "Settled toàn trình", ""),
                (
                    "settled_full_any_return",
                    "Toàn trình, mọi cách trả",
                    "Settled toàn trình, any return",
                    "At the counter as well.",
                ),
            )
        ),
    ),
)
#: The groups by name, in the order in which they are printed.
GROUPS: Final[Mapping[str, Group]] = {
    group.name: group for group in (_BALANCE, _REFUSED, _DUE, _SETTLED_DUE, _DUE_766, _ACCEPTED_LATE, _CHANNELS)
}
