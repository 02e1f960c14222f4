"""The delivery with its real threads: what is set aside, what stops it, what waits."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from pipeline.core.agencies import AgencyRegistry
from pipeline.core.clock import ManualClock
from pipeline.core.dead_letter_limit import DeadLetterLimit
from pipeline.core.decode import Decoder
from pipeline.core.errors import InvariantError
from pipeline.delivery import Delivery, Fetch
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.errors import RefusedRows, Retryable, Unknown
from tests.factories import LATEST, TOPIC, a_message, an_event
from tests.fakes import MemoryBatch, MemoryStore

FAST = IngestSettings(linger_ms=0, minute_interval_ms=10, day_interval_ms=10, procedure_interval_ms=10)
PATIENCE = 20.0


def until(condition, what):
    """Wait for a condition; fail by name."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


class Rig:
    """A delivery over a store in memory, with what it acknowledged and how it failed."""

    def __init__(self, store, registry, settings=FAST, limit=None):
        self.store = store
        self.acknowledged, self.failures = [], []
        self.metrics = WorkerMetrics(CollectorRegistry())
        self.clock = ManualClock(LATEST)
        self.delivery = Delivery(
            decoder=Decoder(registry),
            store=store,
            settings=settings,
            metrics=self.metrics,
            clock=self.clock,
            acknowledge=lambda fetches: self.acknowledged.extend(fetch.receipt for fetch in fetches),
            fail=self.failures.append,
            limit=limit,
        )
        self.delivery.start()

    def offer(self, receipt, *messages, partition=0, offset=0):
        self.delivery.offer(
            Fetch(
                TOPIC, partition, [MemoryBatch(offset, messages)], len(messages), sum(map(len, filter(None, messages))), receipt
            )
        )

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def rig(registry):
    """Make rigs; each is stopped at the end."""
    rigs = []

    def make(store, limit=None, **changes):
        rigs.append(Rig(store, registry, FAST.model_copy(update=changes), limit))
        return rigs[-1]

    yield make
    for made in rigs:
        assert made.delivery.stop(grace=PATIENCE), "the threads ended"


def test_good_and_bad_messages_are_stored_and_acknowledged(rig):
    """Events become rows and tallies, the rest dead letters with key, offset, bytes, reason; then the fetch is acknowledged."""
    store = MemoryStore()
    work = rig(store)
    bad = b'{"a": "\xff"}'
    work.offer("one", a_message(), bad, a_message(), None, partition=2, offset=50)
    until(lambda: work.acknowledged == ["one"], "acknowledged")
    assert store.standing().tallied == 2
    assert {at: (letter.key, letter.value, letter.reason) for at, (letter, _) in store.letters.items()} == {
        (TOPIC, 2, 51): (b"key-51", bad, "not_utf8"),
        (TOPIC, 2, 53): (b"key-53", None, "empty"),
    }
    until(lambda: work.delivery.unacknowledged == 0 and work.delivery.room.rows == 0, "nothing is held any more")
    assert work.delivery.room.size == 0
    assert work.sample("portalpulse_worker_events_total", outcome="stored") == 2
    assert work.sample("portalpulse_worker_events_total", outcome="dead_letter") == 2
    assert work.sample("portalpulse_worker_acknowledged_events_total") == 4


def test_a_fetch_of_bad_messages_only(rig):
    """Nothing but dead letters is acknowledged, too, once they are kept."""
    store = MemoryStore()
    work = rig(store)
    work.offer("bad", b"{", b"[", None)
    until(lambda: work.acknowledged == ["bad"], "acknowledged")
    assert len(store.letters) == 3


def test_an_empty_fetch(rig):
    """A fetch without messages (control records only) is acknowledged, so that it holds nothing back."""
    work = rig(MemoryStore())
    work.offer("empty")
    work.offer("next", a_message())
    until(lambda: work.acknowledged == ["empty", "next"], "both")


def test_refused_rows_are_halved_down_to_dead_letters(rig):
    """Rows that the storage refuses are set aside one by one with the storage's words; every other row is stored."""
    events = [an_event() for _ in range(100)]
    cursed = {events[number].event_id for number in (0, 33, 34, 99)}
    store = MemoryStore(cursed=cursed)
    work = rig(store)
    work.offer("all", *map(a_message, events), offset=1_000)
    until(lambda: work.acknowledged == ["all"], "acknowledged")
    assert {offset for _, _, offset in store.letters} == {1_000, 1_033, 1_034, 1_099}
    assert len(store.kept) == 96
    assert store.standing().tallied == 96
    letter = store.letters[TOPIC, 0, 1_033][0]
    assert letter.reason == "refused_by_storage"
    assert letter.error == "VIOLATED_CONSTRAINT"
    assert json.loads(letter.value)["event_id"] == str(events[33].event_id)
    assert uuid.UUID(json.loads(letter.value)["event_id"]) in cursed
    assert work.sample("portalpulse_worker_events_total", outcome="dead_letter") == 4
    assert work.sample("portalpulse_worker_events_total", outcome="stored") == 96


