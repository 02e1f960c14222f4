"""Compares tallies with the distinct events inside ClickHouse; only totals and examples cross the wire.

Every query reads one civil day, or one share of all names, so that neither memory nor an answer grows with the table. One thread,
behind everything else that wants the processor.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from domain.tiers import Tier
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.days import FIRST_DAY, LAST_DAY, held
from sinks.clickhouse.store import CIVIL_DAY, VERSION, days_condition
from sinks.contract.audit import Acknowledged, Comparison, Difference, EventRef, HashShard, Repeats
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.tallies import Counts, Days
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    COUNT_CONDITIONS,
    DEAD_LETTER_MARKS,
    DEAD_LETTERS,
    DOSSIER_EVENTS,
    UNREAD_OFFSETS,
)

_BACKGROUND: Final[dict[str, Any]] = {"max_threads": 1, "os_thread_priority": 10}
#: Beyond this much memory a GROUP BY goes on disk.
_SPILL: Final = _BACKGROUND | {"max_bytes_before_external_group_by": 1 << 30}
_NAMES: Final = ("events", *COUNT_CONDITIONS)
_CONDITIONS: Final = {"events": "1", **COUNT_CONDITIONS}
_NEVER: Final = "toDateTime64(0, 3, 'UTC')"
#: Bucket, procedure of an event and of a tally, by tier.
_KEYS: Final = {
    Tier.MINUTE: ("toStartOfMinute(occurred_at)", "''", "minute", "''"),
    Tier.DAY: (CIVIL_DAY.format(column="occurred_at"), "''", "day", "''"),
    Tier.PROCEDURE: (CIVIL_DAY.format(column="occurred_at"), "toString(procedure_code)", "day", "toString(procedure_code)"),
}
_EVENT_KEY: Final = "agency, occurred_at, event_id"
_CONTENT: Final = "dossier_code, procedure_code, status, channel, service_level, legacy_level, returned_by, portal_id"
_SIGHT: Final = "(toString(agency), occurred_at, toString(event_id))"
#: Events of one name shown with a finding.
_SIGHTS: Final = 5
#: Messages asked about at once: they travel in the address of a request, which may be about a megabyte long.
_ASKED_AT_ONCE: Final = 2_000
#: Ranges of offsets in one statement: a thousand would be more than a statement may hold (max_ast_elements, max_query_size).
_RANGES_AT_ONCE: Final = 200
_ASKED: Final = ("topic", "partition", "offset", "agency", "occurred_at", "event_id")
#: The messages asked about as a table; ``held``: whether a message holds an event.
_MESSAGES: Final = (
    "(SELECT t AS topic, p AS partition, o AS offset, h AS held, a AS agency, toDateTime64(at, 3, 'UTC') AS occurred_at, "
    "toUUIDOrZero(i) AS event_id FROM (SELECT {topics:Array(String)} AS ts, {partitions:Array(Int32)} AS ps, "
    "{offsets:Array(Int64)} AS os, {held:Array(UInt8)} AS hs, {agencies:Array(String)} AS ags, {times:Array(String)} AS ats, "
    "{ids:Array(String)} AS ids) ARRAY JOIN ts AS t, ps AS p, os AS o, hs AS h, ags AS a, ats AS at, ids AS i)"
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class _UniqueColumn:
    """A column that should name one event: its type, which events count, and what tells two of them apart."""

    column: str
    kind: str
    condition: str
    identity: str


class ClickHouseAudit:
    """A ``TallyAudit``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def civil_days(self, first: dt.date | None = None, last: dt.date | None = None) -> Mapping[dt.date, int]:
        """Every civil day with events or tallies; see the contract."""
        days = held(first or FIRST_DAY, last or LAST_DAY)
        if days is None:
            return {}
        sources = (
            (DOSSIER_EVENTS, CIVIL_DAY.format(column="occurred_at"), "count()"),
            (AGENCY_MINUTE, CIVIL_DAY.format(column="minute"), "0"),
            (AGENCY_DAY, "day", "0"),
            (AGENCY_DAY_PROCEDURE, "day", "0"),
        )
        union = " UNION ALL ".join(
            f"SELECT {day} AS civil, {rows} AS found FROM {table} GROUP BY civil"  # noqa: S608 - names are constants
            for table, day, rows in sources
        )
        rows = self._clickhouse.whole_rows(
            "audit_days",
            f"SELECT civil, sum(found), count() OVER () FROM ({union}) WHERE civil BETWEEN {{first:Date}} AND {{last:Date}} "  # noqa: S608
            "GROUP BY civil ORDER BY civil",
            {"first": days[0], "last": days[1]},
            **_BACKGROUND,
        )
        return {day: int(found) for day, found in rows}

    def touched(self, within: dt.timedelta) -> Sequence[dt.date]:
        """Civil days of events stored lately; see the contract."""
        since = "now64(3) - toIntervalMillisecond({within:UInt64})"
        rows = self._clickhouse.rows(
            "audit_touched",
            # Only parts written since then can hold such rows.
            f"SELECT DISTINCT {CIVIL_DAY.format(column='occurred_at')} AS civil FROM {DOSSIER_EVENTS} "  # noqa: S608
            f"WHERE ingested_at > {since} AND _part IN (SELECT name FROM system.parts WHERE active "
            "AND database = currentDatabase() AND table = {events:String} "
            f"AND modification_time >= toDateTime({since})) ORDER BY civil",
            {"within": _milliseconds(within), "events": DOSSIER_EVENTS},
            **_BACKGROUND,
        )
        return [day for (day,) in rows]

    def now(self) -> dt.datetime:
        """The server's clock; see the contract."""
        return _aware(self._clickhouse.rows("audit_now", "SELECT now64(3, 'UTC')", **_BACKGROUND)[0][0])

    def compare(
        self, tier: Tier, day: dt.date, *, settle: dt.timedelta, limit: int, acknowledged: Acknowledged | None = None
    ) -> Comparison:
        """Compare one tier of a day; see the contract."""
        as_of = {"topic": acknowledged.topic, "as_of": acknowledged.as_of} if acknowledged is not None else {}
        rows = self._clickhouse.rows(
            "audit_compare",
            f"WITH {VERSION} AS epoch SELECT count(), countIf(drift > 0), sum(drift), "  # noqa: S608
            "countIf(drift > 0 AND version > epoch + stored_events), groupArrayIf({limit:UInt32})(tuple("
            "toString(agency), bucket, procedure, drift, stored_last, tallied_last, "
            f"{', '.join(f'{side}_{name}' for side in ('due', 'stored', 'tallied') for name in _NAMES)}), drift > 0), "
            "sum(off - drift), sum(stored_events - due_events) "
            f"FROM ({_compared(tier, day, due=_due(acknowledged) if settle else None)})",
            {"limit": limit, "settle": _milliseconds(settle), **as_of},
            **_SPILL,
        )
        buckets, differing, drift, stuck, listed, late, in_hand = rows[0]
        return Comparison(
            buckets=int(buckets),
            differing=int(differing),
            drift=int(drift),
            stuck=int(stuck),
            differences=tuple(
                sorted(
                    (_difference(tier, fields) for fields in listed),
                    key=lambda found: (str(found.bucket), found.agency, found.procedure),
                )
            ),
            late=int(late),
            in_hand=int(in_hand),
        )

    def contradictions(self, day: dt.date, *, limit: int) -> Repeats:
        """Unmerged rows of one event with different contents; see the contract."""
        content = f"cityHash64({_CONTENT})"
        rows = self._clickhouse.rows(
            "audit_contradictions",
            f"SELECT count(), groupArray({limit:d})((toString(event_id), [{_SIGHT}])) FROM (SELECT {_EVENT_KEY} "  # noqa: S608
            f"FROM {DOSSIER_EVENTS} WHERE {days_condition('occurred_at', Days((day,)))} "
            f"GROUP BY {_EVENT_KEY} HAVING min({content}) != max({content}))",
            **_SPILL,
        )
        count, examples = rows[0]
        return Repeats(int(count), _examples(sorted(examples)))

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, share: HashShard, *, limit: int) -> Repeats:
        """Event ids of several events; see the contract."""
        name = _UniqueColumn("event_id", "UUID", "1", "cityHash64(agency, occurred_at)")
        return self._named_twice("audit_scattered", name, days, share, limit)

    def settled_twice(self, days: tuple[dt.date, dt.date] | None, share: HashShard, *, limit: int) -> Repeats:
        """Dossiers settled by several events; see the contract."""
        name = _UniqueColumn("dossier_code", "String", "status = 9", f"cityHash64({_EVENT_KEY})")
        return self._named_twice("audit_settled_twice", name, days, share, limit)

    def newest_positions(self, topic: str) -> Mapping[int, int]:
        """The highest kept offset of each partition; see the contract."""
        union = " UNION ALL ".join(
            f"SELECT partition, max(offset) AS highest FROM {table} WHERE topic = {{topic:String}} GROUP BY partition"  # noqa: S608
            for table in (DOSSIER_EVENTS, DEAD_LETTERS, DEAD_LETTER_MARKS)
        )
        rows = self._clickhouse.whole_rows(
            "audit_positions",
            f"SELECT partition, max(highest), count() OVER () FROM ({union}) GROUP BY partition ORDER BY partition",  # noqa: S608
            {"topic": topic},
            **_BACKGROUND,
        )
        return {int(partition): int(highest) for partition, highest in rows}

    def unread(self, topic: str) -> Sequence[UnreadRange]:
        """Recorded ranges of offsets that nobody read; see the contract."""
        rows = self._clickhouse.rows(
            "audit_unread",
            f"SELECT DISTINCT partition, first_offset, end_offset, consumer_group, toString(cause) FROM {UNREAD_OFFSETS} "  # noqa: S608
            "WHERE topic = {topic:String} ORDER BY ALL",
            {"topic": topic},
            **_BACKGROUND,
        )
        return [
            UnreadRange(topic, int(partition), int(first), int(end), str(group), UnreadCause(cause))
            for partition, first, end, group, cause in rows
        ]

    def kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> Sequence[int]:
        """How many offsets of each range are kept; see the contract. One scan of all positions for every _RANGES_AT_ONCE."""
        pieces = (ranges[start : start + _RANGES_AT_ONCE] for start in range(0, len(ranges), _RANGES_AT_ONCE))
        return [count for piece in pieces for count in self._kept_within(topic, piece)]

    def _kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> list[int]:
        """A part of ``kept_within``."""
        within = [f"partition = {partition:d} AND offset >= {first:d} AND offset < {end:d}" for partition, first, end in ranges]
        union = " UNION ALL ".join(
            f"SELECT partition, offset FROM {table} WHERE topic = {{topic:String}} AND ({' OR '.join(within)})"  # noqa: S608
            for table in (DOSSIER_EVENTS, DEAD_LETTERS, DEAD_LETTER_MARKS)
        )
        counts = ", ".join(f"uniqExactIf(offset, {condition})" for condition in within)
        rows = self._clickhouse.rows("audit_unread", f"SELECT {counts} FROM ({union})", {"topic": topic}, **_BACKGROUND)  # noqa: S608
        return [int(count) for count in rows[0]]

    def missing(self, messages: pa.Table) -> Sequence[tuple[int, int]]:
        """Messages that are kept in no form; see the contract."""
        found: list[tuple[int, int]] = []
        for start in range(0, messages.num_rows, _ASKED_AT_ONCE):
            found += self._missing(messages.slice(start, _ASKED_AT_ONCE))
        return sorted(found)

    def _missing(self, messages: pa.Table) -> list[tuple[int, int]]:
        """A part of ``missing``. The messages travel as parameters: a user who may only read can make no table for them."""
        columns = {name: messages.column(name).to_pylist() for name in _ASKED}
        times = [at for at in columns["occurred_at"] if at is not None]
        parameters: dict[str, Any] = {
            "topics": columns["topic"],
            "partitions": columns["partition"],
            "offsets": columns["offset"],
            "held": [int(event_id is not None) for event_id in columns["event_id"]],
            # What a message without an event has here is never looked at.
            "agencies": [agency or "" for agency in columns["agency"]],
            "times": [_text(at) if at is not None else _text(_EPOCH) for at in columns["occurred_at"]],
            "ids": [event_id or "" for event_id in columns["event_id"]],
            "earliest": _text(min(times, default=_EPOCH)),
            "latest": _text(max(times, default=_EPOCH)),
        }
        event, position = f"({_EVENT_KEY})", "(topic, partition, offset)"
        stored = (
            f"SELECT {_EVENT_KEY} FROM {DOSSIER_EVENTS} WHERE occurred_at >= toDateTime64({{earliest:String}}, 3, 'UTC') "  # noqa: S608
            f"AND occurred_at <= toDateTime64({{latest:String}}, 3, 'UTC') "
            f"AND {event} IN (SELECT {_EVENT_KEY} FROM {_MESSAGES} WHERE held)"
        )
        # Dead letters are few; the positions of events are a scan, made only for what is still in doubt.
        in_doubt = f"SELECT partition, offset FROM {_MESSAGES} WHERE NOT held OR {event} NOT IN ({stored})"  # noqa: S608
        for tables in ((DEAD_LETTERS, DEAD_LETTER_MARKS), (DOSSIER_EVENTS,)):
            kept = " UNION ALL ".join(
                f"SELECT partition, offset FROM {table} WHERE {position} IN (SELECT {position} FROM {_MESSAGES})"  # noqa: S608
                for table in tables
            )
            in_doubt = f"SELECT partition, offset FROM ({in_doubt}) WHERE (partition, offset) NOT IN ({kept})"  # noqa: S608
            rows = self._clickhouse.rows("audit_missing", f"{in_doubt} ORDER BY partition, offset", parameters, **_SPILL)
            if not rows:
                break
        return [(int(partition), int(offset)) for partition, offset in rows]

    def _named_twice(
        self, operation: str, name: _UniqueColumn, days: tuple[dt.date, dt.date] | None, share: HashShard, limit: int
    ) -> Repeats:
        """Names of one share that events with different identities carry. Repeated rows of one event have one identity."""
        column = name.column
        where = f"cityHash64({column}) % {{of:UInt32}} = {{number:UInt32}} AND {name.condition} AND {_between(days)}"
        parameters = {"of": share.of, "number": share.number, "limit": limit}
        rows = self._clickhouse.rows(
            operation,
            f"SELECT count(), groupArraySorted({limit:d})(name) FROM (SELECT toString({column}) AS name FROM {DOSSIER_EVENTS} "  # noqa: S608
            f"WHERE {where} GROUP BY {column} HAVING min({name.identity}) != max({name.identity}))",
            parameters,
            **_SPILL,
        )
        count, names = rows[0]
        if not count:
            return Repeats(0, {})
        rows = self._clickhouse.rows(
            operation,
            f"SELECT toString({column}) AS name, groupUniqArray({_SIGHTS})({_SIGHT}) FROM {DOSSIER_EVENTS} "  # noqa: S608
            f"WHERE {where} AND {column} IN (SELECT CAST(arrayJoin({{names:Array(String)}}), '{name.kind}')) "
            f"GROUP BY {column} ORDER BY name",
            {**parameters, "names": list(names)},
            **_SPILL,
        )
        return Repeats(int(count), _examples(rows))


