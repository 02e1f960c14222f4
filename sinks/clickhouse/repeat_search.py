"""Finds contradictory repeats: one event with several contents, or one event id in several dossiers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import BACKGROUND_SPILLING, CIVIL_DAY, EVENT_KEY, days_condition
from sinks.clickhouse.times import aware, storable_days
from sinks.contract.audit import EventRef, HashShard, Repeats
from sinks.contract.tallies import Days
from sinks.tables import DOSSIER_MESSAGES

_CONTENT: Final = "procedure_code, channel, service_level, legacy_level, returned_by, due_at"
#: The columns whose values all messages of one event share, besides their contents.
_EVENT: Final = f"{EVENT_KEY}, dossier_code, status"
_EVENT_REF: Final = "(toString(agency), occurred_at, toString(event_id), dossier_code)"
#: Events listed for one repeated value.
_EVENTS_LISTED: Final = 5


class RepeatSearch:
    """The part of a ``TallyAudit`` that looks for contradictory repeats."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def contradictions(self, day: dt.date, *, limit: int) -> Repeats:
        """Events with different contents; see ``TallyAudit.contradictions``."""
        content = f"cityHash64({_CONTENT})"
        rows = self._clickhouse.rows(
            "audit_contradictions",
            f"SELECT count(), groupArray({limit:d})((toString(event_id), [{_EVENT_REF}])) FROM (SELECT {_EVENT} "  # noqa: S608
            f"FROM {DOSSIER_MESSAGES} WHERE {days_condition('occurred_at', Days((day,)))} "
            f"GROUP BY {_EVENT} HAVING min({content}) != max({content}))",
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES,))
        count, examples = rows[0]
        return Repeats(int(count), _examples(sorted(examples)))

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard, *, limit: int) -> Repeats:
        """Event ids in several dossiers; see ``TallyAudit.reused_event_ids``."""
        where = f"cityHash64(event_id) % {{count:UInt32}} = {{index:UInt32}} AND {between(days)}"
        parameters = {"count": shard.count, "index": shard.index}
        rows = self._clickhouse.rows(
            "audit_reused_ids",
            f"SELECT count(), groupArraySorted({limit:d})(name) FROM (SELECT toString(event_id) AS name FROM {DOSSIER_MESSAGES} "  # noqa: S608
            f"WHERE {where} GROUP BY event_id HAVING min(dossier_code) != max(dossier_code))",
            parameters,
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES,))
        count, names = rows[0]
        if not count:
            return Repeats(0, {})
        rows = self._clickhouse.rows(
            "audit_reused_ids",
            f"SELECT toString(event_id) AS name, groupUniqArray({_EVENTS_LISTED})({_EVENT_REF}) FROM {DOSSIER_MESSAGES} "  # noqa: S608
            f"WHERE {where} AND event_id IN (SELECT CAST(arrayJoin({{names:Array(String)}}), 'UUID')) "
            "GROUP BY event_id ORDER BY name",
            {**parameters, "names": list(names)},
            **BACKGROUND_SPILLING,
        )
        return Repeats(int(count), _examples(rows))


def between(days: tuple[dt.date, dt.date] | None, column: str = "occurred_at") -> str:
    """The SQL condition that the time ``column`` is on a civil day from the first to the last of ``days``; None: any day."""
    if days is None:
        return "1"
    period = storable_days(*days)
    if period is None:
        return "0"
    first, last = period
    return f"{CIVIL_DAY.format(column=column)} BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'"


def _examples(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[EventRef, ...]]:
    """The repeated values and their events, each value's events in the order of time."""
    found = {}
    for name, refs in rows:
        events = (EventRef(str(agency), aware(at), str(event_id), str(code)) for agency, at, event_id, code in refs)
        found[str(name)] = tuple(sorted(events, key=lambda ref: (ref.occurred_at, ref.agency, ref.event_id, ref.dossier_code)))
    return found
