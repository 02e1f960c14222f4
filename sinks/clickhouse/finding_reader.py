"""Reads the dossiers that may have a finding. The SQL condition may select too many dossiers; ``domain.findings`` decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from domain.catalogue import LEVEL_OF_LEGACY
from domain.dossier_columns import LEVEL_RANKS
from domain.dossiers import ENDS_UNSETTLED, MAX_EVENTS
from domain.events import Channel, DossierEvent, Status
from domain.periods import Period
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.expired_range import refuse_expired
from sinks.clickhouse.row_policies import refuse_hidden_rows, whole
from sinks.clickhouse.tally_sql import BACKGROUND_SORTING, BACKGROUND_SPILLING
from sinks.clickhouse.times import UNIX_EPOCH, storable_days, to_milliseconds
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingScope
from sinks.tables import CATALOGUE_ENTRIES, CATALOGUE_LOADS, DOSSIER_INDEX, DOSSIER_MESSAGES

#: The index is in the order of dossiers: groups are made and given out one after the other, in constant memory.
_STREAMING: Final[dict[str, Any]] = BACKGROUND_SORTING | {
    "optimize_aggregation_in_order": 1,
    "optimize_read_in_order": 1,
    "max_block_size": 65_536,
}
_STATUS: Final = "bitAnd(facts, 15)"
_LEVEL: Final = "bitAnd(bitShiftRight(facts, 6), 3)"
#: The order of a message within its dossier. Messages of one time and status need no order here.
_ORDER: Final = f"(toUnixTimestamp64Milli(occurred_at) * 16 + {_STATUS})"
_NEVER: Final = "toInt64(9223372036854775807)"
_SUBMISSIONS: Final = f"({int(Status.REGISTERED)}, {int(Status.RECEIVED)})"
_RANKS_OF_LEGACY: Final = ", ".join(str(LEVEL_RANKS.index(LEVEL_OF_LEGACY[legacy])) for legacy in range(5))
_ENDS: Final = f"({', '.join(str(int(status)) for status in sorted(ENDS_UNSETTLED))})"
#: One channel alone, as a bit for each value.
_ONE_CHANNEL: Final = f"({', '.join(str(1 << channel) for channel in Channel)})"
_SETTLING: Final = f"({int(Status.SETTLED)}, {int(Status.RETURNED)})"
#: The entries of the catalogue that are in force on some day of the scope, with the level that each counts as.
_ENTRIES: Final = (
    "SELECT agency, procedure_code, valid_from, valid_to, "  # noqa: S608 - names are constants
    f"if(service_level != '', toUInt8(service_level), [{_RANKS_OF_LEGACY}][legacy_level + 1]) AS level "
    f"FROM {CATALOGUE_ENTRIES} FINAL WHERE (agency, load_id) IN "
    f"(SELECT agency, argMax(load_id, (loaded_at, toString(load_id))) FROM {CATALOGUE_LOADS} GROUP BY agency) "
    "AND valid_from <= {last_day:Date} AND (valid_to IS NULL OR valid_to >= {first_day:Date})"
)
#: Services with one level on all days of the scope. 0: not stated, so that no message differs.
_FITTING: Final = (
    f"SELECT agency, procedure_code, level FROM ({_ENTRIES}) "  # noqa: S608 - names are constants
    "WHERE valid_from <= {first_day:Date} AND (valid_to IS NULL OR valid_to >= {last_day:Date})"
)
#: Whether a message may settle a dossier otherwise than the catalogue of its unit says.
_UNLIKE_CATALOGUE: Final = (
    f"max({_STATUS} IN {_SETTLING} AND agency IN (SELECT agency FROM ({_ENTRIES})) "  # noqa: S608 - names are constants
    f"AND (agency, procedure_code, {_LEVEL}) NOT IN ({_FITTING}) AND (agency, procedure_code, 0) NOT IN ({_FITTING}))"
)


def _first(condition: str) -> str:
    """The SQL of the place, in the order of messages, of the first message that meets a condition."""
    return f"min(if({condition}, {_ORDER}, {_NEVER}))"


def _last(condition: str) -> str:
    """The SQL of the place, in the order of messages, of the last message that meets a condition; -1 without one."""
    return f"max(if({condition}, {_ORDER}, toInt64(-1)))"


_FACTS_OF_A_DOSSIER: Final = ", ".join(
    (
        "count() AS n",
        f"uniqExact(event_id, {_STATUS}) AS events",
        f"countIf({_STATUS} = {int(Status.SETTLED)}) AS nines",
        f"countIf({_STATUS} = {int(Status.RETURNED)}) AS tens",
        f"min({_ORDER}) AS first",
        f"{_first(f'{_STATUS} = {int(Status.SETTLED)}')} AS nine",
        f"{_first(f'{_STATUS} IN {_ENDS}')} AS ended",
        f"{_first(f'{_LEVEL} != 0')} AS with_level",
        f"{_last(f'{_STATUS} IN {_SUBMISSIONS}')} AS last_submission",
        f"{_last(f'{_STATUS} < {int(Status.SETTLED)}')} AS last_open",
        "groupBitOr(bitShiftLeft(toUInt8(1), toUInt8(bitAnd(bitShiftRight(facts, 4), 3)))) AS channels",
        "min(agency) AS unit, max(agency) AS other_unit",
        "min(bitAnd(bitShiftRight(facts, 13), 1)) AS named",
        f"min({_STATUS} != 0) AS undecided",
        f"{_UNLIKE_CATALOGUE} AS unlike_catalogue",
    )
)
#: Kinds of ``FindingKind`` by the condition that they need. Only dossiers in which every event is one message, and at most one is
#: a 9, get as far as the conditions after the first two; for these, places in the order are those of the events.
_MAY_HAVE_FINDING: Final = " OR ".join(
    (
        "n != events",  # corrected_time, and everything that depends on which message counts
        "nines > 1",  # settled_twice
        "(tens > 0 AND nines = 0)",  # settled_by_return
        f"(tens > 0 AND ended != {_NEVER})",  # returned_after_refusal
        "last_submission > ended",  # resubmitted
        "last_open > nine",  # reopened
        f"bitAnd(first, 15) NOT IN {_SUBMISSIONS}",  # first_seen_late, settled_before_submitted
        f"bitAnd(channels, 254) NOT IN {_ONE_CHANNEL}",  # several_channels, no_channel
        "unit != other_unit",  # several_units
        "named = 0",  # other_unit_than_code
        f"(nine != {_NEVER} AND with_level > nine)",  # no_level
        f"n > {MAX_EVENTS}",  # too_many_events
        "unlike_catalogue",  # level_differs, not_in_catalogue
        "undecided = 0",  # excluded; with a decision among the messages the conditions above mean little
    )
)


class ClickHouseFindingReader:
    """Implements ``FindingReader`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def messages_within(self, scope: FindingScope) -> int:
        """How many messages lie in the scope; see ``FindingReader.messages_within``."""
        refuse_expired(self._clickhouse, scope.period.start)
        sql = f"SELECT count() FROM {DOSSIER_MESSAGES} WHERE {_within(scope)}"  # noqa: S608 - names are constants
        rows = self._clickhouse.rows("count_messages", sql, _parameters(scope), **BACKGROUND_SPILLING)
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES,))
        return int(rows[0][0])

    def histories(self, scope: FindingScope, shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages and decisions of dossiers that may have a finding; see ``FindingReader.histories``."""
        chosen = (
            f"SELECT {DOSSIER} AS dossier FROM {DOSSIER_MESSAGES} "  # noqa: S608
            f"WHERE {_within(scope)} AND ({DOSSIER}) % {{count:UInt32}} = {{index:UInt32}}"
        )
        candidates = (
            f"SELECT dossier FROM (SELECT dossier, {_FACTS_OF_A_DOSSIER} FROM {DOSSIER_INDEX} "  # noqa: S608
            f"WHERE claim = 0 AND dossier IN ({chosen}) GROUP BY dossier) WHERE {_MAY_HAVE_FINDING}"
        )
        found = self._clickhouse.batches(
            "read_findings",
            "SELECT dossier, occurred_at, reinterpretAsFixedString(event_id) AS id, agency, procedure_code, due_at, facts "  # noqa: S608
            f"FROM {DOSSIER_INDEX} WHERE claim = 0 AND dossier IN ({candidates}) ORDER BY dossier",
            _parameters(scope)
            | {"first_day": scope.period.start.isoformat(), "last_day": scope.period.end.isoformat()}
            | {"count": shard.count, "index": shard.index},
            **_STREAMING,
        )
        return whole(found, self._clickhouse, (DOSSIER_MESSAGES, DOSSIER_INDEX, CATALOGUE_ENTRIES, CATALOGUE_LOADS))

    def codes_of(self, messages: Mapping[bytes, DossierEvent]) -> Mapping[bytes, str]:
        """The codes of dossiers; see ``FindingReader.codes_of``. Each message is found by the primary key."""
        if not messages:
            return {}
        numbers = {int.from_bytes(dossier, "little"): dossier for dossier in messages}
        keys = ", ".join(
            f"({_text(message.agency)}, toDateTime64('{to_milliseconds(message.occurred_at)}', 3, 'UTC'), "
            f"toUUID('{message.event_id}'))"
            for message in messages.values()
        )
        rows = self._clickhouse.counted_rows(
            "read_codes",
            f"SELECT dossier, code, count() OVER () FROM (SELECT DISTINCT {DOSSIER} AS dossier, dossier_code AS code "  # noqa: S608
            f"FROM {DOSSIER_MESSAGES} WHERE (agency, occurred_at, event_id) IN ({keys}))",
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES,))
        return {numbers[int(number)]: str(code) for number, code in rows if int(number) in numbers}


def _within(scope: FindingScope) -> str:
    """The condition that a message lies in the scope, on the columns of the primary key."""
    days = "occurred_at >= {start:DateTime64(3, 'UTC')} AND occurred_at < {end:DateTime64(3, 'UTC')}"
    return days if scope.agencies is None else f"agency IN {{agencies:Array(String)}} AND {days}"


def _parameters(scope: FindingScope) -> dict[str, Any]:
    days = storable_days(scope.period.start, scope.period.end)
    start, end = (UNIX_EPOCH, UNIX_EPOCH) if days is None else Period(*days).instants()
    bounds = {"start": to_milliseconds(start), "end": to_milliseconds(end)}
    return bounds | ({} if scope.agencies is None else {"agencies": list(scope.agencies)})


def _text(value: str) -> str:
    """A text as an SQL literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
