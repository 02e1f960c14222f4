"""Counts dead letters by chunk of offsets, so that the cost of the metric does not depend on their number.

Like every tally the counts are recounted from the stored rows and never incremented: a dead letter that is redelivered, marked or
dropped changes no count. A message counts once, under the reason with which it was first dead-lettered.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_marks import is_marked
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.contract.dead_letters import Position
from sinks.tables import DEAD_LETTER_IDENTITY, DEAD_LETTER_MARKS, DEAD_LETTER_TALLIES, DEAD_LETTERS

#: Offsets in one chunk, which is the most that a recount of a chunk reads. The migration of the table has the same number.
CHUNK: Final = 65_536
#: Recent dead letters whose agency is looked at, and the longest message that is read for it.
_RECENT: Final = 10_000
_LONGEST_VALUE: Final = 65_536
#: Chunks recounted by one statement.
_CHUNKS_PER_STATEMENT: Final = 200


def recount_dead_letters(clickhouse: ClickHouse, positions: Iterable[Position], settings: Mapping[str, Any]) -> None:
    """Recount every chunk of offsets that contains one of ``positions``. Idempotent, and safe while another recount runs."""
    chunks: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for topic, partition, offset in positions:
        chunks[topic].add((partition, offset // CHUNK))
    for topic, found in sorted(chunks.items()):
        ordered = sorted(found)
        for begin in range(0, len(ordered), _CHUNKS_PER_STATEMENT):
            _recount(clickhouse, topic, ordered[begin : begin + _CHUNKS_PER_STATEMENT], settings)
    refuse_hidden_rows(clickhouse, (DEAD_LETTERS, DEAD_LETTER_MARKS))


def _recount(clickhouse: ClickHouse, topic: str, chunks: list[tuple[int, int]], settings: Mapping[str, Any]) -> None:
    ranges = " OR ".join(
        f"(partition = {partition} AND offset >= {chunk * CHUNK} AND offset < {(chunk + 1) * CHUNK})"
        for partition, chunk in chunks
    )
    where = f"topic = {{topic:String}} AND ({ranges})"
    clickhouse.command(
        "recount_dead_letters",
        f"INSERT INTO {DEAD_LETTER_TALLIES} (topic, partition, chunk, letters, reasons) "  # noqa: S608
        f"SELECT topic, partition, intDiv(offset, {CHUNK}) AS chunk, count(), sumMap(map(reason, toUInt64(1))) FROM ("
        # A dead letter that is redelivered after it was dropped is counted by its mark.
        f"SELECT topic, partition, offset, reason FROM {DEAD_LETTER_MARKS} FINAL WHERE state = 'dropped' AND {where} "
        f"UNION ALL SELECT topic, partition, offset, reason FROM {DEAD_LETTERS} FINAL WHERE {where} "
        f"AND NOT {is_marked('dropped', where)}) GROUP BY topic, partition, chunk",
        {"topic": topic},
        **settings,
    )


def dead_letters_by_reason(clickhouse: ClickHouse) -> dict[str, int]:
    """The number of messages ever dead-lettered, by reason: each message once. Reads only the stored counts."""
    rows = clickhouse.rows(
        "read_dead_letters",
        f"SELECT reason, sum(letters) FROM (SELECT reasons FROM {DEAD_LETTER_TALLIES} FINAL) "  # noqa: S608
        "ARRAY JOIN mapKeys(reasons) AS reason, mapValues(reasons) AS letters GROUP BY reason",
    )
    refuse_hidden_rows(clickhouse, (DEAD_LETTER_TALLIES,))
    return {str(reason): int(count) for reason, count in rows}


def dead_letter_agencies(clickhouse: ClickHouse, within: dt.timedelta) -> dict[str, int]:
    """The number of distinct recent dead letters by the agency that they name, "" where no code can be read.

    Reads ``_RECENT`` at most.
    """
    rows = clickhouse.rows(
        "read_dead_letters",
        "SELECT splitByChar('.', JSONExtractString(value, 'agency_code'))[-1] AS code, "  # noqa: S608
        f"uniqExact({DEAD_LETTER_IDENTITY}) FROM (SELECT {DEAD_LETTER_IDENTITY}, "
        f"if(length(value) > {_LONGEST_VALUE}, '', value) AS value FROM {DEAD_LETTERS} "
        f"WHERE first_seen > now64(3) - toIntervalSecond({{seconds:UInt32}}) LIMIT {_RECENT}) GROUP BY code",
        {"seconds": int(within.total_seconds())},
    )
    refuse_hidden_rows(clickhouse, (DEAD_LETTERS,))
    return {str(code): int(count) for code, count in rows}
