"""Findings on every implementation: what is read, and what is counted on it."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossiers import MAX_EVENTS
from domain.errors import ConfigurationError
from domain.findings import findings
from domain.periods import Period, civil_day
from pipeline.findings.found import Example, Place
from pipeline.findings.service import FindingService, found_in_all
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.ingest.histories import dossiers_in
from producers.portals.dossier_faults import PROFILES
from producers.portals.ledger import FINDINGS
from producers.portals.truth import Truth
from producers.portals.truth_comparison import finding_differences, shortened
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingScope
from tests.budget import examples
from tests.cases import dossiers as dossiers_of_case
from tests.contract.clustered import storage_of
from tests.factories import MORNING, an_event, rows_of
from tests.fakes import MemoryCatalogue, MemoryFindingReader, MemoryStore
from tests.unit.producers.portals.test_ledger import events_of, stream_of

REGISTRY = AgencyRegistry.packaged()
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
TODAY = civil_day(MORNING)
ALWAYS = FindingScope(Period(dt.date(1976, 1, 1), dt.date(2106, 2, 6)))
ALL = HashShard(0, 1)
_codes = itertools.count(1)


@dataclass
class Destination:
    """A storage, and what reads findings in it."""

    store: object
    index: object
    reader: object
    catalogue: object = None

    def take(self, messages) -> None:
        """Store and index messages as a worker does."""
        rows = rows_of(list(messages))
        self.store.insert_events(rows)
        DossierResolver(self.index).add(rows)

    def service(self, **options) -> FindingService:
        return FindingService(self.reader, REGISTRY, **options)

    def found(self, scope=ALWAYS, **options):
        """All findings of a scope."""
        return found_in_all(self.service(**options), scope)

    def read(self, scope=ALWAYS) -> dict[str, set]:
        """The dossiers that may have a finding, and their messages, by code."""
        read = {history.dossier: history.messages for history in dossiers_in(self.reader.histories(scope, ALL))}
        codes = self.reader.codes_of({dossier: messages[0] for dossier, messages in read.items()})
        return {codes[dossier]: {contents(message) for message in messages} for dossier, messages in read.items()}


@pytest.fixture(params=["memory", "embedded", pytest.param("served", marks=pytest.mark.integration)])
def destination(request):
    """Each implementation in turn, empty."""
    if request.param == "memory":
        store = MemoryStore()
        return Destination(store, store, MemoryFindingReader(store), MemoryCatalogue())
    clickhouse = request.getfixturevalue(request.param)
    return Destination(
        storage_of(clickhouse).events(),
        storage_of(clickhouse).dossier_index(),
        storage_of(clickhouse).findings(),
        storage_of(clickhouse).catalogue(),
    )


def contents(event):
    """A message without its code and its portal."""
    return tuple(getattr(event, name) for name in event.__slots__ if name not in ("dossier_code", "portal_id"))


def a_code() -> str:
    """The code of a dossier that no other test has."""
    return f"H17-240102-{next(_codes):06d}"


def course(*statuses, code=None, start=MORNING, **fields):
    """The events of one dossier, a day apart."""
    code = code or a_code()
    return [
        an_event(**{"dossier_code": code, "status": status, "occurred_at": start + place * DAY, "named_by_code": True} | fields)
        for place, status in enumerate(statuses)
    ]


def by_place(found):
    """Unit and day -> kind -> dossiers, as the comparison with a truth takes it."""
    listed = {}
    for (place, kind), number in found.dossiers.items():
        listed.setdefault(tuple(place), {})[kind.value] = number
    return listed


#: What definitions of findings give for the dossiers of the file, written by hand: serial of the code -> (kind, day, unit).
NASTY = {
    "250131-0001": {("first_seen_late", "2025-01-31", "H62")},
    "250601-0002": {("settled_twice", "2025-07-02", "H44")},
    "250601-0003": {("settled_twice", "2025-06-25", "H62")},
    "250105-0005": {("several_channels", "2025-01-07", "H62")},
    "250105-0006": {("returned_after_refusal", "2025-01-08", "H62")},
    "250105-0007": {("resubmitted", "2025-01-07", "H62"), ("settled_by_return", "2025-01-20", "H62")},
    "250130-0009": {
        ("first_seen_late", "2025-01-30", "H62"),
        ("settled_before_submitted", "2025-01-30", "H62"),
        ("reopened", "2025-02-01", "H62"),
    },
    "250105-0011": {("resubmitted", "2025-01-08", "H62")},
    "250105-0012": {("several_units", "2025-01-09", "H62"), ("other_unit_than_code", "2025-01-05", "H29")},
}


def test_dossiers_with_one_trap_each(destination):
    """The recorded feed has exactly the findings that the definitions give it, dossier by dossier."""
    for messages in dossiers_of_case("25_nasty_dossiers.ndjson.gz", REGISTRY).values():
        destination.take(messages)
    found = destination.found()
    listed = {}
    for kind, some in found.examples.items():
        for example in some:
            serial = example.code.removeprefix("000.00.16.H62-")
            listed.setdefault(serial, set()).add((kind.value, example.place.day.isoformat(), example.place.agency))
    assert listed == NASTY
    expected = Counter(entry for entries in NASTY.values() for entry in entries)
    counted = {(str(kind), place.day.isoformat(), place.agency): number for (place, kind), number in found.dossiers.items()}
    assert counted == expected


BARE, OTHER_TIME = {"service_level": ""}, {"status": 1, "event_id": uuid.UUID(int=5)}
#: The least that each condition is needed for: steps of (status, days after the first, other fields), and all that they show.
ALONE = [
    ("settled_twice", (1, 0), (9, 1), (9, 2)),
    ("settled_by_return", (1, 0), (10, 1)),
    ("returned_after_refusal", (1, 0), (3, 1), (10, 2), (9, 3)),
    ("resubmitted", (1, 0), (3, 1), (2, 2)),
    ("reopened", (1, 0), (9, 1), (8, 2)),
    ("first_seen_late", (4, 0)),
    ("several_channels", (1, 0), (9, 1, {"channel": 1})),
    ("several_units", (1, 0), (9, 1, {"agency": "G01"})),
    ("other_unit_than_code", (1, 0), (9, 1, {"named_by_code": False})),
    ("corrected_time", (1, 0, OTHER_TIME), (1, 1, OTHER_TIME), (9, 2)),
    ("no_channel", (1, 0, {"channel": 0}), (9, 1, {"channel": 0})),
    ("no_level", (1, 0, BARE), (9, 1, BARE), (10, 1)),
    ("no_level", (1, 0, BARE), (9, 1, BARE)),
]


def test_each_kind_alone_is_found(destination):
    """A dossier that is unusual in one way only is read, and has this finding and no other."""
    sent = {}
    for kind, *steps in ALONE:
        code = a_code()
        sent[code] = kind
        for status, day, *changes in steps:
            fields = {"status": status, "dossier_code": code, "occurred_at": MORNING + day * DAY, "named_by_code": True}
            destination.take([an_event(**fields | (changes[0] if changes else {}))])
    found = destination.found()
    assert {example.code: kind.value for kind, some in found.examples.items() for example in some} == sent
    assert sum(found.dossiers.values()) == len(sent)


def test_findings_beside_the_catalogue(destination):
    """Another level than the catalogue's and a procedure that it lacks are found on any day; legacy levels count, too."""
    entry = CatalogueEntry("H17", "1.1", TODAY, TODAY, service_level="mot_phan")
    entries = [
        entry,
        replace(entry, valid_from=TODAY + DAY, valid_to=None, service_level="", legacy_level=4),
        replace(entry, procedure_code="1.2", service_level="", valid_to=None),
    ]
    destination.catalogue.load(entries)
    sent = {
        "differs": course(1, 9, procedure_code="1.1", service_level="mot_phan"),
        "same": course(1, 9, procedure_code="1.1"),
        "sent before": course(1, 9, procedure_code="1.1", service_level="", start=MORNING - DAY),
        "not stated": course(1, 9, procedure_code="1.2"),
        "lacks": course(1, 9, procedure_code="1.3"),
        "before its first day": course(9, procedure_code="1.3", start=MORNING - DAY),
        "no catalogue": course(1, 9, procedure_code="1.3", agency="H18"),
        "not settled": course(1, 2, procedure_code="1.3"),
    }
    sent["sent before"][0] = replace(sent["sent before"][0], service_level="toan_trinh")
    destination.take(itertools.chain.from_iterable(sent.values()))
    codes = {name: messages[0].dossier_code for name, messages in sent.items()}
    scope = FindingScope(Period(TODAY, TODAY + DAY))
    found = destination.found(scope, catalogue=destination.catalogue.entries)
    named = {kind.value: {example.code for example in some} for kind, some in found.examples.items()}
    assert named["level_differs"] == {codes["differs"], codes["sent before"]}
    assert named["not_in_catalogue"] == {codes["lacks"]}
    if isinstance(destination.reader, ClickHouseFindingReader):
        assert not destination.read(scope).keys() & {codes[name] for name in ("not stated", "not settled", "no catalogue")}


