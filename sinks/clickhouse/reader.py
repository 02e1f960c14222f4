"""Reads figures from the tallies. Every read uses FINAL, so rows that are not yet merged count once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from domain.periods import Period, civil_day, day_start
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_tallies import dead_letter_agencies, dead_letters_by_reason
from sinks.clickhouse.expired_range import refuse_expired
from sinks.clickhouse.monthly_totals import MonthlyTotals
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import COUNT_NAMES
from sinks.clickhouse.times import aware, clamped, storable_days, to_milliseconds, to_seconds
from sinks.contract.tallies import Arrivals, Counts, ServicesWithDossiers, TallyTotals
from sinks.errors import Fatal
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    DEAD_LETTER_IDENTITY,
    DEAD_LETTERS,
    DOSSIER_CORRECTIONS,
    DOSSIER_MESSAGES,
    EXPIRATION_RUNS,
    EXPIRED_MESSAGES,
)

_SUMS = ", ".join(f"sum({name})" for name in COUNT_NAMES)
#: The condition that a tally is of some civil days; see ``_parameters``.
_WITHIN: Final = "day >= {first:Date} AND day <= {last:Date}"

#: A time as in a message: Vietnamese local time with milliseconds.
_TIME: Final = (
    "concat(formatDateTime({column}, '%FT%T', 'Asia/Ho_Chi_Minh'), '.', "
    "leftPad(toString(toUnixTimestamp64Milli({column}) % 1000), 3, '0'), '+07:00')"
)


def _parameters(days: tuple[dt.date, dt.date]) -> dict[str, Any]:
    return {"first": days[0], "last": days[1]}


class ClickHouseReader:
    """Implements ``TallyReader`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._monthly_totals = MonthlyTotals(clickhouse)

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies; see ``TallyReader.counts_between``."""
        where = "minute >= toDateTime({start:String}, 'UTC') AND minute < toDateTime({end:String}, 'UTC')"
        parameters = {"start": to_seconds(clamped(start)), "end": to_seconds(clamped(end))}
        return self._counts("read_minutes", AGENCY_MINUTE, "agency", where, parameters)

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency from the day tallies; see ``TallyReader.counts_of_days``."""
        days = storable_days(first, last)
        return {} if days is None else self._counts("read_days", AGENCY_DAY, "agency", _WITHIN, _parameters(days))

    def counts_by_step(self, first: dt.date, last: dt.date, seconds: int) -> Mapping[tuple[str, int], Counts]:
        """Counts by agency and step from the minute tallies; see ``TallyReader.counts_by_step``."""
        days = storable_days(first, last)
        if days is None:
            return {}
        start, end = Period(*days).instants()
        rows = self._clickhouse.counted_rows(
            "read_steps",
            "SELECT agency, intDiv(toUnixTimestamp(minute) - {origin:Int64}, {seconds:Int64}) AS step, "  # noqa: S608 - constants
            f"{_SUMS}, count() OVER () FROM {AGENCY_MINUTE} FINAL WHERE minute >= toDateTime({{start:String}}, 'UTC') "
            "AND minute < toDateTime({end:String}, 'UTC') AND events > 0 GROUP BY agency, step",
            {
                "start": to_seconds(clamped(start)),
                "end": to_seconds(clamped(end)),
                "origin": int(day_start(first).timestamp()),
                "seconds": seconds,
            },
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_MINUTE,))
        return {(str(agency), int(step)): Counts(*map(int, counts)) for agency, step, *counts in rows}

    def events_by_day(self) -> Mapping[tuple[str, dt.date], int]:
        """Events by agency and day from the day tallies; see ``TallyReader.events_by_day``."""
        rows = self._clickhouse.counted_rows(
            "read_days",
            f"SELECT agency, day, events, count() OVER () FROM {AGENCY_DAY} FINAL WHERE events > 0",  # noqa: S608
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY,))
        return {(str(agency), day): int(events) for agency, day, events in rows}

    def counts_by_day(self, first: dt.date, last: dt.date) -> Mapping[tuple[str, dt.date], Counts]:
        """Counts by agency and day from the day tallies; see ``TallyReader.counts_by_day``."""
        days = storable_days(first, last)
        if days is None:
            return {}
        rows = self._clickhouse.counted_rows(
            "read_days",
            f"SELECT agency, day, {', '.join(COUNT_NAMES)}, count() OVER () FROM {AGENCY_DAY} FINAL "  # noqa: S608 - constants
            f"WHERE {_WITHIN} AND events > 0",
            _parameters(days),
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY,))
        return {(str(agency), day): Counts(*map(int, counts)) for agency, day, *counts in rows}

    def counts_of_procedures(self, agencies: Sequence[str], first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by procedure; see ``TallyReader.counts_of_procedures``."""
        days = storable_days(first, last)
        if days is None:
            return {}
        where = f"{_WITHIN} AND agency IN {{agencies:Array(String)}}"
        parameters = {**_parameters(days), "agencies": list(agencies)}
        return self._counts("read_procedures", AGENCY_DAY_PROCEDURE, "procedure_code", where, parameters)

    def _counts(self, operation: str, table: str, key: str, where: str, parameters: Mapping[str, Any]) -> Mapping[str, Counts]:
        """The counts of the tallies in ``table`` that ``where`` chooses, summed by the column ``key``."""
        rows = self._clickhouse.counted_rows(
            operation,
            f"SELECT {key}, {_SUMS}, count() OVER () FROM {table} FINAL WHERE {where} GROUP BY {key}",  # noqa: S608 - constants
            parameters,
        )
        refuse_hidden_rows(self._clickhouse, (table,))
        return {str(name): Counts(*map(int, counts)) for name, *counts in rows}

    def services_with_dossiers(self, first: dt.date, last: dt.date) -> ServicesWithDossiers:
        """Services with a dossier; see ``TallyReader.services_with_dossiers``."""
        days = storable_days(first, last)
        if days is None:
            return ServicesWithDossiers(frozenset(), frozenset())
        rows = self._clickhouse.counted_rows(
            "read_services",
            f"SELECT agency, procedure_code, sum(submitted_online) > 0, count() OVER () FROM {AGENCY_DAY_PROCEDURE} FINAL "  # noqa: S608
            f"WHERE {_WITHIN} GROUP BY agency, procedure_code HAVING sum(submitted) > 0",
            _parameters(days),
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY_PROCEDURE,))
        found = [((str(agency), str(procedure)), bool(online)) for agency, procedure, online in rows]
        return ServicesWithDossiers(
            frozenset(service for service, _ in found), frozenset(service for service, online in found if online)
        )

    def active_days(self, first: dt.date, last: dt.date) -> Mapping[str, np.ndarray]:
        """Days with an event by agency; see ``TallyReader.active_days``."""
        days = storable_days(first, last)
        if days is None:
            return {}
        table = self._clickhouse.table(
            "read_active_days",
            f"SELECT agency, dateDiff('day', toDate('{days[0]}'), day) AS position FROM {AGENCY_DAY} FINAL "  # noqa: S608
            f"WHERE day >= '{days[0]}' AND day <= '{days[1]}' AND events > 0",
        ).unify_dictionaries()
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY,))
        agencies = table.column("agency").combine_chunks().dictionary_encode()  # of a user who may set nothing: plain strings
        codes = agencies.dictionary.to_pylist()
        active = np.zeros((len(codes), (last - first).days + 1), dtype=bool)
        active[agencies.indices.to_numpy(), table.column("position").to_numpy() + (days[0] - first).days] = True
        return {str(code): row for code, row in zip(codes, active, strict=True) if row.any()}

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event up to ``until``; see ``TallyReader.last_events``.

        Days before the day of ``until`` are read from the day tallies, that day from the minute tallies, and the minute of
        ``until`` itself from the events.
        """
        until = clamped(until)
        today = civil_day(until)
        minute = until.astimezone(dt.UTC).replace(second=0, microsecond=0)
        rows = self._clickhouse.counted_rows(
            "read_last_events",
            "SELECT agency, max(at), count() OVER () FROM ("  # noqa: S608
            # A tally without events is left by a repair that cleared it.
            f"SELECT agency, max(last_event_at) AS at FROM {AGENCY_DAY} WHERE day < {{today:Date}} AND events > 0 "
            "GROUP BY agency "
            f"UNION ALL SELECT agency, max(last_event_at) FROM {AGENCY_MINUTE} "
            "WHERE minute >= toDateTime({midnight:String}, 'UTC') AND minute < toDateTime({minute:String}, 'UTC') "
            "AND events > 0 GROUP BY agency "
            f"UNION ALL SELECT agency, max(occurred_at) FROM {DOSSIER_MESSAGES} "
            "WHERE occurred_at >= toDateTime64({minute:String}, 3, 'UTC') "
            "AND occurred_at <= toDateTime64({until:String}, 3, 'UTC') GROUP BY agency) GROUP BY agency",
            {
                "today": today,
                "midnight": to_seconds(day_start(today)),
                "minute": to_seconds(minute),
                "until": to_milliseconds(until),
            },
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_DAY, AGENCY_MINUTE, DOSSIER_MESSAGES))
        return {str(agency): aware(at) for agency, at in rows}

    def totals(self) -> TallyTotals:
        """Distinct events stored and tallied; see ``TallyReader.totals``."""
        totals = self._monthly_totals.read()
        counted = (AGENCY_DAY, AGENCY_MINUTE, DOSSIER_MESSAGES, DOSSIER_CORRECTIONS, EXPIRED_MESSAGES, EXPIRATION_RUNS)
        refuse_hidden_rows(self._clickhouse, counted)
        return totals

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Dead-lettered messages so far; see ``TallyReader.dead_letters_by_reason``."""
        return dead_letters_by_reason(self._clickhouse)

    def dead_letter_agencies(self, within: dt.timedelta) -> Mapping[str, int]:
        """Recent dead letters by agency; see ``TallyReader.dead_letter_agencies``."""
        return dead_letter_agencies(self._clickhouse, within)

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Distinct messages that arrived recently; see ``TallyReader.arrivals``."""
        seconds = int(within.total_seconds())
        since = "now64(3) - toIntervalSecond({seconds:UInt32})"
        rows = self._clickhouse.rows(
            "read_arrivals",
            # Only parts written since then can hold such rows, so the cost does not depend on the size of the table.
            f"SELECT (SELECT uniq(event_id) FROM {DOSSIER_MESSAGES} WHERE ingested_at > {since} AND _part IN ("  # noqa: S608
            "SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = {events:String} "
            f"AND modification_time > toDateTime({since}))), "
            # The index on first_seen skips older dead letters.
            f"(SELECT uniqExact({DEAD_LETTER_IDENTITY}) FROM {DEAD_LETTERS} WHERE first_seen > {since})",
            {"seconds": seconds, "events": DOSSIER_MESSAGES},
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES, DEAD_LETTERS))
        return Arrivals(events=int(rows[0][0]), dead_letters=int(rows[0][1]))

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events as NDJSON; see ``TallyReader.events``."""
        days = storable_days(first, last)
        if days is None:
            return
        refuse_expired(self._clickhouse, days[0])
        start, end = Period(*days).instants()
        of_agencies = "1" if agencies is None else "agency IN {agencies:Array(String)}"
        source = (
            f"FROM {DOSSIER_MESSAGES} AS stored FINAL WHERE stored.occurred_at >= toDateTime64({{start:String}}, 3, 'UTC') "
            f"AND stored.occurred_at < toDateTime64({{end:String}}, 3, 'UTC') AND {of_agencies}"
        )
        parameters = {"start": to_seconds(start), "end": to_seconds(end), "agencies": list(agencies or ())}
        # Events may arrive during the export, so there may be more than were counted here, but never fewer.
        counted = int(self._clickhouse.rows("read_events", f"SELECT count() {source}", parameters)[0][0])
        exported = 0
        for chunk in self._clickhouse.stream(
            "read_events",
            "SELECT toString(event_id) AS event_id, dossier_code, agency AS agency_code, procedure_code, status, "
            "nullIf(channel, 0) AS channel, nullIf(toString(service_level), '') AS service_level, "
            f"{_TIME.format(column='stored.occurred_at')} AS occurred_at, nullIf(legacy_level, 0) AS legacy_level, "
            "nullIf(toString(returned_by), '') AS returned_by, "
            f"if(toUnixTimestamp64Milli(due_at) = 0, NULL, {_TIME.format(column='stored.due_at')}) AS due_at, "
            f"nullIf(toString(portal_id), '') AS portal_id {source} ORDER BY stored.occurred_at, stored.event_id",
            parameters,
            "JSONEachRow",
        ):
            exported += chunk.count(b"\n")
            yield chunk
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES,))
        if exported < counted:
            raise Fatal(
                f"Only {exported} of {counted} events arrived from {self._clickhouse.target.display_name}. Events were deleted "
                "during the export, or a setting of this user limits answers. Export them again."
            )

    def free_space(self) -> float | None:
        """Share of the fullest disk that is free; see ``TallyReader.free_space``."""
        query = "SELECT min(free_space / total_space), count() FROM system.disks WHERE total_space > 0"
        try:
            share, disks = self._clickhouse.rows("read_free_space", query)[0]
        except Fatal:  # this user may not read it
            return None
        return float(share) if disks else None

    def ping(self) -> None:
        """Ask ClickHouse a trivial query; returns when it has answered."""
        self._clickhouse.rows("ping", "SELECT 1")
