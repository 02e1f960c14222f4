"""Formula 2.1 of the 766 index as SQL over the events of a dossier; ``domain.due_dates.by_766`` states the rule.

No lambda reads an array from outside: ClickHouse would copy that array once for each element.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Values of ``result``; 0: the dossier was not accepted.
ON_TIME, LATE, NO_DUE_DATE = 1, 2, 3
_TAKES_UP: Final = "x IN (1, 2, 4, 5, 6)"
_ENDS_UNSETTLED: Final = "x IN (3, 7, 8)"


def day_of(milliseconds: str) -> str:
    """The SQL of the civil day (Viet Nam) of an instant in milliseconds since 1970, as days since 1970.

    0 for 0, which means none.
    """
    return f"intDiv({milliseconds} + 25200000, 86400000)"


def _result(*, statuses: str, is_late: str, due: str, worked: str, began: str) -> str:
    return (
        f"multiIf(NOT hasAny({statuses}, [2, 4, 5, 6, 9, 10]), 0, "
        f"{is_late}, {LATE}, "
        f"{due} != 0, if({day_of(worked)} <= {day_of(due)}, {ON_TIME}, {LATE}), "
        f"longest = 0, {NO_DUE_DATE}, "
        f"{worked} - {began} <= (longest - 1) * 86400000, {ON_TIME}, {LATE})"
    )


def result_766(end: int) -> str:
    """Columns of a SELECT, the last of them ``result``: what a dossier counts as by its events before an instant.

    Reads ``times``, ``statuses``, ``dues``, ``settled_at``, ``given_back_at`` and ``due_at`` of the table of dossiers, and
    ``longest``: 1 more than the longest time of the procedure in days, or 0 where that is not known.

    Args:
        end: the first millisecond after the period.
    """
    return ", ".join(f"{expression} AS {name}" for name, expression in _columns(end).items())


def _columns(end: int) -> Mapping[str, str]:
    """Each column and its SQL expression; s, t and d are status, time and due date of each event that is read."""
    simple = _result(statuses="statuses", is_late="0", due="due_ms", worked="simple_end", began="simple_begin")
    other = _result(statuses="s", is_late="is_late", due="due", worked="worked", began="began")
    return {
        "settled_ms": "toUnixTimestamp64Milli(settled_at)",
        "given_back_ms": "toUnixTimestamp64Milli(given_back_at)",
        "due_ms": "toUnixTimestamp64Milli(due_at)",
        # Most dossiers never waited and have no event after the period. Their milestones say it all. So their events are not gone
        # through, which takes several times as long: their arrays are empty.
        "is_simple": f"NOT has(statuses, 5) AND toUnixTimestamp64Milli(times[-1]) < {end} "
        "AND (has(statuses, 9) OR NOT has(statuses, 10))",
        "simple_end": f"multiIf(settled_ms != 0, settled_ms, given_back_ms != 0, given_back_ms, {end - 1})",
        "simple_begin": "toUnixTimestamp64Milli(times[greatest(indexOf(statuses, 2), 1)])",
        "length_read": "if(is_simple, 0, length(statuses))",
        # Of all events.
        "all_s": "arrayResize(statuses, length_read)",
        "all_at": "arrayMap(x -> toUnixTimestamp64Milli(x), arrayResize(times, length_read))",
        "all_due": "arrayMap(x -> toUnixTimestamp64Milli(x), arrayResize(dues, length_read))",
        "before": "arrayResize(arrayPushFront(all_s, toUInt8(0)), length_read)",
        "taken_up": f"arrayLastIndex(x -> {_TAKES_UP}, all_s)",
        # The place of the event that closed the dossier; 0: it is open. A dossier that a 10 settled has no 9.
        "closed": "multiIf(has(all_s, 9), indexOf(all_s, 9), "
        "settled_ms != 0, arrayFirstIndex((x, a) -> x = 10 AND a = settled_ms, all_s, all_at), "
        f"arrayFirstIndex((x, i) -> {_ENDS_UNSETTLED} AND i > taken_up, all_s, arrayEnumerate(all_s)))",
        # Of those before the end; several 5 in direct succession are one.
        "kept": f"arrayMap((a, x, b) -> a < {end} AND NOT (x = 5 AND b = 5), all_at, all_s, before)",
        "s": "arrayFilter((x, k) -> k, all_s, kept)",
        "t": "arrayFilter((x, k) -> k, all_at, kept)",
        "d": "arrayFilter((x, k) -> k, all_due, kept)",
        "place": "arrayFilter((x, k) -> k, arrayEnumerate(all_s), kept)",
        "due": "arrayLast((x, i) -> x != 0 AND (closed = 0 OR i <= closed), d, place)",
        "nine": "arrayFirst((a, x) -> x = 9, t, s)",
        "ten": "arrayFirst((a, x) -> x = 10, t, s)",
        "taken_up_before": f"arrayLastIndex(x -> {_TAKES_UP}, s)",
        "back": f"arrayFirst((a, x, i) -> {_ENDS_UNSETTLED} AND i > taken_up_before, t, s, arrayEnumerate(s))",
        "asks": "s[-1] = 5",
        "is_late": "nine = 0 AND ten = 0 AND back = 0 AND asks AND arrayCount(x -> x = 5, s) > 1",
        "ended": f"multiIf(nine != 0, nine, ten != 0, ten, back != 0, back, asks, t[-1], {end - 1})",
        "waited": "arraySum((a, x, n) -> if(x = 5 AND a < ended, least(n, ended) - a, 0), t, s, "
        "arrayResize(arrayPushBack(arrayPopFront(t), ended), length(t)))",
        "worked": "ended - waited",
        "accepted": "arrayFirst((a, x) -> x = 2, t, s)",
        "began": "if(accepted != 0, accepted, t[1])",
        "result": f"if(is_simple, {simple}, {other})",
    }
