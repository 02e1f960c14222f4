"""The totals of stored and tallied events, counted by monthly partition, and only again where the partition's parts changed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND, expired_count, kept
from sinks.clickhouse.tally_sql import correction
from sinks.contract.tallies import TallyTotals
from sinks.tables import AGENCY_DAY, AGENCY_MINUTE, DOSSIER_CORRECTIONS, DOSSIER_MESSAGES, EXPIRATION_RUNS, EXPIRED_MESSAGES

#: A partition is counted again after this many times the duration of its last count, at the earliest.
_REST_FACTOR: Final = 20.0


@dataclass(frozen=True, slots=True)
class _Month:
    """The last counts of one monthly partition; ``cost``: the seconds that counting took."""

    fingerprint: tuple[object, ...]
    totals: TallyTotals
    counted_at: float
    cost: float


class MonthlyTotals:
    """Totals that cost at most a twentieth of a core. Each count is exact when it is made. Thread-safe.

    Counting distinct rows is a scan, so a changed partition is counted again only ``_REST_FACTOR`` times the scan's duration
    later.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._months: dict[int, _Month] = {}
        self._guard = threading.Lock()

    def read(self) -> TallyTotals:
        """The totals of all months; see ``TallyReader.totals``."""
        with self._guard:
            up_to_date = True  # whether no month has changed since it was counted
            # This comes first: whatever is rolled up now was stored and counted by minute before.
            rolled_up = int(self._clickhouse.rows("read_rolled_up", f"SELECT sum(events) FROM {AGENCY_DAY} FINAL")[0][0])  # noqa: S608
            fingerprints = self._fingerprints()
            for month, fingerprint in fingerprints.items():
                known = self._months.get(month)
                now = time.monotonic()
                if known is not None and known.fingerprint == fingerprint:
                    continue
                if known is not None and now - known.counted_at < _REST_FACTOR * known.cost:
                    up_to_date = False
                    continue
                totals = self._count(month)
                self._months[month] = _Month(fingerprint, totals, time.monotonic(), time.monotonic() - now)
            for month in set(self._months) - set(fingerprints):
                del self._months[month]
            stored = sum(month.totals.stored for month in self._months.values())
            tiers = [sum(month.totals.tallied for month in self._months.values())]
            if up_to_date or rolled_up < stored:  # otherwise the days may include events that the months' counts do not
                tiers.append(rolled_up)
            return TallyTotals(stored=stored, tallied=max(tiers, key=lambda tallied: abs(stored - tallied)))

    def _fingerprints(self) -> dict[int, tuple[object, ...]]:
        """For each month a value that changes when messages, their corrections or minute tallies are added or removed, or expire.

        Merges do not change the value. Deleting rows is a mutation, whose number is higher than that of every block it changed.
        """
        mutation = "if(data_version > toUInt64(max_block_number), data_version, 0)"
        rows = self._clickhouse.rows(
            "read_parts",
            "SELECT toUInt32OrZero(partition) AS month, maxIf(max_block_number, table = {events:String}), "  # noqa: S608
            f"maxIf(max_block_number, table = {{minutes:String}}), max({mutation}), "
            "maxIf(max_block_number, table = {corrections:String}), maxIf(max_block_number, table = {expired:String}), "
            f"(SELECT count() FROM {EXPIRATION_RUNS}) "
            "FROM system.parts WHERE active AND database = currentDatabase() "
            "AND table IN ({events:String}, {minutes:String}, {corrections:String}, {expired:String}) "
            "GROUP BY month HAVING month > 0",
            {
                "events": DOSSIER_MESSAGES,
                "minutes": AGENCY_MINUTE,
                "corrections": DOSSIER_CORRECTIONS,
                "expired": EXPIRED_MESSAGES,
            },
        )
        return {int(month): tuple(fingerprint) for month, *fingerprint in rows}

    def _count(self, month: int) -> TallyTotals:
        """Count the tallied events of a month, then stored ones; events that arrive in between appear late, never counted twice.

        A message that repeats an event with other contents is corrected, and counts as no event of its own.
        """
        tallied = self._clickhouse.rows(
            "read_tallied",
            f"SELECT sum(events) FROM {AGENCY_MINUTE} FINAL WHERE toYYYYMM(minute) = {{month:UInt32}}",  # noqa: S608
            {"month": month},
        )
        within = "toYYYYMM(occurred_at) = {month:UInt32}"
        of_each = {
            "toInt64(count())": f"{DOSSIER_MESSAGES} FINAL WHERE {within} AND {kept(DOSSIER_MESSAGES, within)}",
            f"sum({correction('events')})": f"{DOSSIER_CORRECTIONS} FINAL WHERE {within} AND {kept(DOSSIER_CORRECTIONS, within)}",
            f"sum({expired_count('events')})": f"{EXPIRED_MESSAGES} FINAL WHERE {within} AND {IN_FORCE}",
        }
        union = " UNION ALL ".join(f"SELECT {events} AS events FROM {source}" for events, source in of_each.items())  # noqa: S608
        stored = self._clickhouse.rows("read_stored", f"{WITH_BOUND} SELECT sum(events) FROM ({union})", {"month": month})  # noqa: S608
        return TallyTotals(stored=int(stored[0][0]), tallied=int(tallied[0][0]))