def _examples(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[EventRef, ...]]:
    """Names and their events, in the order of time."""
    return {
        str(name): tuple(
            EventRef(str(agency), _aware(at), str(event_id)) for agency, at, event_id in sorted(sights, key=_by_time)
        )
        for name, sights in rows
    }


def _text(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _milliseconds(span: dt.timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _between(days: tuple[dt.date, dt.date] | None) -> str:
    if days is None:
        return "1"
    period = held(*days)
    if period is None:
        return "0"
    first, last = period
    return f"{CIVIL_DAY.format(column='occurred_at')} BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'"


def _due(acknowledged: Acknowledged | None) -> str:
    """The condition on a stored event under which it must be tallied; see the contract."""
    old = "ingested_at <= now64(3) - toIntervalMillisecond({settle:UInt64})"
    if acknowledged is None or not acknowledged.partitions:
        return old
    numbers = sorted(acknowledged.partitions)
    committed, ends = (
        f"transform(partition, {numbers}, [{', '.join(f'toInt64({acknowledged.partitions[n][side]})' for n in numbers)}], "
        "toInt64(-1))"
        for side in (0, 1)
    )
    ours = "topic = {topic:String}"
    return f"ingested_at <= {{as_of:DateTime64(3, 'UTC')}} AND if({ours} AND offset < {ends}, offset < {committed}, {old})"


def _compared(tier: Tier, day: dt.date, *, due: str | None) -> str:
    """Every bucket of the day with what is due, stored and tallied, how far its tally is off, and its drift.

    ``due``: the condition under which an event must be tallied; None for every event. Days are part of every key, so they may
    be chosen before rows are merged. Tallies stand before the events: ClickHouse then pins the state of their table first, and
    a recount that ends in between cannot make a tally look too high.
    """
    bucket, procedure, tally_bucket, tally_procedure = _KEYS[tier]
    day_of = tally_day(tier, day)
    stored = ", ".join(f"countIf({condition}) AS stored_{name}" for name, condition in _CONDITIONS.items())
    must = ", ".join(
        f"stored_{name} AS due_{name}" if due is None else f"countIf(({condition}) AND ({due})) AS due_{name}"
        for name, condition in _CONDITIONS.items()
    )
    last = "max(occurred_at) AS stored_last, " + ("stored_last" if due is None else f"maxIf(occurred_at, {due})") + " AS due_last"
    none = ", ".join(f"0 AS tallied_{name}" for name in _NAMES)
    nothing = ", ".join(f"0 AS {side}_{name}" for side in ("stored", "due") for name in _NAMES)
    tallied = ", ".join(f"{name} AS tallied_{name}" for name in _NAMES)
    sums = ", ".join(f"sum({side}_{name}) AS {side}_{name}" for side in ("stored", "due", "tallied") for name in _NAMES)
    outside = ", ".join(
        f"toInt64(due_{name}) - toInt64(tallied_{name}), toInt64(tallied_{name}) - toInt64(stored_{name})" for name in _NAMES
    )
    off = ", ".join(f"toInt64(abs(toInt64(tallied_{name}) - toInt64(stored_{name})))" for name in _NAMES)
    both = "stored_events > 0 AND tallied_events > 0"
    time_is_wrong = f"toInt64({both} AND (tallied_last > stored_last OR tallied_last < due_last))"
    return (
        f"SELECT *, greatest({outside}, {time_is_wrong}, toInt64(0)) AS drift, "  # noqa: S608
        f"greatest({off}, toInt64({both} AND tallied_last != stored_last)) AS off FROM ("
        f"SELECT agency, bucket, procedure, {sums}, max(stored_last) AS stored_last, max(due_last) AS due_last, "
        "max(tallied_last) AS tallied_last, max(version) AS version FROM ("
        f"SELECT agency, {tally_bucket} AS bucket, {tally_procedure} AS procedure, {nothing}, {tallied}, "
        f"{_NEVER} AS stored_last, {_NEVER} AS due_last, last_event_at AS tallied_last, version FROM {tier.value} FINAL "
        f"PREWHERE {day_of} UNION ALL "
        f"SELECT agency, {bucket} AS bucket, {procedure} AS procedure, {stored}, {must}, {none}, {last}, "
        f"{_NEVER} AS tallied_last, toUInt64(0) AS version FROM {DOSSIER_EVENTS} FINAL "
        f"PREWHERE {days_condition('occurred_at', Days((day,)))} GROUP BY agency, bucket, procedure) "
        "GROUP BY agency, bucket, procedure)"
    )


def tally_day(tier: Tier, day: dt.date) -> str:
    """The condition on a tally that it belongs to a civil day."""
    if held(day, day) is None:
        return "0"
    return days_condition("minute", Days((day,))) if tier is Tier.MINUTE else f"day = '{day.isoformat()}'"


def _difference(tier: Tier, fields: Sequence[Any]) -> Difference:
    agency, bucket, procedure, drift, stored_last, tallied_last, *counts = fields
    width = len(_NAMES)
    due, stored, tallied = (Counts(*map(int, counts[start : start + width])) for start in range(0, 3 * width, width))
    return Difference(
        tier=tier,
        agency=str(agency),
        bucket=_aware(bucket) if isinstance(bucket, dt.datetime) else bucket,
        procedure=str(procedure),
        due=due,
        stored=stored,
        tallied=tallied,
        stored_last=_aware(stored_last) if stored.events else None,
        tallied_last=_aware(tallied_last) if tallied.events else None,
        drift=int(drift),
    )


def _by_time(sight: tuple[str, dt.datetime, str]) -> tuple[dt.datetime, str, str]:
    agency, at, event_id = sight
    return at, agency, event_id


def _aware(instant: dt.datetime) -> dt.datetime:
    return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant
