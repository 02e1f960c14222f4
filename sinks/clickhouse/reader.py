"""Reads figures from the tallies. Whatever is read is read FINAL: half-merged rows are never shown."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.days import clipped, held
from sinks.clickhouse.dead_letter_tallies import dead_letters_by_reason
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.contract.tallies import Arrivals, Counts, TallyTotals
from sinks.errors import Fatal
from sinks.tables import AGENCY_DAY, AGENCY_MINUTE, COUNT_CONDITIONS, DEAD_LETTERS, DOSSIER_EVENTS

_SUMS = ", ".join(f"sum({name})" for name in ("events", *COUNT_CONDITIONS))
_VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")


class ClickHouseReader:
    """A ``TallyReader``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._standing = _StandingByMonth(clickhouse)

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies; see the contract."""
        rows = self._clickhouse.whole_rows(
            "read_minutes",
            f"SELECT agency, {_SUMS}, count() OVER () FROM {AGENCY_MINUTE} FINAL "  # noqa: S608 - names are constants
            "WHERE minute >= toDateTime({start:String}, 'UTC') AND minute < toDateTime({end:String}, 'UTC') GROUP BY agency",
            {"start": _utc(clipped(start)), "end": _utc(clipped(end))},
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_MINUTE,))
        return {str(agency): Counts(*map(int, counts)) for agency, *counts in rows}

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency from the day tallies; see the contract."""
        days = held(first, last)
        if days is None:
            return {}
        rows = self._clickhouse.whole_rows(
            "read_days",
            f"SELECT agency, {_SUMS}, count() OVER () FROM {AGENCY_DAY} FINAL "  # noqa: S608
            "WHERE day >= {first:Date} AND day <= {last:Date} GROUP BY agency",
            {"first": days[0], "last": days[1]},
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY,))
        return {str(agency): Counts(*map(int, counts)) for agency, *counts in rows}

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event up to ``until``; see the contract.

        Days that ended before ``until``'s day began hold nothing later; the rest is looked up by minute, and the minute of
        ``until`` itself in the events.
        """
        until = clipped(until)
        today = until.astimezone(_VIETNAM).date()
        midnight = dt.datetime.combine(today, dt.time(), _VIETNAM)
        minute = until.astimezone(dt.UTC).replace(second=0, microsecond=0)
        rows = self._clickhouse.whole_rows(
            "read_last_events",
            "SELECT agency, max(at), count() OVER () FROM ("  # noqa: S608
            # A tally of no event is what a repair left of one that should not have been.
            f"SELECT agency, max(last_event_at) AS at FROM {AGENCY_DAY} WHERE day < {{today:Date}} AND events > 0 "
            "GROUP BY agency "
            f"UNION ALL SELECT agency, max(last_event_at) FROM {AGENCY_MINUTE} "
            "WHERE minute >= toDateTime({midnight:String}, 'UTC') AND minute < toDateTime({minute:String}, 'UTC') "
            "AND events > 0 GROUP BY agency "
            f"UNION ALL SELECT agency, max(occurred_at) FROM {DOSSIER_EVENTS} "
            "WHERE occurred_at >= toDateTime64({minute:String}, 3, 'UTC') "
            "AND occurred_at <= toDateTime64({until:String}, 3, 'UTC') GROUP BY agency) GROUP BY agency",
            {
                "today": today,
                "midnight": _utc(midnight),
                "minute": _utc(minute),
                "until": until.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
            },
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY, AGENCY_MINUTE, DOSSIER_EVENTS))
        return {str(agency): at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at for agency, at in rows}

    def standing(self) -> TallyTotals:
        """Distinct events stored and tallied; see the contract."""
        standing = self._standing.read()
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY, AGENCY_MINUTE, DOSSIER_EVENTS))
        return standing

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Messages set aside so far; see the contract."""
        return dead_letters_by_reason(self._clickhouse)

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Distinct messages that arrived lately; see the contract."""
        seconds = int(within.total_seconds())
        since = "now64(3) - toIntervalSecond({seconds:UInt32})"
        rows = self._clickhouse.rows(
            "read_arrivals",
            # Only parts written since then can hold such rows: at any size of the table this reads what arrived lately.
            f"SELECT (SELECT uniq(event_id) FROM {DOSSIER_EVENTS} WHERE ingested_at > {since} AND _part IN ("  # noqa: S608
            "SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = {events:String} "
            f"AND modification_time > toDateTime({since}))), "
            # The index on first_seen leaves out what was set aside before.
            f"(SELECT uniqExact(topic, partition, offset) FROM {DEAD_LETTERS} WHERE first_seen > {since})",
            {"seconds": seconds, "events": DOSSIER_EVENTS},
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_EVENTS, DEAD_LETTERS))
        return Arrivals(events=int(rows[0][0]), dead_letters=int(rows[0][1]))

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events as NDJSON; see the contract."""
        days = held(first, last)
        if days is None:
            return
        start = dt.datetime.combine(days[0], dt.time(), _VIETNAM)
        end = dt.datetime.combine(days[1] + dt.timedelta(days=1), dt.time(), _VIETNAM)
        chosen = "1" if agencies is None else "agency IN {agencies:Array(String)}"
        wanted = (
            f"FROM {DOSSIER_EVENTS} AS stored FINAL WHERE stored.occurred_at >= toDateTime64({{start:String}}, 3, 'UTC') "
            f"AND stored.occurred_at < toDateTime64({{end:String}}, 3, 'UTC') AND {chosen}"
        )
        parameters = {"start": _utc(start), "end": _utc(end), "agencies": list(agencies or ())}
        # Events may arrive meanwhile, so there may be more than were counted, and never fewer.
        due, found = int(self._clickhouse.rows("read_events", f"SELECT count() {wanted}", parameters)[0][0]), 0
        for piece in self._clickhouse.stream(
            "read_events",
            "SELECT toString(event_id) AS event_id, dossier_code, agency AS agency_code, procedure_code, status, channel, "
            "service_level, concat(formatDateTime(occurred_at, '%FT%T', 'Asia/Ho_Chi_Minh'), '.', "
            "leftPad(toString(toUnixTimestamp64Milli(occurred_at) % 1000), 3, '0'), '+07:00') AS occurred_at, "
            "nullIf(legacy_level, 0) AS legacy_level, nullIf(toString(returned_by), '') AS returned_by, "
            f"nullIf(toString(portal_id), '') AS portal_id {wanted} ORDER BY stored.occurred_at, stored.event_id",
            parameters,
            "JSONEachRow",
        ):
            found += piece.count(b"\n")
            yield piece
        refuse_hidden_rows(self._clickhouse, (DOSSIER_EVENTS,))
        if found < due:
            raise Fatal(
                f"Only {found} of {due} events came from {self._clickhouse.target.shown}. Events were deleted meanwhile, or a "
                "setting of this user limits answers; export them again."
            )

    def ping(self) -> None:
        """Return when ClickHouse answers."""
        self._clickhouse.rows("ping", "SELECT 1")