#: Messages of few values, so that times, ids, statuses and units meet.
MESSAGES = st.builds(
    dict,
    event_id=st.integers(1, 5).map(lambda number: uuid.UUID(int=number << 64 | 9 - number)),
    status=st.integers(1, 10),
    occurred_at=st.integers(0, 4).map(lambda seconds: MORNING + seconds * SECOND),
    channel=st.sampled_from([2, 2, 2, 1, 0]),
    service_level=st.sampled_from(["toan_trinh", "mot_phan", ""]),
    agency=st.sampled_from(["H17", "H17", "H17", "G01"]),
    named_by_code=st.sampled_from([True, True, True, False]),
)
#: One thing or nothing is unusual: each kind of finding alone.
CHANGES = st.sampled_from(
    [
        *({}, {}, {"channel": 1}, {"channel": 0}, {"service_level": ""}, {"agency": "G01"}, {"named_by_code": False}),
        *({"occurred_at": MORNING - SECOND}, {"occurred_at": MORNING + 9 * SECOND}, {"event_id": uuid.UUID(int=50)}),
        *({"status": status} for status in range(1, 11)),
    ]
)
COURSES = st.sampled_from([(1, 2, 4, 9, 10), (2, 4, 9), (1, 3), (1, 2, 4, 4), (1, 2, 10), (1, 3, 10), (9,), (1, 5, 2, 9), (4, 1)])
NEARLY_USUAL = st.tuples(COURSES, CHANGES, st.integers(0, 4), st.booleans()).map(
    lambda drawn: [
        {
            "event_id": uuid.UUID(int=50 + place),
            "status": status,
            "channel": 2,
            "service_level": "toan_trinh",
            "agency": "H17",
            "named_by_code": True,
            "occurred_at": MORNING + place * SECOND,
        }
        | (drawn[1] if drawn[3] or place == drawn[2] else {})
        for place, status in enumerate(drawn[0])
    ]
)
#: A message is sent again with another time, or as another event.
SENT_AGAIN = st.tuples(NEARLY_USUAL, st.integers(0, 4), CHANGES).map(
    lambda drawn: [*drawn[0], drawn[0][drawn[1] % len(drawn[0])] | drawn[2]]
)
DOSSIERS = st.lists(st.one_of(st.lists(MESSAGES, min_size=1, max_size=5), NEARLY_USUAL, SENT_AGAIN), min_size=1, max_size=60)