@pytest.mark.parametrize(
    "step",
    ["insert_events", "insert_dead_letters", "recount_minutes", "roll_up_days", "recount_procedures", "insert_events:done"],
)
def test_an_unknown_error_stops_without_acknowledging(rig, step):
    """An error that nobody knows stops the worker at any step; nothing of the batch is acknowledged or set aside for it."""
    cause = Unknown("a table is missing")
    store = MemoryStore()

    def fault(at):
        if at == step:
            raise cause

    store.fault = fault
    work = rig(store)
    work.offer("one", a_message(), b"{")
    until(lambda: work.failures, "failed")
    assert work.failures[0] is cause
    assert work.acknowledged == []
    assert work.delivery.unacknowledged == 2
    assert not any(letter.reason == "refused_by_storage" for letter, _ in store.letters.values())


class FaultyRegistry(AgencyRegistry):
    """Answers for every agency but H05, which meets an error that nobody foresaw."""

    def responsible(self, code, day):
        if code == "H05":
            raise ZeroDivisionError("division by zero")
        return super().responsible(code, day)


def hidden(**changes):
    """A message that the bulk path leaves to the judge: its number is escaped."""
    return a_message(dossier_code="H17-240229-0001", **changes)


def test_an_unforeseen_error_sets_one_message_aside():
    """An error in this program while one message is judged keeps that message as a dead letter; those beside it are counted."""
    store = MemoryStore()
    work = Rig(store, FaultyRegistry.packaged())
    try:
        bad = hidden(agency_code="H05")
        with capture_logs() as logs:
            work.offer("one", a_message(), bad, hidden(), a_message(), partition=3, offset=70)
            until(lambda: work.acknowledged == ["one"], "acknowledged")
        assert work.failures == []
        assert store.standing().tallied == 3
        [(letter, _)] = store.letters.values()
        assert (letter.partition, letter.offset, letter.value, letter.reason) == (3, 71, bad, "unforeseen")
        assert letter.error.startswith("ZeroDivisionError in test_delivery.py:")
        assert [line["messages"] for line in logs if line["event"] == "messages_set_aside_unforeseen"] == [1]
    finally:
        assert work.delivery.stop(grace=PATIENCE)


def test_unforeseen_errors_count_for_the_limit():
    """A fault of this program that every message brings to light stops the worker at the limit, like any other refusal."""
    store = MemoryStore()
    work = Rig(store, FaultyRegistry.packaged(), limit=DeadLetterLimit(3, 0, 0))
    try:
        work.offer("bad", *(hidden(agency_code="H05") for _ in range(3)))
        until(lambda: work.failures, "stopped")
        assert "unforeseen" in str(work.failures[0])
        assert store.letters == {}
        assert work.acknowledged == []
    finally:
        assert work.delivery.stop(grace=PATIENCE)


def test_a_bulk_decoder_that_fails_is_told(rig, monkeypatch):
    """When the bulk path fails, all events are counted by the judge, and a line of the log and a metric say so."""
    store = MemoryStore()
    work = rig(store)

    def fails(*_):
        raise OverflowError("date value out of range")

    monkeypatch.setattr(work.delivery._decoder, "_in_bulk", fails)
    with capture_logs() as logs:
        work.offer("one", a_message(), b"{", a_message())
        until(lambda: work.acknowledged == ["one"], "acknowledged")
    assert store.standing().tallied == 2
    assert len(store.letters) == 1
    assert work.sample("portalpulse_worker_bulk_failures_total") == 1
    assert work.sample("portalpulse_worker_slow_path_events_total") == 3
    assert [line["error"].split()[0] for line in logs if line["event"] == "bulk_decoding_failed"] == ["OverflowError"]


def test_refused_dead_letters_stop(rig):
    """A dead letter that cannot be kept must not be lost: the worker stops."""
    store = MemoryStore()

    def fault(at):
        if at == "insert_dead_letters":
            raise RefusedRows("no")

    store.fault = fault
    work = rig(store)
    work.offer("bad", b"{")
    until(lambda: work.failures, "failed")
    assert work.acknowledged == []


