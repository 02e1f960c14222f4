"""Compares the tallies of a civil day with the messages and corrections that they should count."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.tiers import Tier
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.dossier_sql import FIELDS_OF_FACTS as _FIELDS
from sinks.clickhouse.due import OLD, due_condition, due_parameters, milliseconds
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND, expired_count, kept
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import (
    BACKGROUND,
    BACKGROUND_SPILLING,
    CIVIL_DAY,
    COUNT_NAMES,
    VERSION,
    correction,
    days_condition,
    tally_day_condition,
)
from sinks.clickhouse.times import FIRST_DAY, LAST_DAY, aware, storable_days
from sinks.contract.audit import Acknowledged, Comparison, Difference
from sinks.contract.tallies import Counts, Days
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    COUNT_CONDITIONS,
    DOSSIER_CORRECTIONS,
    DOSSIER_MESSAGES,
    EXPIRATION_RUNS,
    EXPIRED_MESSAGES,
    TALLY_EPOCHS,
)

_CONDITIONS: Final = {"events": "1", **COUNT_CONDITIONS}
#: Arrays of counts, in the order of ``COUNT_NAMES``: what is due, what is stored, and between what a right tally lies.
_SIDES: Final = ("due", "stored", "minimum", "maximum")
#: The messages that can count as something, whatever their dossier says; any message can be submitted.
_POSSIBLE: Final = {
    **dict.fromkeys(("settled", "settled_full", "settled_full_any_return"), "status IN (9, 10)"),
    **{name: COUNT_CONDITIONS[name] for name in ("refused", "withdrawn", "stopped", "given_back")},
}
#: What a correction changes in each count.
_CHANGES: Final = ", ".join(f"{correction(name)} AS changed_{name}" for name in COUNT_NAMES)
_NEVER: Final = "toDateTime64(0, 3, 'UTC')"
#: Bucket and procedure of an event, then of a tally, by tier.
_KEYS: Final = {
    Tier.MINUTE: ("toStartOfMinute(occurred_at)", "''", "minute", "''"),
    Tier.DAY: (CIVIL_DAY.format(column="occurred_at"), "''", "day", "''"),
    Tier.PROCEDURE: (CIVIL_DAY.format(column="occurred_at"), "toString(procedure_code)", "day", "toString(procedure_code)"),
}


class TallyComparison:
    """The part of a ``TallyAudit`` that compares tallies with messages and corrections."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def civil_days(self, first: dt.date | None = None, last: dt.date | None = None) -> Mapping[dt.date, int]:
        """Every civil day with events or tallies; see ``TallyAudit.civil_days``."""
        days = storable_days(first or FIRST_DAY, last or LAST_DAY)
        if days is None:
            return {}
        sources = (
            (DOSSIER_MESSAGES, CIVIL_DAY.format(column="occurred_at"), "count()"),
            (EXPIRED_MESSAGES, CIVIL_DAY.format(column="occurred_at"), "0"),
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
        refuse_hidden_rows(self._clickhouse, tuple(table for table, _, _ in sources))
        return {day: int(found) for day, found in rows}

    def recently_stored_days(self, within: dt.timedelta) -> Sequence[dt.date]:
        """Civil days of events that were stored recently; see ``TallyAudit.recently_stored_days``."""
        since = "now64(3) - toIntervalMillisecond({within:UInt64})"
        union = " UNION DISTINCT ".join(
            # Only parts written since then can hold such rows.
            f"SELECT DISTINCT {CIVIL_DAY.format(column='occurred_at')} AS civil FROM {table} "  # noqa: S608
            f"WHERE {written} > {since} AND _part IN (SELECT name FROM system.parts WHERE active "
            f"AND database = currentDatabase() AND table = '{table}' AND modification_time >= toDateTime({since}))"
            for table, written in ((DOSSIER_MESSAGES, "ingested_at"), (DOSSIER_CORRECTIONS, "written_at"))
        )
        rows = self._clickhouse.rows(
            "audit_touched",
            f"SELECT civil FROM ({union}) ORDER BY civil",  # noqa: S608
            {"within": milliseconds(within)},
            **BACKGROUND,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES, DOSSIER_CORRECTIONS))
        return [day for (day,) in rows]

    def now(self) -> dt.datetime:
        """The server's clock; see ``TallyAudit.now``."""
        return aware(self._clickhouse.rows("audit_now", "SELECT now64(3, 'UTC')", **BACKGROUND)[0][0])

    def compare(
        self, tier: Tier, day: dt.date, *, settle: dt.timedelta, limit: int, acknowledged: Acknowledged | None = None
    ) -> Comparison:
        """Compare one tier of a day; see ``TallyAudit.compare``."""
        due = due_condition(acknowledged) if settle else None
        found = self._compare(
            tier, day, settle, limit, acknowledged, due, _correction_due(day, acknowledged, look_at_dossiers=False)
        )
        if not (found.drift and due and acknowledged):
            return found
        dossiers_too = _correction_due(day, acknowledged, look_at_dossiers=True)
        return self._compare(tier, day, settle, limit, acknowledged, due, dossiers_too)

    def _compare(  # noqa: PLR0917 - the caller repeats one call
        self,
        tier: Tier,
        day: dt.date,
        settle: dt.timedelta,
        limit: int,
        acknowledged: Acknowledged | None,
        due: str | None,
        correction_due: str,
    ) -> Comparison:
        rows = self._clickhouse.rows(
            "audit_compare",
            f"{WITH_BOUND}, {VERSION} AS epoch SELECT count(), countIf(drift > 0), sum(drift), "  # noqa: S608
            "countIf(drift > 0 AND version > epoch + recounted), groupArrayIf({limit:UInt32})(tuple("
            "toString(agency), bucket, procedure, drift, stored_last, tallied_last, due, stored, tallied), drift > 0), "
            "sum(greatest(deviation - drift, 0)), sum(messages - due_messages) "
            f"FROM ({_compared(tier, day, due=due, correction_due=correction_due)})",
            {"limit": limit, **due_parameters(settle, acknowledged)},
            **BACKGROUND_SPILLING,
        )
        read = (tier.value, DOSSIER_MESSAGES, DOSSIER_CORRECTIONS, TALLY_EPOCHS, EXPIRED_MESSAGES, EXPIRATION_RUNS)
        refuse_hidden_rows(self._clickhouse, read)
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


