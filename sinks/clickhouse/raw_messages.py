"""Reads the stored messages dossier by dossier, without the index, corrections and tallies that are made from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from domain.periods import Period
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.expired_range import refuse_expired
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND
from sinks.clickhouse.row_policies import refuse_hidden_rows, whole
from sinks.clickhouse.tally_sql import BACKGROUND_SORTING, BACKGROUND_SPILLING
from sinks.clickhouse.times import UNIX_EPOCH, storable_days, to_milliseconds
from sinks.contract.audit import HashShard
from sinks.tables import DOSSIER_MESSAGES, EXPIRATION_RUNS, EXPIRED_DOSSIERS

#: A shard is sorted on disk above this much memory, and given out in pieces.
_SORTED: Final[dict[str, Any]] = BACKGROUND_SORTING | {"max_block_size": 65_536}
#: Not the number of the index: verifying must not depend on it.
_IN_SHARD: Final = "sipHash64(dossier_code) % {count:UInt32} = {index:UInt32}"
_EXPIRED: Final = f"FROM {EXPIRED_DOSSIERS} WHERE {IN_FORCE}"
_COLUMNS: Final = (
    "dossier_code, agency, occurred_at, reinterpretAsFixedString(event_id) AS id, status, procedure_code, channel, "
    "toUInt8(service_level) AS level, legacy_level, toUInt8(returned_by) AS returned, due_at, named_by_code"
)


class ClickHouseRawMessages:
    """Implements ``RawMessageReader`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def messages_within(self, periods: Sequence[Period]) -> int:
        """How many messages lie in one of the periods; see ``RawMessageReader.messages_within``."""
        refuse_expired(self._clickhouse, min(period.start for period in periods))
        condition, parameters = _within(periods)
        sql = f"SELECT count() FROM {DOSSIER_MESSAGES} WHERE {condition}"  # noqa: S608 - names are constants
        rows = self._clickhouse.rows("count_messages", sql, parameters, **BACKGROUND_SPILLING)
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES,))
        return int(rows[0][0])

    def by_dossier(self, periods: Sequence[Period], shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages of dossiers with a message in one of the periods; see ``RawMessageReader.by_dossier``."""
        condition, parameters = _within(periods)
        chosen = f"SELECT dossier_code FROM {DOSSIER_MESSAGES} WHERE ({condition}) AND {_IN_SHARD}"  # noqa: S608
        found = self._clickhouse.batches(
            "read_raw_messages",
            f"SELECT {_COLUMNS} FROM {DOSSIER_MESSAGES} WHERE {_IN_SHARD} AND dossier_code IN ({chosen}) "  # noqa: S608
            "ORDER BY dossier_code, agency, occurred_at, event_id, status",
            parameters | {"count": shard.count, "index": shard.index},
            **_SORTED,
        )
        return whole(found, self._clickhouse, (DOSSIER_MESSAGES,))

    def late_codes(self) -> Sequence[str]:
        """The codes of dossiers that got messages after theirs expired; see ``RawMessageReader.late_codes``.

        Scans all dossier codes.
        """
        rows = self._clickhouse.counted_rows(
            "read_late_codes",
            f"{WITH_BOUND} SELECT dossier_code, count() OVER () FROM {DOSSIER_MESSAGES} "  # noqa: S608 - names are constants
            f"WHERE (SELECT count() {_EXPIRED}) > 0 AND {DOSSIER} IN (SELECT dossier {_EXPIRED}) GROUP BY dossier_code",
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES, EXPIRED_DOSSIERS, EXPIRATION_RUNS))
        return [str(code) for (code,) in rows]


def _within(periods: Sequence[Period]) -> tuple[str, dict[str, Any]]:
    """The condition that a message lies in one of the periods, and its parameters."""
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for number, period in enumerate(periods):
        days = storable_days(period.start, period.end)
        start, end = (UNIX_EPOCH, UNIX_EPOCH) if days is None else Period(*days).instants()
        conditions.append(
            f"(occurred_at >= {{start{number}:DateTime64(3, 'UTC')}} AND occurred_at < {{end{number}:DateTime64(3, 'UTC')}})"
        )
        parameters |= {f"start{number}": to_milliseconds(start), f"end{number}": to_milliseconds(end)}
    return " OR ".join(conditions), parameters
