"""Finds repeats that should not be there: one event with several contents, one id or one settled dossier with several events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.tally_sql import BACKGROUND_SPILLING, CIVIL_DAY, EVENT_KEY, days_condition
from sinks.clickhouse.times import aware, storable_days
from sinks.contract.audit import EventRef, HashShard, Repeats
from sinks.contract.tallies import Days
from sinks.tables import DOSSIER_EVENTS

_CONTENT: Final = "dossier_code, procedure_code, status, channel, service_level, legacy_level, returned_by, portal_id"
_EVENT_REF: Final = "(toString(agency), occurred_at, toString(event_id))"
#: Events listed for one repeated value.
_EVENTS_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class _UniqueColumn:
    """A column whose values should belong to one event each: its type, which events count, and what tells two events apart."""

    column: str
    kind: str
    condition: str
    identity: str


class RepeatSearch:
    """The part of a ``TallyAudit`` that looks for repeats."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def contradictions(self, day: dt.date, *, limit: int) -> Repeats:
        """Unmerged rows of one event with different contents; see the contract."""
        content = f"cityHash64({_CONTENT})"
        rows = self._clickhouse.rows(
            "audit_contradictions",
            f"SELECT count(), groupArray({limit:d})((toString(event_id), [{_EVENT_REF}])) FROM (SELECT {EVENT_KEY} "  # noqa: S608
            f"FROM {DOSSIER_EVENTS} WHERE {days_condition('occurred_at', Days((day,)))} "
            f"GROUP BY {EVENT_KEY} HAVING min({content}) != max({content}))",
            **BACKGROUND_SPILLING,
        )
        count, examples = rows[0]
        return Repeats(int(count), _examples(sorted(examples)))

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard, *, limit: int) -> Repeats:
        """Event ids of several events; see the contract."""
        column = _UniqueColumn("event_id", "UUID", "1", "cityHash64(agency, occurred_at)")
        return self._repeats("audit_scattered", column, days, shard, limit)

    def settled_twice(self, days: tuple[dt.date, dt.date] | None, shard: HashShard, *, limit: int) -> Repeats:
        """Dossiers settled by several events; see the contract."""
        column = _UniqueColumn("dossier_code", "String", "status = 9", f"cityHash64({EVENT_KEY})")
        return self._repeats("audit_settled_twice", column, days, shard, limit)

    def _repeats(
        self, operation: str, unique: _UniqueColumn, days: tuple[dt.date, dt.date] | None, shard: HashShard, limit: int
    ) -> Repeats:
        """Values of one shard that belong to events of different identities. Repeated rows of one event have one identity."""
        column = unique.column
        where = f"cityHash64({column}) % {{count:UInt32}} = {{index:UInt32}} AND {unique.condition} AND {_between(days)}"
        parameters = {"count": shard.count, "index": shard.index, "limit": limit}
        rows = self._clickhouse.rows(
            operation,
            f"SELECT count(), groupArraySorted({limit:d})(name) FROM (SELECT toString({column}) AS name FROM {DOSSIER_EVENTS} "  # noqa: S608
            f"WHERE {where} GROUP BY {column} HAVING min({unique.identity}) != max({unique.identity}))",
            parameters,
            **BACKGROUND_SPILLING,
        )
        count, names = rows[0]
        if not count:
            return Repeats(0, {})
        rows = self._clickhouse.rows(
            operation,
            f"SELECT toString({column}) AS name, groupUniqArray({_EVENTS_LISTED})({_EVENT_REF}) FROM {DOSSIER_EVENTS} "  # noqa: S608
            f"WHERE {where} AND {column} IN (SELECT CAST(arrayJoin({{names:Array(String)}}), '{unique.kind}')) "
            f"GROUP BY {column} ORDER BY name",
            {**parameters, "names": list(names)},
            **BACKGROUND_SPILLING,
        )
        return Repeats(int(count), _examples(rows))


def _between(days: tuple[dt.date, dt.date] | None) -> str:
    if days is None:
        return "1"
    period = storable_days(*days)
    if period is None:
        return "0"
    first, last = period
    return f"{CIVIL_DAY.format(column='occurred_at')} BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'"


def _examples(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[EventRef, ...]]:
    """Repeated values and their events, in the order of time."""
    return {
        str(name): tuple(EventRef(str(agency), aware(at), str(event_id)) for agency, at, event_id in sorted(refs, key=_by_time))
        for name, refs in rows
    }


def _by_time(ref: tuple[str, dt.datetime, str]) -> tuple[dt.datetime, str, str]:
    agency, at, event_id = ref
    return at, agency, event_id