def _correction_due(day: dt.date, acknowledged: Acknowledged | None, *, look_at_dossiers: bool) -> str:
    """The SQL condition under which a stored correction must be counted.

    A worker writes a correction because of a message of its batch in the same dossier, and acknowledges that message after it
    recounted. So a correction need not be counted while a message of its dossier is in progress. Finding these dossiers is a scan
    of all messages.
    """
    old = OLD.format(column="written_at")
    if acknowledged is None:
        return old
    condition = f"written_at <= {{as_of:DateTime64(3, 'UTC')}} AND {old}"
    if look_at_dossiers:
        of_the_day = f"SELECT dossier FROM {DOSSIER_CORRECTIONS} WHERE {days_condition('occurred_at', Days((day,)))}"  # noqa: S608
        condition += (
            f" AND dossier NOT IN (SELECT {DOSSIER} FROM {DOSSIER_MESSAGES} "  # noqa: S608
            f"WHERE NOT ({due_condition(acknowledged)}) AND {DOSSIER} IN ({of_the_day}))"
        )
    return condition


def _compared(tier: Tier, day: dt.date, *, due: str | None, correction_due: str) -> str:
    """The SQL that gives, for every bucket of the day, its due, stored and tallied counts, the tally's deviation and its drift.

    ``due``: the condition under which a message must be counted; None for every message and correction. The day is part of every
    key, so rows may be filtered by it before they are merged. The tallies come before the messages, so that ClickHouse takes the
    snapshot of their table first, and a recount that ends in between cannot make a tally look too high.

    A right tally lies between ``minimum`` and ``maximum``. What is due counts in both; a message that is not due may count what
    it counts alone; and a message whose correction is not due may count as anything that its status allows, because an
    earlier correction may have been counted before.
    """
    bucket, procedure, tally_bucket, tally_procedure = _KEYS[tier]
    day_condition = days_condition("occurred_at", Days((day,)))
    zeros = f"arrayWithConstant({len(COUNT_NAMES)}, toInt64(0))"
    nothing = ", ".join(f"{zeros} AS {side}" for side in _SIDES)
    sums = ", ".join(f"sumForEach({side}) AS {side}" for side in (*_SIDES, "tallied"))
    clipped = ", ".join(
        f"arrayMap(found -> if(messages > 0, greatest(toInt64(0), found), toInt64(0)), {side}) AS {side}" for side in _SIDES
    )
    below, above = "arrayMax(arrayMap(minus, minimum, tallied))", "arrayMax(arrayMap(minus, tallied, maximum))"
    apart = "arrayMax(arrayMap((one, other) -> toInt64(abs(one - other)), tallied, stored))"
    both = "stored[1] > 0 AND tallied[1] > 0"  # the events
    time_is_wrong = f"toInt64({both} AND (tallied_last > stored_last OR tallied_last < due_last))"
    counted = f"[{', '.join(f'toInt64({name})' for name in COUNT_NAMES)}]"
    return (
        f"SELECT *, greatest({below}, {above}, {time_is_wrong}, toInt64(0)) AS drift, "  # noqa: S608
        # A late tally may be outside of what is stored by more than it is outside of what is allowed, never by less.
        f"greatest({apart}, toInt64({both} AND tallied_last != stored_last)) AS deviation FROM ("
        f"SELECT agency, bucket, procedure, {clipped}, tallied, "
        "messages, due_messages, if(messages > 0, recounted, 0) AS recounted, stored_last, due_last, tallied_last, version FROM ("
        f"SELECT agency, bucket, procedure, {sums}, sum(messages) AS messages, sum(due_messages) AS due_messages, "
        "sum(recounted) AS recounted, max(stored_last) AS stored_last, max(due_last) AS due_last, "
        "max(tallied_last) AS tallied_last, max(version) AS version FROM ("
        f"SELECT agency, {tally_bucket} AS bucket, {tally_procedure} AS procedure, {nothing}, {counted} AS tallied, "
        "toUInt64(0) AS messages, toUInt64(0) AS due_messages, toUInt64(0) AS recounted, "
        f"{_NEVER} AS stored_last, {_NEVER} AS due_last, last_event_at AS tallied_last, version FROM {tier.value} FINAL "
        f"PREWHERE {tally_day_condition(tier, day)} UNION ALL "
        f"SELECT agency, {bucket} AS bucket, {procedure} AS procedure, {_message_counts()}, {zeros} AS tallied, "
        f"count() AS messages, countIf(is_due) AS due_messages, count() AS recounted, "
        f"max(occurred_at) AS stored_last, maxIf(occurred_at, is_due) AS due_last, "
        f"{_NEVER} AS tallied_last, toUInt64(0) AS version "
        f"FROM (SELECT *, ({due or 1}) AS is_due FROM {DOSSIER_MESSAGES} FINAL PREWHERE {day_condition} "
        f"WHERE {kept(DOSSIER_MESSAGES, day_condition)}) "
        "GROUP BY agency, bucket, procedure UNION ALL "
        f"SELECT agency, {bucket} AS bucket, {procedure} AS procedure, {_correction_counts()}, {zeros} AS tallied, "
        "toUInt64(0) AS messages, toUInt64(0) AS due_messages, sum(seen) AS recounted, "
        f"{_NEVER} AS stored_last, {_NEVER} AS due_last, {_NEVER} AS tallied_last, toUInt64(0) AS version "
        f"FROM (SELECT *, {_FIELDS}, {_CHANGES}, ({correction_due if due else 1}) AS is_due "
        f"FROM {DOSSIER_CORRECTIONS} FINAL PREWHERE {day_condition} WHERE {kept(DOSSIER_CORRECTIONS, day_condition)}) "
        "GROUP BY agency, bucket, procedure UNION ALL "
        f"SELECT agency, {bucket} AS bucket, {procedure} AS procedure, {_expired_counts()}, {zeros} AS tallied, "
        "count() AS messages, messages AS due_messages, sum(weight) AS recounted, "
        f"max(occurred_at) AS stored_last, stored_last AS due_last, {_NEVER} AS tallied_last, toUInt64(0) AS version "
        f"FROM {EXPIRED_MESSAGES} FINAL PREWHERE {day_condition} WHERE {IN_FORCE} GROUP BY agency, bucket, procedure) "
        "GROUP BY agency, bucket, procedure))"
    )