@pytest.mark.parametrize(
    "step", ["insert_events", "insert_dead_letters", "recount_minutes", "roll_up_days", "recount_procedures"]
)
def test_while_the_storage_is_away_nothing_is_acknowledged(rig, step):
    """While any step is answered with Retryable the worker waits and says since when; then it goes on and ends exact."""
    store, back = MemoryStore(), threading.Event()
    tried = []

    def fault(at):
        if at == step and not back.is_set():
            tried.append(at)
            raise Retryable("away", retry_after=0.01)

    store.fault = fault
    work = rig(store)
    work.offer("one", a_message(), b"{")
    until(lambda: len(tried) >= 3, "tried again and again")
    assert work.acknowledged == []
    assert work.failures == []
    assert work.delivery.storage_away_since == LATEST
    back.set()
    until(lambda: work.acknowledged == ["one"], "acknowledged")
    until(lambda: work.delivery.storage_away_since is None, "the storage is back")
    assert store.standing().tallied == 1


def test_a_full_room_says_so(rig):
    """Messages held in memory are counted until they are stored; a full room stops the fetching, and empties again."""
    store, back = MemoryStore(), threading.Event()

    def fault(at):
        if at == "insert_events" and not back.is_set():
            raise Retryable("away", retry_after=0.01)

    store.fault = fault
    work = rig(store, batch_rows=10, max_unstored_rows=40)
    for number in range(4):
        assert not work.delivery.room.full
        work.offer(number, *(a_message() for _ in range(10)), offset=number * 10)
    assert work.delivery.room.full
    assert work.delivery.room.rows == 40
    back.set()
    until(lambda: sorted(work.acknowledged) == [0, 1, 2, 3], "all")
    assert not work.delivery.room.full


def test_a_batch_of_bytes_may_fill_the_room_too(rig):
    """Large messages fill the room before their number does."""
    store = MemoryStore()
    store.fault = lambda at: (_ for _ in ()).throw(Retryable("away", retry_after=0.01)) if at == "insert_dead_letters" else None
    work = rig(store, max_unstored_bytes=1 << 20)
    for number in range(17):
        work.offer(number, b"x" * 65_000)
    assert work.delivery.room.full


def test_events_of_the_future_are_measured_by_the_wall_clock(rig):
    """What is dated later than now plus the tolerance is set aside; what is within it is kept."""
    store = MemoryStore()
    work = rig(store, future_tolerance_seconds=60.0)
    inside = a_message(occurred_at=(LATEST + dt.timedelta(seconds=60)).isoformat(timespec="milliseconds"))
    outside = a_message(occurred_at=(LATEST + dt.timedelta(seconds=60, milliseconds=1)).isoformat(timespec="milliseconds"))
    work.offer("one", inside, outside)
    until(lambda: work.acknowledged == ["one"], "acknowledged")
    assert len(store.kept) == 1
    assert [letter.reason for letter, _ in store.letters.values()] == ["in_the_future"]


def test_a_stop_leaves_the_rest_unacknowledged(rig):
    """Stopping in the middle ends the threads soon and acknowledges nothing that is not counted."""
    store = MemoryStore()
    store.fault = lambda at: (_ for _ in ()).throw(Retryable("away", retry_after=0.05)) if at == "recount_minutes" else None
    work = rig(store)
    work.offer("one", a_message())
    until(lambda: store.kept, "stored")
    store.fault = lambda _: None
    assert work.delivery.stop(grace=PATIENCE)


@pytest.mark.parametrize(
    ("limit", "words"), [(DeadLetterLimit(3, 0, 0), "3 messages in a row"), (DeadLetterLimit(0, 0.5, 4), "3 of the latest 4")]
)
def test_too_much_set_aside_stops_before_it_is_stored(rig, limit, words):
    """A batch that goes beyond a limit is neither acknowledged nor set aside: the worker stops and says why in one sentence."""
    store = MemoryStore()
    work = rig(store, limit)
    work.offer("fine", a_message())
    until(lambda: work.acknowledged == ["fine"], "what went before")
    work.offer("bad", b"{", b"[", b"x", offset=1)
    until(lambda: work.failures, "stopped")
    assert isinstance(work.failures[0], InvariantError)
    assert words in str(work.failures[0])
    assert "not_json" in str(work.failures[0])
    assert work.delivery.stop(grace=PATIENCE)
    assert work.acknowledged == ["fine"]
    assert store.letters == {}


def test_the_limit_may_trip_on_a_good_batch(rig):
    """The window may be filled by good messages: the sentence then has no example, and is still one."""
    work = rig(MemoryStore(), DeadLetterLimit(0, 0.5, 4))
    work.offer("bad", b"{", b"[", b"x")
    until(lambda: work.acknowledged == ["bad"], "below the window")
    work.offer("good", a_message(), offset=3)
    until(lambda: work.failures, "stopped")
    assert "3 of the latest 4" in str(work.failures[0])