@dataclass(slots=True)
class _Month:
    """What was last found in one monthly partition."""

    fingerprint: tuple[object, ...]
    standing: TallyTotals
    read_at: float
    cost: float


class _StandingByMonth:
    """Stored against tallied, counted per monthly partition and only where parts changed.

    Counting distinct rows costs a scan, so a partition is counted again at the earliest after twenty times its last cost:
    the answer is exact when taken, at most that old, and never takes more than a twentieth of a core.
    """

    _DUTY = 20.0

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._months: dict[int, _Month] = {}
        self._guard = threading.Lock()

    def read(self) -> TallyTotals:
        with self._guard:
            fresh = True  # whether every month below is as it was counted
            # First of all: whatever is rolled up now was stored and counted by minute before.
            rolled_up = int(self._clickhouse.rows("read_rolled_up", f"SELECT sum(events) FROM {AGENCY_DAY} FINAL")[0][0])  # noqa: S608
            fingerprints = self._fingerprints()
            for month, fingerprint in fingerprints.items():
                known = self._months.get(month)
                now = time.monotonic()
                if known is not None and known.fingerprint == fingerprint:
                    continue
                if known is not None and now - known.read_at < self._DUTY * known.cost:
                    fresh = False
                    continue
                standing = self._count(month)
                self._months[month] = _Month(fingerprint, standing, time.monotonic(), time.monotonic() - now)
            for month in set(self._months) - set(fingerprints):
                del self._months[month]
            stored = sum(month.standing.stored for month in self._months.values())
            tiers = [sum(month.standing.tallied for month in self._months.values())]
            if fresh or rolled_up < stored:  # else these days hold more than what was known when the months were counted
                tiers.append(rolled_up)
            return TallyTotals(stored=stored, tallied=max(tiers, key=lambda tallied: abs(stored - tallied)))

    def _fingerprints(self) -> dict[int, tuple[object, ...]]:
        """Per month: what changes whenever rows are added to the events or the minute tallies, or taken away.

        Merges change nothing. Deleting rows is a mutation, whose number is higher than that of every block it changed.
        """
        mutation = "if(data_version > toUInt64(max_block_number), data_version, 0)"
        rows = self._clickhouse.rows(
            "read_parts",
            "SELECT toUInt32OrZero(partition) AS month, maxIf(max_block_number, table = {events:String}), "  # noqa: S608
            f"maxIf(max_block_number, table = {{minutes:String}}), max({mutation}) "
            "FROM system.parts WHERE active AND database = currentDatabase() AND table IN ({events:String}, {minutes:String}) "
            "GROUP BY month HAVING month > 0",
            {"events": DOSSIER_EVENTS, "minutes": AGENCY_MINUTE},
        )
        return {int(month): tuple(fingerprint) for month, *fingerprint in rows}

    def _count(self, month: int) -> TallyTotals:
        """Tallies first: what arrives between the two counts then reads as late, never as counted twice."""
        tallied = self._clickhouse.rows(
            "read_tallied",
            f"SELECT sum(events) FROM {AGENCY_MINUTE} FINAL WHERE toYYYYMM(minute) = {{month:UInt32}}",  # noqa: S608
            {"month": month},
        )
        stored = self._clickhouse.rows(
            "read_stored",
            f"SELECT count() FROM {DOSSIER_EVENTS} FINAL WHERE toYYYYMM(occurred_at) = {{month:UInt32}}",  # noqa: S608
            {"month": month},
        )
        return TallyTotals(stored=int(stored[0][0]), tallied=int(tallied[0][0]))


def _utc(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
