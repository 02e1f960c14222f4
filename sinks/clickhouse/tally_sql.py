"""SQL for recounts, audit and repair: civil days, keys, counts and versions, and the settings of background queries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from domain.dossier_columns import BITS
from domain.tiers import Tier
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND, expired_count, kept
from sinks.clickhouse.times import storable_days
from sinks.contract.tallies import Days
from sinks.tables import COUNT_CONDITIONS, DOSSIER_CORRECTIONS, DOSSIER_MESSAGES, EPOCH, EXPIRED_MESSAGES, TALLY_EPOCHS

#: The civil day of Viet Nam that an instant in ``column`` falls on.
CIVIL_DAY: Final = "toDate({column}, 'Asia/Ho_Chi_Minh')"
#: The epoch's part of a version; a recount adds the number of its messages and what its corrections saw. The recount itself reads
#: the epoch, so that a raised epoch applies to every recount that sees a message stored later.
VERSION: Final = f"assumeNotNull((SELECT max(epoch) FROM {TALLY_EPOCHS})) * {EPOCH}"  # noqa: S608 - names are constants
#: The counts of a tally, in the order of ``Counts``.
COUNT_NAMES: Final = ("events", *COUNT_CONDITIONS)
#: What messages count as by themselves.
_ALONE: Final = ", ".join(
    ("toInt64(count()) AS events", *(f"toInt64(countIf({rule})) AS {name}" for name, rule in COUNT_CONDITIONS.items()))
)


def correction(name: str) -> str:
    """The SQL of what a correction changes in a count: -1, 0 or 1."""
    more, less, bit = ("minus", "plus", BITS.index("repeat")) if name == "events" else ("plus", "minus", BITS.index(name))
    return f"(toInt64(bitTest({more}, {bit})) - toInt64(bitTest({less}, {bit})))"


#: What the dossiers of the messages change.
_CORRECTIONS: Final = ", ".join(f"sum({correction(name)}) AS {name}" for name in COUNT_NAMES)
#: What expired messages count as.
_EXPIRED: Final = ", ".join(f"sum({expired_count(name)}) AS {name}" for name in COUNT_NAMES)
#: A reader between a message and its corrections may see one without the other; a count is never negative.
_SUMMED: Final = ", ".join(f"greatest(0, sum({name}))" for name in COUNT_NAMES)


def recount_sql(bucket: Mapping[str, str], prewhere: str, where: str, *, within: str = "", expiring: bool = True) -> str:
    """The query that recounts buckets: their keys, the counts, the time of the last event, and the version.

    The version grows with every message and with every judgement of a dossier that a correction comes from, so whatever is
    inserted last into a bucket is followed by a recount with the highest version. A bucket with messages that are all repeats
    counts 0. Expired messages add to the version at least what they added before they expired.

    Args:
        bucket: key column -> its expression on the columns of a message.
        prewhere: the messages of the buckets, a condition on ``occurred_at``.
        where: a further condition, on ``agency``.
        within: a shorter condition that holds for all these messages; "": there is none.
        expiring: whether the tables of expired messages exist (migration 0021).
    """
    keys = ", ".join(bucket)
    expressions = ", ".join(name if name == expression else f"{expression} AS {name}" for name, expression in bucket.items())
    read = {DOSSIER_MESSAGES: where, DOSSIER_CORRECTIONS: where, EXPIRED_MESSAGES: f"{where} AND {IN_FORCE}"}
    if expiring:
        read |= {table: f"{where} AND {kept(table, within or prewhere)}" for table in (DOSSIER_MESSAGES, DOSSIER_CORRECTIONS)}
    source = {table: f"FROM {table} FINAL PREWHERE {prewhere} WHERE {chosen} GROUP BY {keys}" for table, chosen in read.items()}
    expired = (
        f" UNION ALL SELECT {expressions}, {_EXPIRED}, max(occurred_at) AS last, count() AS here, sum(weight) AS seen_here "
        f"{source[EXPIRED_MESSAGES]}"
    )
    return (
        f"{WITH_BOUND if expiring else ''} "  # noqa: S608 - names are constants
        f"SELECT {keys}, {_SUMMED}, max(last), {VERSION} + sum(seen_here) FROM ("
        f"SELECT {expressions}, {_ALONE}, max(occurred_at) AS last, count() AS here, here AS seen_here "
        f"{source[DOSSIER_MESSAGES]} UNION ALL "
        f"SELECT {expressions}, {_CORRECTIONS}, toDateTime64(0, 3, 'UTC') AS last, 0 AS here, sum(seen) AS seen_here "
        f"{source[DOSSIER_CORRECTIONS]}{expired if expiring else ''}"
        f") GROUP BY {keys} HAVING sum(here) > 0"
    )


#: Runs beside live traffic: one thread, at a lower priority than everything else.
BACKGROUND: Final[dict[str, Any]] = {"max_threads": 1, "os_thread_priority": 10}
#: The same, and above this much memory a GROUP BY continues on disk.
BACKGROUND_SPILLING: Final = BACKGROUND | {"max_bytes_before_external_group_by": 1 << 30}
#: The same for an ORDER BY, too.
BACKGROUND_SORTING: Final = BACKGROUND_SPILLING | {"max_bytes_before_external_sort": 1 << 30}
_EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()
#: The columns that identify an event.
EVENT_KEY: Final = "agency, occurred_at, event_id"


def days_condition(column: str, days: Days) -> str:
    """The SQL condition that a time is on one of the days, in few ranges of instants, so that the primary key skips other rows.

    Days that no table can hold are omitted.
    """
    midnight = _midnight_minute if column == "minute" else _midnight
    ranges: list[list[int]] = []
    for day in days.days:
        if storable_days(day, day) is None:
            continue
        number = day.toordinal()
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] = number + 1
        else:
            ranges.append([number, number + 1])
    if not ranges:
        return "0"
    return "(" + " OR ".join(f"({column} >= {midnight(low)} AND {column} < {midnight(high)})" for low, high in ranges) + ")"


def extent_condition(column: str, days: Days) -> str:
    """The SQL condition that a time lies between the first and the last of these days; short, however many days there are."""
    kept = [day.toordinal() for day in days.days if storable_days(day, day) is not None]
    return f"({column} >= {_midnight(min(kept))} AND {column} < {_midnight(max(kept) + 1)})" if kept else "0"


def tally_day_condition(tier: Tier, day: dt.date) -> str:
    """The SQL condition that a tally belongs to a civil day."""
    if storable_days(day, day) is None:
        return "0"
    return days_condition("minute", Days((day,))) if tier is Tier.MINUTE else f"day = '{day.isoformat()}'"


# Literals: with a function call, a condition on many days takes twice the time to plan.


def _midnight(ordinal: int) -> str:
    """Midnight in Viet Nam (17:00 UTC of the day before) as SQL, for a comparison with a ``DateTime64`` in UTC."""
    return f"'{dt.date.fromordinal(ordinal - 1).isoformat()} 17:00:00'"


def _midnight_minute(ordinal: int) -> str:
    """Midnight in Viet Nam as SQL for a comparison with a ``DateTime``: in seconds, because a text out of range would wrap."""
    return str((ordinal - _EPOCH_ORDINAL) * 86_400 - 7 * 3_600)
