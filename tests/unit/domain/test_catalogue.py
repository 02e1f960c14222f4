"""The service catalogue: spans, levels, and what one catalogue changes of another."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalogue import (
    LEVELS,
    Catalogue,
    CatalogueEntry,
    OverlapError,
    is_full,
    is_online,
    level_of,
    services_by_level,
)
from domain.catalogue_changes import ChangeKind, by_key, changes, with_rows
from domain.periods import Period

DAY = dt.timedelta(days=1)
FIRST = dt.date(2018, 1, 1)


def an_entry(**changed) -> CatalogueEntry:
    """An entry of H55 since 2018; some fields changed."""
    return replace(CatalogueEntry("H55", "1.000001", FIRST), **changed)


@pytest.mark.parametrize(
    ("service_level", "legacy_level", "level", "online", "full"),
    [
        ("toan_trinh", 0, "toan_trinh", True, True),
        ("mot_phan", 0, "mot_phan", True, False),
        ("cung_cap_thong_tin", 0, "cung_cap_thong_tin", False, False),
        ("", 4, "toan_trinh", True, True),
        ("", 3, "mot_phan", True, False),
        ("", 2, "cung_cap_thong_tin", False, False),
        ("", 1, "cung_cap_thong_tin", False, False),
        ("", 0, "", False, False),
        ("mot_phan", 4, "mot_phan", True, False),
        ("toan_trinh", 1, "toan_trinh", True, True),
    ],
)
def test_an_entry_without_a_level_counts_by_its_legacy_level(service_level, legacy_level, level, online, full):
    """3 and 4 are online, 4 is toàn trình; where a service level is stated, it decides."""
    entry = an_entry(service_level=service_level, legacy_level=legacy_level)
    assert (level_of(entry), is_online(entry), is_full(entry)) == (level, online, full)


def test_both_days_of_a_span_are_in_force():
    """An entry holds on its first and its last day, not before and not after."""
    entry = an_entry(valid_to=FIRST + 9 * DAY)
    catalogue = Catalogue([entry])
    days = [FIRST - DAY, FIRST, FIRST + 9 * DAY, FIRST + 10 * DAY]
    assert [catalogue.entry("H55", "1.000001", day) is entry for day in days] == [False, True, True, False]
    assert [len(catalogue.in_force(day)) for day in days] == [0, 1, 1, 0]


@pytest.mark.parametrize(("last", "refused"), [(FIRST + DAY, True), (None, True), (FIRST, False)])
def test_two_entries_of_a_service_share_no_day(last, refused):
    """A catalogue in which a service has two entries on one day is refused, with both spans; other agencies may have the code."""
    entries = [an_entry(valid_from=FIRST + DAY), an_entry(valid_to=last), an_entry(agency="H03")]
    if not refused:
        assert len(Catalogue(entries)) == 3
        return
    with pytest.raises(OverlapError, match=r"H55 has two entries for the procedure 1\.000001 on 2018-01-02: .*End the earlier"):
        Catalogue(entries)


def test_a_service_that_goes_on_at_another_level_is_neither_opened_nor_closed():
    """Opened: not offered the day before. Closed: not offered the day after. Another level is neither."""
    low = an_entry(legacy_level=3, valid_to=dt.date(2018, 5, 31))
    high = an_entry(legacy_level=4, valid_from=dt.date(2018, 6, 1), valid_to=dt.date(2018, 12, 31))
    catalogue = Catalogue([low, high])
    year = Period(FIRST, dt.date(2018, 12, 31))
    assert (catalogue.opened(year), catalogue.closed(year)) == ((low,), (high,))
    june = Period(dt.date(2018, 6, 1), dt.date(2018, 6, 30))
    assert (catalogue.opened(june), catalogue.closed(june)) == ((), ())


def test_services_are_counted_by_the_level_they_count_as():
    """Every level is listed, also those that no service has."""
    entries = [an_entry(legacy_level=4), an_entry(service_level="toan_trinh"), an_entry(legacy_level=2), an_entry()]
    assert services_by_level(entries) == {"": 1, "cung_cap_thong_tin": 1, "mot_phan": 0, "toan_trinh": 2}


def test_changes_name_what_is_opened_closed_and_changed():
    """An entry that gets a last day or is not there any more is closed; other differences name the field, old and new."""
    gone, ends, new = an_entry(procedure_code="1"), an_entry(procedure_code="2"), an_entry(procedure_code="4")
    raised = an_entry(procedure_code="3", legacy_level=3)
    found = changes(
        [gone, ends, raised, an_entry(procedure_code="5")],
        [replace(ends, valid_to=FIRST), replace(raised, legacy_level=4, name="x"), new, an_entry(procedure_code="5")],
    )
    assert [(change.kind, change.entry.procedure_code) for change in found] == [
        (ChangeKind.CLOSED, "1"),
        (ChangeKind.CLOSED, "2"),
        (ChangeKind.CHANGED, "3"),
        (ChangeKind.OPENED, "4"),
    ]
    assert [dict(change.fields) for change in found] == [
        {},
        {"valid_to": (None, FIRST)},
        {"name": ("", "x"), "legacy_level": (3, 4)},
        {},
    ]


ENTRIES = st.builds(
    CatalogueEntry,
    agency=st.sampled_from(["H55", "H03", "G17"]),
    procedure_code=st.sampled_from(["1.000001", "1.000002", "2.000003"]),
    valid_from=st.integers(0, 60).map(lambda days: FIRST + days * DAY),
    valid_to=st.none(),
    service_level=st.sampled_from(LEVELS).map(str),
    legacy_level=st.integers(0, 4),
    eligible=st.sampled_from([None, False, True]),
)


@st.composite
def catalogues(draw, entries=ENTRIES):
    """Entries without overlaps: each ends before the next one of its service, at once or with a gap, the last one perhaps."""
    drawn = draw(st.lists(entries, max_size=12, unique_by=lambda entry: (entry.service, entry.valid_from)))
    found = []
    for _, group in itertools.groupby(sorted(drawn, key=lambda e: (e.service, e.valid_from)), key=lambda entry: entry.service):
        spans = list(group)
        for entry, following in itertools.zip_longest(spans, spans[1:]):
            longest = 40 if following is None else (following.valid_from - entry.valid_from).days - 1
            length = draw(st.integers(0, longest))
            ends = following is not None or draw(st.booleans())
            found.append(replace(entry, valid_to=entry.valid_from + length * DAY if ends else None))
    return draw(st.permutations(found))


PERIODS = st.builds(
    lambda first, days: Period(FIRST + first * DAY, FIRST + (first + days) * DAY), st.integers(0, 90), st.integers(0, 60)
)


@given(catalogues(), PERIODS)
def test_what_is_offered_follows_from_what_opened_and_closed(entries, period):
    """For each service: offered at the end = offered the day before the period + times opened - times closed by the last day.

    A service whose last day is the end of the period is offered on it, and one whose last day is the day before it begins is not.
    """
    catalogue = Catalogue(entries)
    before, end = ([entry.service for entry in catalogue.in_force(day)] for day in (period.start - DAY, period.end + DAY))
    opened = [entry.service for entry in catalogue.opened(Period(period.start, period.end + DAY))]
    closed = [entry.service for entry in catalogue.closed(Period(period.start - DAY, period.end))]
    for service in {entry.service for entry in entries}:
        counted = before.count(service) + opened.count(service) - closed.count(service)
        assert counted == end.count(service)


@given(catalogues())
def test_at_most_one_entry_of_a_service_is_in_force(entries):
    """On no day has a service two entries, whatever their order; look-ups and lists agree."""
    catalogue = Catalogue(entries)
    assert sorted(map(repr, catalogue)) == sorted(map(repr, entries))
    for offset in range(0, 110, 7):
        day = FIRST + offset * DAY
        found = catalogue.in_force(day)
        assert len({entry.service for entry in found}) == len(found)
        assert all(catalogue.entry(*entry.service, day) is entry for entry in found)


@given(catalogues(), catalogues())
def test_changes_lead_from_one_catalogue_to_the_other(before, after):
    """Applied to the first catalogue the changes give the second; the same catalogue in any order changes nothing."""
    known = by_key(before)
    for change in changes(before, after):
        if change.after is None:
            del known[next(key for key in known if known[key] == change.before)]
        else:
            known |= by_key([change.after])
    assert known == by_key(after)
    assert changes(before, reversed(before)) == ()


@given(catalogues(), catalogues())
def test_added_rows_win_and_nothing_else_changes(known, added):
    """Adding keeps every known entry with another key; adding again changes nothing."""
    found = with_rows(known, added)
    assert by_key(found) == by_key(known) | by_key(added)
    assert changes(found, with_rows(found, added)) == ()