def _message_counts() -> str:
    """The SQL of what the messages of a bucket count alone: an array for each side (minimum, maximum and the others)."""
    stored = [f"toInt64(countIf({condition}))" for condition in _CONDITIONS.values()]
    due = [f"toInt64(countIf(({condition}) AND is_due))" for condition in _CONDITIONS.values()]
    return _arrays({"stored": stored, "due": due, "minimum": due, "maximum": stored})


def _correction_counts() -> str:
    """The SQL of what the corrections of a bucket change: an array for each side."""
    sides: dict[str, list[str]] = {side: [] for side in _SIDES}
    for name, condition in _CONDITIONS.items():
        change = f"changed_{name}"
        sides["stored"].append(f"sum({change})")
        sides["due"].append(f"sumIf({change}, is_due)")
        sides["minimum"].append(f"sum(if(is_due, {change}, -toInt64({condition})))")
        sides["maximum"].append(f"sum(if(is_due, {change}, toInt64({_POSSIBLE.get(name, '1')}) - toInt64({condition})))")
    return _arrays(sides)


def _expired_counts() -> str:
    """The SQL of what the expired messages of a bucket count as: the same array on each side."""
    counts = [f"sum({expired_count(name)})" for name in _CONDITIONS]
    return _arrays(dict.fromkeys(_SIDES, counts))


def _arrays(sides: Mapping[str, Sequence[str]]) -> str:
    """The SQL columns of the sides, in the order that every part of the union has."""
    return ", ".join(f"[{', '.join(sides[side])}] AS {side}" for side in _SIDES)


def _difference(tier: Tier, fields: Sequence[Any]) -> Difference:
    agency, bucket, procedure, drift, stored_last, tallied_last, *counts = fields
    due, stored, tallied = (Counts(*map(int, side)) for side in counts)
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
