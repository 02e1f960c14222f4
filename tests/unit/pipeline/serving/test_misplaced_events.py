"""Which stored events the registry in force would place at another unit."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.agencies import AgencyRegistry
from domain.registry_file import COLUMNS
from pipeline.serving.misplaced_events import MisplacedEvents, misplaced_events
from sinks.contract.tallies import Counts
from tests.factories import MORNING
from tests.fakes import MemoryStore

DAY = dt.date(2025, 7, 1)


def store_with(*days) -> MemoryStore:
    """Day tallies: (agency, day, events)."""
    store = MemoryStore()
    for agency, day, events in days:
        store.write(store.days, (agency, day), Counts(events=events), MORNING)
    return store


@pytest.mark.parametrize(
    ("agency", "day", "unit"),
    [
        ("H62", DAY, "H44"),  # merged
        ("X99", DAY, None),  # not in the registry
        ("H62", dt.date(2016, 3, 31), None),  # not yet in force
    ],
)
def test_events_of_a_unit_that_was_not_in_force(registry, agency, day, unit):
    """Events of a unit that is unknown, ended or not yet in force on their day are misplaced; the successor is named."""
    store = store_with((agency, day, 7), ("H17", day if day.year > 2016 else DAY, 5))
    assert misplaced_events(store, registry) == (MisplacedEvents(agency, unit, day, day, 7),)


@pytest.mark.parametrize("agency", ["H44", "G27", "H19"])
def test_events_of_a_unit_in_force_are_in_place(registry, agency):
    """A unit that was in force on the day keeps its events, whether or not it is expected to report."""
    assert misplaced_events(store_with((agency, dt.date(2024, 1, 2), 1), (agency, dt.date(2026, 5, 1), 1)), registry) == ()


def test_days_of_a_unit_are_summed_by_the_agency_that_is_responsible():
    """The days of a unit are joined from the first to the last, apart for each agency to which they belong."""
    header = ",".join(COLUMNS)
    lines = [
        "H91,a,a,a,a,province,2020-01-01,2020-12-31,H92,",
        "H92,b,b,b,b,province,2020-01-01,2021-12-31,H93,",
        "H93,c,c,c,c,province,2022-01-01,,,",
    ]
    chain = AgencyRegistry.from_csv("\n".join([header, *lines]))
    days = [dt.date(2020, 12, 31), dt.date(2021, 1, 1), dt.date(2021, 12, 31), dt.date(2022, 1, 1), dt.date(2023, 1, 1)]
    store = store_with(*(("H91", day, 1 + number) for number, day in enumerate(days)))
    assert misplaced_events(store, chain) == (
        MisplacedEvents("H91", "H92", days[1], days[2], 5),
        MisplacedEvents("H91", "H93", days[3], days[4], 9),
    )


def test_a_cleared_tally_holds_no_events(registry):
    """A tally that a repair set to 0 is not an event at a wrong unit."""
    assert misplaced_events(store_with(("H62", DAY, 0)), registry) == ()
