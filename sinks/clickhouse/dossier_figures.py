"""Reads figures over whole dossiers from the table ``dossiers``: one statement for each group of figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.formula_766 import LATE, NO_DUE_DATE, ON_TIME, day_of, result_766
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import storable_days
from sinks.contract.dossier_figures import FigureQuestion, GroupCounts
from sinks.errors import Fatal
from sinks.tables import AGENCY_DAY_PROCEDURE, DOSSIERS

_EPOCH: Final = dt.date(1970, 1, 1)
_ONLINE, _REGISTERED = 2, 1
_SUB_UNIT: Final = "substring(dossier_code, 1, position(dossier_code, '-') - 1)"
#: Tables that are sent with a question; a procedure without a longest time has 0, others one more than their days.
_LONGEST: Final = "longest_times"
_DEADLINES: Final = "answer_deadlines"


def _at(column: str) -> str:
    """The SQL of an instant as milliseconds since 1970; 0 where there is none."""
    return f"toUnixTimestamp64Milli({column})"


_SUBMITTED: Final = day_of(_at("submitted_at"))
_SETTLED: Final = day_of(_at("settled_at"))
_GIVEN_BACK: Final = day_of(_at("given_back_at"))
_DUE: Final = day_of(_at("due_at"))
_FIRST_ANSWER: Final = day_of(_at("first_answer_at"))
#: Day on which a dossier was closed; 0: it is open.
_CLOSED: Final = f"if({_SETTLED} != 0, {_SETTLED}, {_GIVEN_BACK})"


@dataclass(frozen=True, slots=True)
class _Side:
    """Which dossiers add to a group of figures, and to which unit and procedure, those of one milestone.

    Attributes:
        milestone: ``submitted`` or ``settled``: the unit and procedure of this milestone count.
        where: the SQL condition that a dossier may add.
        counts: name of a count -> SQL condition that a dossier adds to it.
        table: what is read: the table of dossiers, or its join with a table that is sent with the query.
    """

    milestone: str
    where: str
    counts: Mapping[str, str]
    table: str = f"{DOSSIERS} FINAL"


class ClickHouseDossierFigures:
    """Implements ``DossierFigureReader`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def counts(self, group: str, question: FigureQuestion) -> GroupCounts:
        """The counts of a group; see ``DossierFigureReader.counts``."""
        if GROUPS[group].in_tallies:
            return self._tallied(group, question)
        names, external = GROUPS[group].counts, _EXTERNAL.get(group, _nothing)(question)
        sides = " UNION ALL ".join(_selected(side, names, question) for side in _SIDES[group](question))
        sums = ", ".join(f"sum({name}) AS {name}" for name in names)
        return self._read(group, f"SELECT unit, part, {sums} FROM ({sides}) GROUP BY unit, part", external, DOSSIERS)  # noqa: S608

    def _tallied(self, group: str, question: FigureQuestion) -> GroupCounts:
        days = storable_days(question.period.start, question.period.end)
        if days is None:
            return {}
        sums = ", ".join(f"sum({name}) AS {name}" for name in GROUPS[group].counts)
        part = "procedure_code" if question.grouping is Grouping.PROCEDURE else "''"
        sql = (
            f"SELECT agency AS unit, {part} AS part, {sums} FROM {AGENCY_DAY_PROCEDURE} FINAL "  # noqa: S608
            f"WHERE day >= '{days[0]}' AND day <= '{days[1]}' GROUP BY unit, part"
        )
        return self._read(group, sql, None, AGENCY_DAY_PROCEDURE)

    def _read(self, group: str, sql: str, external: ExternalTable | None, table: str) -> GroupCounts:
        names = GROUPS[group].counts
        some = " + ".join(names)
        sql = (
            f"SELECT toString(unit) AS unit, toString(part) AS part, {', '.join(names)}, count() OVER () AS rows_found "  # noqa: S608
            f"FROM ({sql}) WHERE {some} > 0"
        )
        found = self._clickhouse.table(f"read_figures_{group.replace('-', '_')}", sql, external)
        refuse_hidden_rows(self._clickhouse, (table,))
        rows = found.to_pylist()
        if rows and rows[0]["rows_found"] != len(rows):
            raise Fatal(
                f"{self._clickhouse.target.display_name}: only {len(rows)} of {rows[0]['rows_found']} rows of figures arrived."
            )
        return {(row["unit"], row["part"]): {name: int(row[name]) for name in names} for row in rows}


def _selected(side: _Side, names: tuple[str, ...], question: FigureQuestion) -> str:
    """The statement that sums the counts of a side by unit and part; counts that the side does not have are 0."""
    parts = {Grouping.UNIT: "''", Grouping.SUB_UNIT: _SUB_UNIT, Grouping.PROCEDURE: f"{side.milestone}_procedure"}
    counts = ", ".join(
        f"toInt64(countIf({side.counts[name]})) AS {name}" if name in side.counts else f"toInt64(0) AS {name}" for name in names
    )
    return (
        f"SELECT {side.milestone}_unit AS unit, {parts[question.grouping]} AS part, {counts} FROM {side.table} "  # noqa: S608
        f"WHERE state = 'counts' AND ({side.where}) GROUP BY unit, part"
    )


def _number(day: dt.date) -> int:
    return (day - _EPOCH).days


def _bounds(question: FigureQuestion) -> tuple[int, int]:
    """The first and the last day of the period as numbers of days since 1970. Both are above 0, which stands for no day."""
    return max(1, _number(question.period.start)), max(0, _number(question.period.end))


def _within(day: str, question: FigureQuestion) -> str:
    first, last = _bounds(question)
    return f"({day} >= {first} AND {day} <= {last})"


def _in_hand(question: FigureQuestion) -> str:
    first, last = _bounds(question)
    return f"{_SUBMITTED} <= {last} AND ({_CLOSED} = 0 OR {_CLOSED} >= {first})"


def _balance(question: FigureQuestion) -> list[_Side]:
    _, last = _bounds(question)
    received, ended = _within(_SUBMITTED, question), f"{_CLOSED} != 0 AND {_CLOSED} <= {last}"
    counts = {
        "received": received,
        "carried_over": f"NOT {received}",
        "in_hand": "1",
        "settled": f"{ended} AND {_SETTLED} != 0",
        "given_back": f"{ended} AND {_SETTLED} = 0",
        "open": f"NOT ({ended})",
    }
    return [_Side("submitted", _in_hand(question), counts)]


def _due(question: FigureQuestion) -> list[_Side]:
    today = _number(question.today)
    kept = f"NOT ({_GIVEN_BACK} != 0 AND {_GIVEN_BACK} <= {_DUE})"
    due, on_time = f"{_within(_DUE, question)} AND {_DUE} < {today} AND {kept}", f"{_SETTLED} != 0 AND {_SETTLED} <= {_DUE}"
    received, given_back = _within(_SUBMITTED, question), f"{_SETTLED} = 0 AND {_within(_GIVEN_BACK, question)}"
    online = f"{received} AND channel = {_ONLINE} AND legacy_level"
    counts = {
        "due": due,
        "on_time": f"{due} AND {on_time}",
        "late_or_overdue": f"{due} AND NOT ({on_time})",
        "given_back_or_withdrawn": given_back,
        "received": received,
        "without_due_date": f"{received} AND {_DUE} = 0",
        "online_level_3": f"{online} = 3",
        "online_level_4": f"{online} = 4",
        "online": f"{online} IN (3, 4)",
    }
    return [_Side("submitted", f"({due}) OR {received} OR ({given_back})", counts)]


def _settled_due(question: FigureQuestion) -> list[_Side]:
    counts = {
        "settled": "1",
        "settled_before_due": f"{_DUE} != 0 AND {_SETTLED} < {_DUE}",
        "settled_on_due": f"{_DUE} != 0 AND {_SETTLED} = {_DUE}",
        "settled_after_due": f"{_DUE} != 0 AND {_SETTLED} > {_DUE}",
        "settled_without_due_date": f"{_DUE} = 0",
    }
    return [_Side("settled", _within(_SETTLED, question), counts)]


def _due_766(question: FigureQuestion) -> list[_Side]:
    _, last = _bounds(question)
    end = (last + 1) * 86_400_000 - 25_200_000
    table = (
        f"(SELECT state, dossier_code, submitted_unit, submitted_procedure, {result_766(end)} "  # noqa: S608
        f"FROM (SELECT * FROM {DOSSIERS} FINAL WHERE state = 'counts' AND {_in_hand(question)}) AS found "
        f"LEFT JOIN {_LONGEST} ON found.submitted_unit = {_LONGEST}.unit "
        f"AND found.submitted_procedure = {_LONGEST}.procedure)"
    )
    counts = {
        "base_766": f"result IN ({ON_TIME}, {LATE})",
        "on_time_766": f"result = {ON_TIME}",
        "late_766": f"result = {LATE}",
        "no_due_date_766": f"result = {NO_DUE_DATE}",
    }
    return [_Side("submitted", "result != 0", counts, table)]


def _accepted_late(question: FigureQuestion) -> list[_Side]:
    today = _number(question.today)
    table = (
        f"(SELECT state, dossier_code, submitted_unit, submitted_procedure, {_FIRST_ANSWER} AS answered, deadline FROM "  # noqa: S608
        f"(SELECT *, {_SUBMITTED} AS submitted_on FROM {DOSSIERS} FINAL WHERE state = 'counts' AND channel = {_ONLINE} "
        f"AND submitted_status = {_REGISTERED} AND {_within(_SUBMITTED, question)}) AS found "
        f"INNER JOIN {_DEADLINES} ON found.submitted_on = {_DEADLINES}.day)"
    )
    counts = {"registered_online": "1", "accepted_late": f"if(answered = 0, {today} > deadline, answered > deadline)"}
    return [_Side("submitted", "1", counts, table)]


def _channels(question: FigureQuestion) -> list[_Side]:
    codes = {"in_person": 1, "online": 2, "post": 3, "no_channel": 0}
    sides = []
    for milestone, day in (("submitted", _SUBMITTED), ("settled", _SETTLED)):
        counts = {milestone: "1"} | {f"{milestone}_{name}": f"channel = {code}" for name, code in codes.items()}
        if milestone == "settled":
            counts |= {f"{name}_online": name for name in ("settled_full", "settled_full_any_return")}
        sides.append(_Side(milestone, _within(day, question), counts))
    return sides


def _longest_times(question: FigureQuestion) -> ExternalTable:
    rows = [(unit, procedure, days + 1) for (unit, procedure), days in question.longest_days.items()] or [("", "", 0)]
    units, procedures, days = zip(*rows, strict=True)
    table = pa.table({"unit": pa.array(units), "procedure": pa.array(procedures), "longest": pa.array(days, pa.int64())})
    return ExternalTable(_LONGEST, "unit String, procedure String, longest Int64", table)


def _answer_deadlines(question: FigureQuestion) -> ExternalTable:
    rows = [(_number(day), _number(deadline)) for day, deadline in question.deadlines.items()] or [(-1, -1)]
    days, deadlines = zip(*rows, strict=True)
    table = pa.table({"day": pa.array(days, pa.int64()), "deadline": pa.array(deadlines, pa.int64())})
    return ExternalTable(_DEADLINES, "day Int64, deadline Int64", table)


def _nothing(_question: FigureQuestion) -> None:
    """Send no table with the query, which most questions do not need."""


_SIDES: Final[Mapping[str, Callable[[FigureQuestion], list[_Side]]]] = {
    "balance": _balance,
    "due": _due,
    "settled-due": _settled_due,
    "due-766": _due_766,
    "accepted-late": _accepted_late,
    "channels": _channels,
}
_EXTERNAL: Final[Mapping[str, Callable[[FigureQuestion], ExternalTable | None]]] = {
    "due-766": _longest_times,
    "accepted-late": _answer_deadlines,
}
