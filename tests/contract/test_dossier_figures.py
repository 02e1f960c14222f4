"""Figures over whole dossiers: SQL counts what ``domain.group_counts`` says, for dossiers with every fault."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import uuid
from collections import Counter, defaultdict

import pytest

from domain.dossier_milestones import milestones_of
from domain.dossiers import judge
from domain.events import DossierEvent
from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from domain.group_counts import Circumstances, additions, part_of
from domain.periods import Period, day_start
from domain.working_days import WorkingDays
from sinks.contract.dossier_figures import FigureQuestion
from sinks.contract.dossier_table import rows_of
from tests.contract.clustered import storage_of

JULY = dt.date(2025, 7, 1)
HOUR = dt.timedelta(hours=1)
#: Two units, one of them merged into the other on JULY, and a ministry.
UNITS = ("H62", "H55", "G01")
DECREED = WorkingDays(working=frozenset({JULY + dt.timedelta(days=4)}), off=frozenset({JULY + dt.timedelta(days=6)}))


def dossiers(source: random.Random, number: int):
    """Dossiers of any events in the weeks around JULY, many at the same times, at midnight and at the due day."""

    def instant():
        day = JULY + dt.timedelta(days=source.choice((-40, *range(-8, 16), 60)))
        return day_start(day) + source.choice((-HOUR / 3_600_000, dt.timedelta(0), 9 * HOUR, 9 * HOUR, 17 * HOUR))

    for place in range(number):
        code = f"000.00.{source.choice((10, 11))}.{source.choice(UNITS)}-250701-{place:05d}"
        statuses = source.choice(((1, 2, 4, 9, 10), (2, 5, 4, 9), (1, 2, 5, 5, 4, 5), (1, 3, 10), (2, 8, 7, 10, 1)))
        if source.random() < 0.6:
            statuses = [source.randint(1, 10) for _ in range(source.randint(1, 8))]
        times = [instant() for _ in statuses]
        if source.random() < 0.6:
            times.sort()
        is_due, level = source.random() < 0.7, source.choice((0, 0, 2, 3, 4))
        yield judge(
            DossierEvent(
                event_id=uuid.UUID(int=source.getrandbits(128)),
                dossier_code=code,
                agency=source.choice(UNITS[:1] * 5 + UNITS),
                procedure_code=source.choice(("1", "2", "2", "3")),
                status=status,
                channel=source.choice((0, 1, 2, 2, 2, 3)),
                service_level=source.choice(("", "toan_trinh", "mot_phan")),
                occurred_at=at,
                legacy_level=source.choice((0, level)),
                returned_by=source.choice(("", "", "", "counter")),
                due_at=instant() if is_due and source.random() < 0.5 else None,
            )
            for status, at in zip(statuses, times, strict=True)
        )


def store_dossiers(clickhouse, found):
    """Keep dossiers as a worker does; an older row of each, which differs, is replaced."""
    table, other = storage_of(clickhouse).dossier_table(), milestones_of(next(dossiers(random.Random(1), 1)), seen=1)
    for make in (lambda _: other, lambda dossier: milestones_of(dossier, seen=2)):
        rows = {number.to_bytes(16, "little"): make(dossier) for number, dossier in enumerate(found)}
        table.write(rows_of(rows, judged_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)))


def counted(group, found, circumstances, grouping):
    """What the functions of the domain say: (unit, part) -> count -> dossiers."""
    counts = defaultdict(Counter)
    for dossier in found:
        for event, name in additions(group, dossier, circumstances):
            counts[event.agency, part_of(grouping, dossier.code, event)][name] += 1
    return {key: {name: number for name, number in each.items() if number} for key, each in counts.items()}


def read(reader, group, circumstances, grouping):
    """What SQL says, without counts of 0."""
    period, days = circumstances.period, {}
    first, last = max(period.start, circumstances.accepted_late_from), period.end
    for number in range((last - first).days + 1):
        day = first + dt.timedelta(days=number)
        days[day] = circumstances.working_days.next_after(day)
    question = FigureQuestion(period, circumstances.today, grouping, circumstances.longest_days, days)
    found = reader.counts(group, question)
    return {key: {name: number for name, number in each.items() if number} for key, each in found.items()}


PERIODS = [
    Period(JULY, JULY + dt.timedelta(days=6)),
    Period(JULY - dt.timedelta(days=7), JULY - dt.timedelta(days=1)),
    Period(JULY + dt.timedelta(days=2), JULY + dt.timedelta(days=2)),
    Period(dt.date(2025, 1, 1), dt.date(2025, 12, 31)),
]


def test_sql_counts_what_the_domain_says(clickhouse):
    """Every group, by unit, sub-unit and procedure, for several periods, with today inside and after them."""
    source = random.Random(7)
    found = list(dossiers(source, 600))
    store_dossiers(clickhouse, found)
    reader, seen = storage_of(clickhouse).dossier_figures(), Counter()
    longest = {(unit, procedure): days for unit in UNITS[:2] for procedure, days in (("1", 0), ("2", 5))}
    tables = [group for group in GROUPS.values() if not group.in_tallies]
    for period, today in itertools.product(PERIODS, (JULY + dt.timedelta(days=3), dt.date(2026, 1, 1))):
        circumstances = Circumstances(period, today, longest, DECREED)
        groupings = Grouping if period == PERIODS[0] else (Grouping.UNIT,)
        for group, grouping in itertools.product(tables, groupings):
            right = counted(group.name, found, circumstances, grouping)
            assert read(reader, group.name, circumstances, grouping) == right, (group.name, grouping, period, today)
            seen.update({name: number for each in right.values() for name, number in each.items()})
    assert {name for group in tables for name in group.counts} == set(seen)  # every count is there


@pytest.mark.parametrize("days", [("0001-01-01", "9999-12-31"), ("1900-01-01", "1969-12-31"), ("2149-06-07", "9999-12-31")])
def test_days_that_no_table_holds(clickhouse, days):
    """A period may have any days; those before and after the tables hold nothing."""
    found = list(dossiers(random.Random(8), 30))
    store_dossiers(clickhouse, found)
    reader, period = storage_of(clickhouse).dossier_figures(), Period(*map(dt.date.fromisoformat, days))
    question = FigureQuestion(period, dt.date(2026, 1, 1))
    circumstances = Circumstances(period, question.today)
    for group in ("balance", "due", "settled-due", "channels"):
        right = counted(group, found, circumstances, Grouping.UNIT)
        assert {key: {n: c for n, c in each.items() if c} for key, each in reader.counts(group, question).items()} == right
