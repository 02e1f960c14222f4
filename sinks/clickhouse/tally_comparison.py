"""Compares the tallies of a civil day with the distinct events that they should count."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.tiers import Tier
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.tally_sql import (
    BACKGROUND,
    BACKGROUND_SPILLING,
    CIVIL_DAY,
    COUNT_NAMES,
    VERSION,
    days_condition,
    tally_day_condition,
)
from sinks.clickhouse.times import FIRST_DAY, LAST_DAY, aware, storable_days
from sinks.contract.audit import Acknowledged, Comparison, Difference
from sinks.contract.tallies import Counts, Days
from sinks.tables import AGENCY_DAY, AGENCY_DAY_PROCEDURE, AGENCY_MINUTE, COUNT_CONDITIONS, DOSSIER_EVENTS

_CONDITIONS: Final = {"events": "1", **COUNT_CONDITIONS}
_NEVER: Final = "toDateTime64(0, 3, 'UTC')"
#: Bucket and procedure of an event, then of a tally, by tier.
_KEYS: Final = {
    Tier.MINUTE: ("toStartOfMinute(occurred_at)", "''", "minute", "''"),
    Tier.DAY: (CIVIL_DAY.format(column="occurred_at"), "''", "day", "''"),
    Tier.PROCEDURE: (CIVIL_DAY.format(column="occurred_at"), "toString(procedure_code)", "day", "toString(procedure_code)"),
}


class TallyComparison:
    """The part of a ``TallyAudit`` that compares tallies with events."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def civil_days(self, first: dt.date | None = None, last: dt.date | None = None) -> Mapping[dt.date, int]:
        """Every civil day with events or tallies; see the contract."""
        days = storable_days(first or FIRST_DAY, last or LAST_DAY)
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
        rows = self._clickhouse.counted_rows(
            "audit_days",
            f"SELECT civil, sum(found), count() OVER () FROM ({union}) WHERE civil BETWEEN {{first:Date}} AND {{last:Date}} "  # noqa: S608
            "GROUP BY civil ORDER BY civil",
            {"first": days[0], "last": days[1]},
            **BACKGROUND,
        )
        return {day: int(found) for day, found in rows}

    def recently_stored_days(self, within: dt.timedelta) -> Sequence[dt.date]:
        """Civil days of events that were stored recently; see the contract."""
        since = "now64(3) - toIntervalMillisecond({within:UInt64})"
        rows = self._clickhouse.rows(
            "audit_touched",
            # Only parts written since then can hold such rows.
            f"SELECT DISTINCT {CIVIL_DAY.format(column='occurred_at')} AS civil FROM {DOSSIER_EVENTS} "  # noqa: S608
            f"WHERE ingested_at > {since} AND _part IN (SELECT name FROM system.parts WHERE active "
            "AND database = currentDatabase() AND table = {events:String} "
            f"AND modification_time >= toDateTime({since})) ORDER BY civil",
            {"within": _milliseconds(within), "events": DOSSIER_EVENTS},
            **BACKGROUND,
        )
        return [day for (day,) in rows]

    def now(self) -> dt.datetime:
        """The server's clock; see the contract."""
        return aware(self._clickhouse.rows("audit_now", "SELECT now64(3, 'UTC')", **BACKGROUND)[0][0])

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
            f"{', '.join(f'{side}_{name}' for side in ('due', 'stored', 'tallied') for name in COUNT_NAMES)}), drift > 0), "
            "sum(deviation - drift), sum(stored_events - due_events) "
            f"FROM ({_compared(tier, day, due=_due(acknowledged) if settle else None)})",
            {"limit": limit, "settle": _milliseconds(settle), **as_of},
            **BACKGROUND_SPILLING,
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