#: The level of the second unit changes, and that of the first one is not the usual one.
ENTRIES = [
    CatalogueEntry("H17", "1.000001", dt.date(2018, 1, 1), service_level="mot_phan"),
    CatalogueEntry("G01", "1.000001", dt.date(2018, 1, 1), TODAY - DAY, service_level="mot_phan"),
    CatalogueEntry("G01", "1.000001", TODAY, legacy_level=4),
]


@given(DOSSIERS)
@settings(max_examples=examples(15, fast=6), suppress_health_check=list(HealthCheck))
def test_no_dossier_with_a_finding_is_missed(destination, drawn):
    """Every dossier of which ``findings`` has something to say is read, with all its messages, each with all its fields."""
    sent = [[an_event(**fields | {"dossier_code": code}) for fields in each] for each in drawn for code in [a_code()]]
    destination.take(itertools.chain.from_iterable(sent))
    destination.catalogue.load(ENTRIES)
    catalogue = Catalogue(ENTRIES)
    read = destination.read()
    for messages in sent:
        code = messages[0].dossier_code
        if findings(messages, REGISTRY, (), catalogue):
            assert code in read, [(message.status, message.occurred_at) for message in messages]
        if code in read:
            assert read[code] == {contents(message) for message in messages}


@pytest.mark.parametrize("statuses", [(1, 2, 4, 9, 10), (2, 9), (1, 3), (1, 2, 4, 5, 4, 6, 4), (1, 2, 4, 7)])
@pytest.mark.parametrize("sink", ["embedded", pytest.param("served", marks=pytest.mark.integration)])
def test_the_usual_course_is_not_read(request, sink, statuses):
    """ClickHouse leaves out dossiers that can have no finding, so that a search costs what is unusual."""
    clickhouse = request.getfixturevalue(sink)
    there = Destination(
        storage_of(clickhouse).events(), storage_of(clickhouse).dossier_index(), storage_of(clickhouse).findings()
    )
    there.take(course(*statuses))
    assert not there.read()
    assert there.reader.messages_within(ALWAYS) == len(statuses)


