"""The contract of the index of dossiers: on the embedded engine, a real server and the double in memory."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.corrections import bits_alone
from domain.dossier_columns import BITS, LEVEL_RANKS, RETURN_RANKS
from domain.events import DossierEvent
from domain.periods import civil_day
from pipeline.ingest.dossier_resolver import DossierResolver, TouchedDossiers
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.tally_sql import COUNT_NAMES
from sinks.contract.dossiers import fields_of
from sinks.contract.tallies import Days, Span
from tests.budget import examples
from tests.contract.clustered import storage_of
from tests.contract.dossier_model import PausingClickHouse
from tests.factories import MORNING, an_event, rows_of
from tests.fakes import MemoryStore, key_of
from tests.fakes import fields_of as counts_by_name
from tests.right_counts import right_counts

_dossiers = itertools.count(1)
SECOND, MINUTE, DAY = dt.timedelta(seconds=1), dt.timedelta(minutes=1), dt.timedelta(days=1)


@dataclass
class IndexUnderTest:
    """An index, the store beside it, and how to read tallies."""

    index: object
    store: object
    merge: object
    procedures: object

    @property
    def resolver(self):
        return DossierResolver(self.index)

    def indexed(self, events, *, offset=0) -> TouchedDossiers:
        return self.resolver.add(rows_of(events, offset=offset))

    def suspects(self, indexed: TouchedDossiers) -> pa.Table:
        return self.index.suspects(pa.table({"dossier_code": indexed.codes}))

    def history(self, events, *, offset=0) -> list[dict]:
        """All messages and claims of the dossiers of these events, whether they are suspects or not."""
        indexed = self.indexed(events, offset=offset)
        return self.index.histories(self.suspects(indexed)).to_pylist()


def _in_clickhouse(clickhouse):
    def procedures():
        rows = clickhouse.rows(
            "test", f"SELECT agency, day, procedure_code, {', '.join(COUNT_NAMES)} FROM agency_day_procedure FINAL"
        )
        return {tuple(row[:3]): +Counter(dict(zip(COUNT_NAMES, map(int, row[3:]), strict=True))) for row in rows}

    return IndexUnderTest(
        storage_of(clickhouse).dossier_index(),
        storage_of(clickhouse).events(),
        lambda: clickhouse.command("test", "OPTIMIZE TABLE dossier_index FINAL"),
        procedures,
    )


@pytest.fixture(params=["memory", "embedded", pytest.param("served", marks=pytest.mark.integration)])
def sink(request):
    """Each implementation in turn, empty."""
    if request.param != "memory":
        return _in_clickhouse(request.getfixturevalue(request.param))
    store = MemoryStore()
    return IndexUnderTest(
        store,
        store,
        lambda: None,
        lambda: {key: +Counter(counts_by_name(tally.counts)) for key, tally in store.procedures.items()},
    )


def a_code(prefix="H17") -> str:
    """The code of a dossier that no other test has."""
    return f"{prefix}-240102-{next(_dossiers):06d}"


def course(*statuses, code=None, channel=2, **fields) -> list[DossierEvent]:
    """The events of one dossier, a minute apart."""
    code = code or a_code()
    return [
        an_event(dossier_code=code, status=status, channel=channel, occurred_at=MORNING + place * MINUTE, **fields)
        for place, status in enumerate(statuses)
    ]


def events_in(history, code) -> list[DossierEvent]:
    """The messages of a history as events."""
    found = []
    for row in history:
        small = {name: column[0] for name, column in fields_of(np.array([row["facts"]], np.uint16)).items()}
        if row["claim"] == 0:
            due_at = row["due_at"] if row["due_at"].timestamp() else None
            found.append(
                DossierEvent(
                    uuid.UUID(str(row["event_id"])),
                    code,
                    row["agency"],
                    row["procedure_code"],
                    int(small["status"]),
                    int(small["channel"]),
                    LEVEL_RANKS[small["level"]],
                    row["occurred_at"],
                    int(small["legacy"]),
                    RETURN_RANKS[small["returned"]],
                    due_at=due_at,
                    named_by_code=bool(small["named"]),
                )
            )
    return found


def names_alone(event: DossierEvent) -> frozenset[str]:
    """What a message counts as by itself, by ``bits_alone``."""
    columns = (
        np.array([event.status]),
        np.array([event.channel]),
        np.array([LEVEL_RANKS.index(event.service_level)]),
        np.array([RETURN_RANKS.index(event.returned_by)]),
    )
    bits = int(bits_alone(*columns)[0])
    return frozenset({"events", *(name for place, name in enumerate(BITS) if bits >> place & 1)})


MESSAGES = st.builds(
    dict,
    event_id=st.integers(1, 5).map(lambda number: uuid.UUID(int=number << 64 | 9 - number)),
    status=st.sampled_from([1, 1, 2, 2, 4, 9, 9, 10, 10, 3, 7, 5, 6, 8]),
    occurred_at=st.integers(0, 4).map(lambda seconds: MORNING + seconds * SECOND),
    channel=st.sampled_from([2, 2, 2, 1, 3, 0]),
    service_level=st.sampled_from(["toan_trinh", "toan_trinh", "mot_phan", ""]),
    returned_by=st.sampled_from(["", "", "post", "counter"]),
    agency=st.sampled_from(["H17", "H17", "G01"]),
)
NEARLY_USUAL = st.tuples(
    st.sampled_from([(1, 2, 4, 9, 10), (2, 4, 9, 10), (1, 3), (1, 2, 9), (9,), (1, 10), (1, 2, 4, 7), (3, 10), (1, 5, 2, 9)]),
    st.sampled_from([1, 2, 2, 3]),
    st.lists(MESSAGES, max_size=1),
).map(
    lambda drawn: [
        *(
            {
                "event_id": uuid.UUID(int=50 + place),
                "status": status,
                "channel": drawn[1],
                "occurred_at": MORNING + place * SECOND,
            }
            for place, status in enumerate(drawn[0])
        ),
        *drawn[2],
    ]
)
DOSSIERS = st.lists(st.one_of(st.lists(MESSAGES, min_size=1, max_size=6), NEARLY_USUAL), min_size=1, max_size=40)


@given(DOSSIERS)
@settings(max_examples=examples(12, fast=5), suppress_health_check=list(HealthCheck))
def test_no_suspect_is_missed(sink, drawn):
    """Every dossier in which ``judge`` counts a message otherwise than by itself is a suspect."""
    dossiers = [[an_event(**fields | {"dossier_code": code}) for fields in each] for code, each in ((a_code(), d) for d in drawn)]
    indexed = sink.indexed([event for events in dossiers for event in events])
    found = sink.suspects(indexed).column("dossier").to_pylist()
    corrected = {
        event.dossier_code for events in dossiers for event, names in right_counts(events).items() if names != names_alone(event)
    }
    numbers = sink.index.suspects(pa.table({"dossier_code": pa.array(sorted(corrected), pa.string())}))
    assert numbers.num_rows == len(corrected)
    assert set(numbers.column("dossier").to_pylist()) <= set(found)
    assert len(found) == len(set(found)), "once each"


@pytest.mark.parametrize(("statuses", "channel"), [((1, 2, 4, 9, 10), 2), ((2, 4, 9, 10), 1), ((2, 4, 9, 10), 3), ((1, 2), 2)])
def test_the_usual_course_is_plain(sink, statuses, channel):
    """A dossier of the usual course is not a suspect, at none of its steps, and not after its history was sent again."""
    events = course(*statuses, channel=channel)
    for event in events:
        assert sink.suspects(sink.indexed([event])).num_rows == 0
    again = sink.indexed(events, offset=100)
    sink.merge()  # until then a repeat may pass for a second message
    assert sink.suspects(again).num_rows == 0


def test_every_distinct_message_is_returned_with_its_fields(sink):
    """A history has every distinct message of a dossier once after a merge, whatever was added again."""
    code = a_code()
    first = course(9, 9, 3, code=code)
    variants = [
        replace(first[0], **change)
        for change in (
            {"occurred_at": MORNING + DAY},
            {"channel": 0},
            {"service_level": ""},
            {"returned_by": "counter"},
            {"procedure_code": "1.2"},
            {"due_at": MORNING + DAY},
            {"legacy_level": 4},
            {"agency": "G01", "named_by_code": False},
            {"status": 10},
        )
    ]
    messages = [*first, *variants]
    for offset in (0, 100):  # redelivered
        sink.indexed(messages, offset=offset)
    sink.indexed(course(9, 9), offset=200)  # another dossier
    assert {key_of(event) for event in events_in(sink.history(first), code)} == {key_of(event) for event in messages}
    sink.merge()
    suspects = sink.index.suspects(pa.table({"dossier_code": [code]}))
    history = sink.index.histories(suspects).to_pylist()
    assert Counter(events_in(history, code)) == Counter(messages)
    for row in history:
        high, low = row["id"][:8][::-1], row["id"][8:][::-1]
        assert high + low == uuid.UUID(str(row["event_id"])).bytes, "two little-endian halves"


@pytest.mark.parametrize("merged", [False, True])
def test_claims_come_back_with_what_is_confirmed(sink, merged):
    """Every claim of a message is returned with its bits, and every confirmation beside it."""
    events = course(9, 9)
    suspects = sink.suspects(sink.indexed(events))
    messages = sink.index.histories(suspects)
    identity = ("dossier", "occurred_at", "event_id", "agency", "procedure_code", "due_at", "facts")
    claimed = messages.slice(0, 1)
    for bits, record in ((5, sink.index.claim), (5, sink.index.confirm), (0, sink.index.claim), (5, sink.index.claim)):
        record(claimed.select(identity).append_column("claim", pa.array([bits + 1], pa.uint16())))
    if merged:
        sink.merge()
    history = sink.index.histories(suspects).to_pylist()
    assert {(row["claim"], bool(row["confirmed"])) for row in history} == {(0, False), (6, False), (6, True), (1, False)}
    assert len({key_of(event) for event in events_in(history, events[0].dossier_code)}) == 2
    if merged:
        assert len(history) == 5


def test_a_dossier_with_a_claim_is_always_looked_at(sink):
    """A dossier that was corrected once stays a suspect, because its correction may have to be taken back."""
    events = course(2, 4, 9, 10, channel=1)
    first = sink.resolver.resolve(sink.indexed(events[1:]))
    assert len(first.instants), "first seen at 4, it was submitted then"
    indexed = sink.indexed(events, offset=50)
    assert sink.suspects(indexed).num_rows == 1
    assert len(sink.resolver.resolve(indexed).instants), "and that is taken back"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_of_two_corrections_the_one_that_saw_more_holds(sink, order):
    """Corrections of one message may arrive in any order: the one whose writer saw most messages is counted."""
    event = an_event(dossier_code=a_code(), status=4)
    sink.store.insert_events(rows_of([event]))
    suspects = sink.suspects(sink.indexed([event]))
    message = sink.index.histories(suspects)
    identity = ("dossier", "occurred_at", "event_id", "agency", "procedure_code", "due_at", "facts")
    name_of = {1: "submitted", 2: "refused", 3: "settled"}
    for seen in order:
        sink.index.correct(
            pa.table(
                {name: message.column(name) for name in identity}
                | {
                    "plus": pa.array([1 << BITS.index(name_of[seen])], pa.uint16()),
                    "minus": pa.array([0], pa.uint16()),
                    "seen": pa.array([seen], pa.uint32()),
                }
            )
        )
    sink.store.recount_procedures(Days((civil_day(MORNING),)))
    assert list(sink.procedures().values()) == [Counter({"events": 1, "settled": 1})]


def test_a_recount_that_saw_a_correction_wins(one_clickhouse):
    """A recount that read before a correction and writes after the next recount changes nothing."""
    event = an_event(dossier_code=a_code(), status=4)
    rows, resolver = rows_of([event]), DossierResolver(storage_of(one_clickhouse).dossier_index())
    days, pausing = Days((civil_day(MORNING),)), PausingClickHouse(one_clickhouse)
    storage_of(one_clickhouse).events().insert_events(rows)
    indexed = resolver.add(rows)
    ClickHouseStore(pausing).recount_procedures(days)
    resolver.resolve(indexed)
    storage_of(one_clickhouse).events().recount_procedures(days)
    pausing.write()
    assert one_clickhouse.rows("test", "SELECT events, submitted FROM agency_day_procedure FINAL") == [(1, 1)]


def resolved_and_counted(sink, *batches):
    """Each batch stored, recounted, resolved and recounted again; returns the tallies of procedures."""
    offset = 0
    for batch in batches:
        rows = rows_of(batch, offset=offset)
        offset += len(batch)
        sink.store.insert_events(rows)
        indexed = sink.resolver.add(rows)
        days = Days(tuple(sorted({civil_day(event.occurred_at) for each in batches for event in each})))
        sink.store.recount_procedures(days)
        sink.resolver.resolve(indexed)
        sink.store.recount_procedures(days)
    return {key: counts for key, counts in sink.procedures().items() if counts}


def right(*batches):
    """The tallies of procedures by ``judge``."""
    found = {}
    for event, names in right_counts([event for batch in batches for event in batch]).items():
        found.setdefault((event.agency, civil_day(event.occurred_at), event.procedure_code), Counter()).update(names)
    return {key: counts for key, counts in found.items() if counts}


@pytest.mark.parametrize(
    "batches",
    [
        [course(9), course(1, 2, 9)],
        [
            [an_event(dossier_code="H17-240102-777001", status=10)],
            [an_event(dossier_code="H17-240102-777001", occurred_at=MORNING + DAY)],
        ],
        [course(3, 10, 2, 7, channel=1), course(2, 4, 9, 10, 9, 10, channel=3, returned_by="counter")],
        [course(*([4, 5] * 40), 9, channel=1)],
        [course(1, 9, code=code) for code in ("000.00.12.H17-240102-1234567", "H17.12-20240102-0001", "H17.1.2.3-991231-0000")],
        [course(1, 2, 9), [an_event(dossier_code="H17-240102-777002", status=9, agency=agency) for agency in ("H17", "G01")]],
    ],
    ids=["late history", "ten then nine", "refused and counter", "81 messages", "odd codes", "two units"],
)
def test_resolved_dossiers_count_as_judged(sink, batches):
    """After the corrections of each batch the tallies are what ``judge`` says."""
    assert resolved_and_counted(sink, *batches) == right(*batches)


def test_a_bucket_that_only_repeats_are_left_in_counts_nothing(sink):
    """When a better message of the same event arrives in another procedure, the tally of the first falls to zero."""
    first = an_event(dossier_code=a_code(), procedure_code="1.1")
    better = replace(first, procedure_code="1.2")
    assert resolved_and_counted(sink, [first], [better]) == right([first, better])


@given(st.lists(st.lists(MESSAGES, min_size=1, max_size=4), min_size=1, max_size=4))
@settings(max_examples=examples(10, fast=4), suppress_health_check=list(HealthCheck))
def test_any_split_into_batches_gives_the_same_corrections(sink, drawn):
    """However the messages of a dossier are split into batches, the last look leaves the tallies that ``judge`` gives."""
    code = a_code()
    batches = [[an_event(**fields | {"dossier_code": code, "procedure_code": code}) for fields in each] for each in drawn]
    found = resolved_and_counted(sink, *batches)
    assert {key: counts for key, counts in found.items() if key[2] == code} == right(*batches)


def test_minutes_and_days_follow_the_corrections(sink):
    """Minutes and days count corrections as procedures do, also when the correction is older than the recount."""
    events = [an_event(dossier_code=a_code()), an_event(dossier_code=a_code(), status=10, occurred_at=MORNING + MINUTE)]
    resolved_and_counted(sink, events)
    sink.store.recount_minutes(Span(MORNING, MORNING + 2 * MINUTE))
    sink.store.roll_up_days(Days((civil_day(MORNING),)))
    assert sink.procedures() == right(events)
