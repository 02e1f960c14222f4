"""SQL that recounts, the audit and the repair share: civil days, keys, counts and versions, settings of background queries."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from domain.tiers import Tier
from sinks.clickhouse.times import storable_days
from sinks.contract.tallies import Days
from sinks.tables import COUNT_CONDITIONS, EPOCH, TALLY_EPOCHS

#: The civil day of Viet Nam that an instant in ``column`` falls on.
CIVIL_DAY: Final = "toDate({column}, 'Asia/Ho_Chi_Minh')"
#: The version of a recount without its number of events. The recount itself reads the epoch, so that a raised epoch applies to
#: every recount that sees an event stored later.
VERSION: Final = f"assumeNotNull((SELECT max(epoch) FROM {TALLY_EPOCHS})) * {EPOCH}"  # noqa: S608 - names are constants
#: The counts of a tally, in the order of ``Counts``.
COUNT_NAMES: Final = ("events", *COUNT_CONDITIONS)
#: Runs beside live traffic: one thread, at a lower priority than everything else.
BACKGROUND: Final[dict[str, Any]] = {"max_threads": 1, "os_thread_priority": 10}
#: The same, and above this much memory a GROUP BY continues on disk.
BACKGROUND_SPILLING: Final = BACKGROUND | {"max_bytes_before_external_group_by": 1 << 30}
#: The columns that identify an event.
EVENT_KEY: Final = "agency, occurred_at, event_id"


def days_condition(column: str, days: Days) -> str:
    """The days as ranges of instants, neighbouring days joined, so that the primary key can skip everything else.

    Days that no table can hold are omitted.
    """
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
    return "(" + " OR ".join(f"({column} >= {_midnight(low)} AND {column} < {_midnight(high)})" for low, high in ranges) + ")"


def tally_day_condition(tier: Tier, day: dt.date) -> str:
    """The condition that a tally belongs to a civil day."""
    if storable_days(day, day) is None:
        return "0"
    return days_condition("minute", Days((day,))) if tier is Tier.MINUTE else f"day = '{day.isoformat()}'"


def _midnight(ordinal: int) -> str:
    """Local midnight as an instant: 17:00 UTC of the day before."""
    return f"toDateTime64('{dt.date.fromordinal(ordinal - 1).isoformat()} 17:00:00', 3, 'UTC')"