def test_a_finding_counts_for_the_day_and_unit_of_its_event(destination):
    """A search of one day or unit reads whole histories, and counts only what the events of that day and unit show."""
    code = a_code()
    destination.take(course(1, 9, code=code))
    destination.take(course(9, code=code, start=MORNING + 5 * DAY, agency="G01", event_id=uuid.uuid4()))
    second = TODAY + 5 * DAY

    def kinds(first, last, *agencies):
        found = destination.found(FindingScope(Period(first, last), agencies or None))
        return {(kind.value, *place) for place, kind in found.dossiers}

    twice, units = ("settled_twice", "G01", second), ("several_units", "G01", second)
    assert kinds(TODAY, second) == {twice, units}
    assert kinds(second, second) == {twice, units}
    assert kinds(second, second, "G01", "H18") == {twice, units}
    assert kinds(TODAY, second, "H17") == set()
    assert kinds(TODAY, TODAY + 4 * DAY) == set()
    assert kinds(dt.date.min, dt.date.min) == kinds(dt.date.max, dt.date.max) == set()


def test_a_civil_day_is_one_of_viet_nam(destination):
    """A finding at 00:00 and at 23:59:59.999 local time belongs to that day, a millisecond later to the next."""
    midnight = dt.datetime.combine(TODAY, dt.time(), dt.timezone(dt.timedelta(hours=7)))
    for at in (midnight, midnight + DAY - dt.timedelta(milliseconds=1), midnight + DAY):
        destination.take(course(4, start=at.astimezone(dt.UTC)))
    found = destination.found(FindingScope(Period(TODAY, TODAY)))
    assert by_place(found) == {("H17", TODAY): {"first_seen_late": 2}}


def test_shards_divide_the_dossiers(destination):
    """Each dossier is in one shard: together they find what one search finds, with at most five examples of a kind."""
    sent = [course(1, 9, 9) for _ in range(40)]
    destination.take(itertools.chain.from_iterable(sent))
    parts = []
    service = destination.service(shard_messages=20)
    assert service.shards(ALWAYS) == 6
    found = found_in_all(service, ALWAYS, advance=lambda done, of: parts.append((done, of)))
    assert parts == [(done, 6) for done in range(7)]
    assert by_place(found) == {("H17", TODAY + 2 * DAY): {"settled_twice": 40}}
    (some,) = found.examples.values()
    assert len(set(some)) == 5
    assert set(some) <= {Example(messages[0].dossier_code, Place("H17", TODAY + 2 * DAY)) for messages in sent}


def test_repeats_of_a_message_change_nothing(destination):
    """A message that is delivered and indexed again is the same message."""
    messages = course(1, 2, 9)
    for _ in range(3):
        destination.take(messages)
    assert not destination.found().dossiers


def test_an_id_in_two_dossiers_names_the_right_code(destination):
    """The code of an example is looked up by a message; another dossier may have a message with the same id, time and unit."""
    same = uuid.UUID(int=77)
    unusual, usual = course(4, event_id=same), course(1, event_id=same)
    destination.take([*usual, *unusual])
    (example,) = next(iter(destination.found().examples.values()))
    assert example.code == unusual[0].dossier_code


def test_a_code_with_too_many_events(destination):
    """It is named without day and unit, in every search that has a message of it, and has no other finding."""
    code = a_code()
    destination.take(
        an_event(dossier_code=code, status=4 if number else 1, occurred_at=MORNING + number * SECOND, named_by_code=True)
        for number in range(MAX_EVENTS + 1)
    )
    found = destination.found(FindingScope(Period(TODAY, TODAY), ("H17",)))
    assert {(place, kind.value): number for (place, kind), number in found.dossiers.items()} == {
        (Place(None, None), "too_many_events"): 1
    }
    assert found.examples == {next(iter(found.examples)): (Example(code, Place(None, None)),)}
    assert not destination.found(FindingScope(Period(TODAY, TODAY), ("G01",))).dossiers


def test_an_unknown_agency_is_refused(destination):
    """A search for a code that the registry does not know would find nothing and look like a clean portal."""
    with pytest.raises(ConfigurationError, match="'H99'"):
        destination.found(FindingScope(Period(TODAY, TODAY), ("H99",)))


@pytest.mark.parametrize("sink", ["embedded", pytest.param("served", marks=pytest.mark.integration)])
def test_findings_of_realistic_portals_are_those_of_their_ledger(request, sink):
    """Some agencies of February 2025, every fault in 5 % of the dossiers: the findings of each unit and day are the true ones."""
    clickhouse = request.getfixturevalue(sink)
    there = Destination(
        storage_of(clickhouse).events(), storage_of(clickhouse).dossier_index(), storage_of(clickhouse).findings()
    )
    stream = stream_of(PROFILES["realistic"], settled=40_000)
    sent = events_of(stream)
    assert sum(map(len, sent.values())) >= 20_000
    there.take(itertools.chain.from_iterable(sent.values()))
    truth = Truth.of(stream, seed=1)
    assert all(truth.total(kind) for kind in FINDINGS)
    found = found_in_all(there.service(shard_messages=7_000), ALWAYS)
    assert not list(shortened(finding_differences(truth, by_place(found))))