def _milliseconds(span: dt.timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _due(acknowledged: Acknowledged | None) -> str:
    """The condition under which a stored event must be tallied; see the contract."""
    old = "ingested_at <= now64(3) - toIntervalMillisecond({settle:UInt64})"
    if acknowledged is None or not acknowledged.partitions:
        return old
    partitions = sorted(acknowledged.partitions)
    committed, ends = (
        f"transform(partition, {partitions}, [{', '.join(f'toInt64({acknowledged.partitions[n][side]})' for n in partitions)}], "
        "toInt64(-1))"
        for side in (0, 1)
    )
    known = f"topic = {{topic:String}} AND offset < {ends}"
    return f"ingested_at <= {{as_of:DateTime64(3, 'UTC')}} AND if({known}, offset < {committed}, {old})"


def _compared(tier: Tier, day: dt.date, *, due: str | None) -> str:
    """Every bucket of the day: its due, stored and tallied counts, how far its tally deviates from the events, and its drift.

    ``due``: the condition under which an event must be tallied; None for every event. The day is part of every key, so rows may
    be filtered by it before they are merged. The tallies come before the events, so that ClickHouse takes the snapshot of their
    table first, and a recount that ends in between cannot make a tally look too high.
    """
    bucket, procedure, tally_bucket, tally_procedure = _KEYS[tier]
    stored = ", ".join(f"countIf({condition}) AS stored_{name}" for name, condition in _CONDITIONS.items())
    due_counts = ", ".join(
        f"stored_{name} AS due_{name}" if due is None else f"countIf(({condition}) AND ({due})) AS due_{name}"
        for name, condition in _CONDITIONS.items()
    )
    last = "max(occurred_at) AS stored_last, " + ("stored_last" if due is None else f"maxIf(occurred_at, {due})") + " AS due_last"
    no_tally = ", ".join(f"0 AS tallied_{name}" for name in COUNT_NAMES)
    no_events = ", ".join(f"0 AS {side}_{name}" for side in ("stored", "due") for name in COUNT_NAMES)
    tallied = ", ".join(f"{name} AS tallied_{name}" for name in COUNT_NAMES)
    sums = ", ".join(f"sum({side}_{name}) AS {side}_{name}" for side in ("stored", "due", "tallied") for name in COUNT_NAMES)
    outside = ", ".join(
        f"toInt64(due_{name}) - toInt64(tallied_{name}), toInt64(tallied_{name}) - toInt64(stored_{name})" for name in COUNT_NAMES
    )
    deviations = ", ".join(f"toInt64(abs(toInt64(tallied_{name}) - toInt64(stored_{name})))" for name in COUNT_NAMES)
    both = "stored_events > 0 AND tallied_events > 0"
    time_is_wrong = f"toInt64({both} AND (tallied_last > stored_last OR tallied_last < due_last))"
    return (
        f"SELECT *, greatest({outside}, {time_is_wrong}, toInt64(0)) AS drift, "  # noqa: S608
        f"greatest({deviations}, toInt64({both} AND tallied_last != stored_last)) AS deviation FROM ("
        f"SELECT agency, bucket, procedure, {sums}, max(stored_last) AS stored_last, max(due_last) AS due_last, "
        "max(tallied_last) AS tallied_last, max(version) AS version FROM ("
        f"SELECT agency, {tally_bucket} AS bucket, {tally_procedure} AS procedure, {no_events}, {tallied}, "
        f"{_NEVER} AS stored_last, {_NEVER} AS due_last, last_event_at AS tallied_last, version FROM {tier.value} FINAL "
        f"PREWHERE {tally_day_condition(tier, day)} UNION ALL "
        f"SELECT agency, {bucket} AS bucket, {procedure} AS procedure, {stored}, {due_counts}, {no_tally}, {last}, "
        f"{_NEVER} AS tallied_last, toUInt64(0) AS version FROM {DOSSIER_EVENTS} FINAL "
        f"PREWHERE {days_condition('occurred_at', Days((day,)))} GROUP BY agency, bucket, procedure) "
        "GROUP BY agency, bucket, procedure)"
    )


def _difference(tier: Tier, fields: Sequence[Any]) -> Difference:
    agency, bucket, procedure, drift, stored_last, tallied_last, *counts = fields
    width = len(COUNT_NAMES)
    due, stored, tallied = (Counts(*map(int, counts[start : start + width])) for start in range(0, 3 * width, width))
    return Difference(
        tier=tier,
        agency=str(agency),
        bucket=aware(bucket) if isinstance(bucket, dt.datetime) else bucket,
        procedure=str(procedure),
        due=due,
        stored=stored,
        tallied=tallied,
        stored_last=aware(stored_last) if stored.events else None,
        tallied_last=aware(tallied_last) if tallied.events else None,
        drift=int(drift),
    )
