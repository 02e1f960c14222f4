"""The ingest with its real threads: what becomes a dead letter, what stops it, what waits."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.errors import DeadLetterLimitError
from pipeline.decode.bulk import BulkDecoder
from pipeline.decode.decoder import Decoder
from pipeline.decode.kept_message import kept_message
from pipeline.ingest import dead_letter_guard, delivery, dossier_tier, recounter
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.delivery import Delivery
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.pace import StorePace
from pipeline.ingest.steps import IngestSteps
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.contract.dead_letters import DeadLetterCheckpoint
from sinks.errors import Fatal, RefusedRows, Retryable
from tests.factories import LATEST, TOPIC, a_message, an_event
from tests.fakes import MemoryBatch, MemoryStore

NO_LIMIT = DeadLetterLimit(0, 0, 0)
FAST = IngestSettings(
    linger_ms=0, store_interval_ms=0, minute_interval_ms=10, day_interval_ms=10, procedure_interval_ms=10, dossier_interval_ms=10
)
#: The small batches of tests are decoded as large ones are.
IN_BULK = {"min_bulk": 1, "min_matched": 1}
PATIENCE = 60.0


def until(condition, what):
    """Wait for a condition; fail by name."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


class Rig:
    """A delivery over a store in memory, what it acknowledged and how it failed."""

    def __init__(self, store, decoder, settings=FAST, limit=NO_LIMIT):
        self.store = store
        self.acknowledged, self.failures = [], []
        self.metrics = WorkerMetrics(CollectorRegistry())
        self.clock = ManualClock(LATEST)
        self.steps = IngestSteps(
            decoder=decoder,
            store=store,
            index=store,
            settings=settings,
            metrics=self.metrics,
            clock=self.clock,
            acknowledge=lambda fetches: self.acknowledged.extend(fetch.receipt for fetch in fetches),
            limit=limit,
            checkpoints=store,
        )
        self.delivery = Delivery(self.steps, settings=settings, fail=self.failures.append)
        self.delivery.start()

    def offer(self, receipt, *messages, partition=0, offset=0, assignment=0):
        size = sum(map(len, filter(None, messages)))
        self.delivery.offer(Fetch(TOPIC, partition, [MemoryBatch(offset, messages)], len(messages), size, receipt, assignment))

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def rig(registry, monkeypatch):
    """Creates rigs; each is stopped at the end. Their threads look often whether they are to stop."""
    for module in (dead_letter_guard, delivery, dossier_tier, recounter):
        monkeypatch.setattr(module, "_STOP_CHECK_SECONDS", 0.02)
    rigs = []

    def make(store, limit=NO_LIMIT, **changes):
        rigs.append(Rig(store, Decoder(registry, **IN_BULK), FAST.model_copy(update=changes), limit))
        return rigs[-1]

    yield make
    for made in rigs:
        assert made.delivery.stop(grace=PATIENCE), "the threads ended"


def test_good_and_bad_messages_are_stored_and_acknowledged(rig):
    """Events become rows and tallies, the rest dead letters with their offset and reason; then the fetch is acknowledged."""
    store = MemoryStore()
    work = rig(store)
    bad = b'{"a": "\xff"}'
    work.offer("one", a_message(), bad, a_message(), None, partition=2, offset=50)
    until(lambda: work.acknowledged == ["one"], "acknowledged")
    assert store.totals().tallied == 2
    assert {at: (letter.key, letter.value, letter.reason) for at, (letter, _) in store.letters.items()} == {
        (TOPIC, 2, 51): (b"key-51", bad, "not_utf8"),
        (TOPIC, 2, 53): (None, None, "empty"),
    }
    until(lambda: work.steps.acknowledger.unacknowledged == 0 and work.steps.budget.rows == 0, "nothing is held any more")
    assert work.steps.budget.size == 0
    assert work.sample("portalpulse_worker_events_total", outcome="stored") == 2
    assert work.sample("portalpulse_worker_events_total", outcome="dead_letter") == 2
    assert work.sample("portalpulse_worker_acknowledged_events_total") == 4


def test_a_fetch_of_bad_messages_only(rig):
    """A fetch that holds only dead letters is acknowledged when they are stored."""
    store = MemoryStore()
    work = rig(store)
    work.offer("bad", b"{", b"[", None)
    until(lambda: work.acknowledged == ["bad"], "acknowledged")
    assert len(store.letters) == 3


def test_an_empty_fetch(rig):
    """A fetch without messages (control records only) is acknowledged, so that it does not block later ones."""
    work = rig(MemoryStore())
    work.offer("empty")
    work.offer("next", a_message())
    until(lambda: work.acknowledged == ["empty", "next"], "both")


def test_refused_rows_are_halved_down_to_dead_letters(rig):
    """Each row that the storage refuses becomes a dead letter with the storage's error; every other row is stored."""
    events = [an_event() for _ in range(100)]
    cursed = {events[number].event_id for number in (0, 33, 34, 99)}
    store = MemoryStore(cursed=cursed)
    work = rig(store)
    work.offer("all", *map(a_message, events), offset=1_000)
    until(lambda: work.acknowledged == ["all"], "acknowledged")
    assert {offset for _, _, offset in store.letters} == {1_000, 1_033, 1_034, 1_099}
    assert len(store.kept) == 96
    assert store.totals().tallied == 96
    letter = store.letters[TOPIC, 0, 1_033][0]
    assert letter.reason == "refused_by_storage"
    assert letter.error == "VIOLATED_CONSTRAINT"
    assert json.loads(letter.value)["event_id"] == str(events[33].event_id)
    assert uuid.UUID(json.loads(letter.value)["event_id"]) in cursed
    assert work.sample("portalpulse_worker_events_total", outcome="dead_letter") == 4
    assert work.sample("portalpulse_worker_events_total", outcome="stored") == 96


@pytest.mark.parametrize(
    "step",
    [
        *("insert_events", "insert_dead_letters", "recount_minutes", "roll_up_days", "recount_procedures", "check_tables"),
        "insert_events:done",
    ],
)
def test_an_unknown_error_stops_without_acknowledging(rig, step):
    """An unknown error stops the worker at any step; nothing of the batch is acknowledged or dead-lettered because of it."""
    cause = Fatal("a table is missing")
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
    assert work.steps.acknowledger.unacknowledged == 2
    assert not any(letter.reason == "refused_by_storage" for letter, _ in store.letters.values())


class FaultyRegistry(AgencyRegistry):
    """Answers for every agency but H05, which causes an unforeseen error."""

    def responsible(self, code, day):
        if code == "H05":
            raise ZeroDivisionError("division by zero")
        return super().responsible(code, day)


def hidden(**changes):
    """A message that the bulk path leaves to the validator: its date is a 29 February."""
    return a_message(dossier_code="H17-240229-0001", **changes)


def test_an_unforeseen_error_dead_letters_one_message():
    """An error in this program while one message is validated makes it a dead letter; the messages beside it are counted."""
    store = MemoryStore()
    work = Rig(store, Decoder(FaultyRegistry.packaged(), **IN_BULK))
    try:
        bad = hidden(agency_code="H05")
        with capture_logs() as logs:
            work.offer("one", a_message(), bad, hidden(), a_message(), partition=3, offset=70)
            until(lambda: work.acknowledged == ["one"], "acknowledged")
        assert work.failures == []
        assert store.totals().tallied == 3
        [(letter, _)] = store.letters.values()
        assert (letter.partition, letter.offset, letter.value, letter.reason) == (3, 71, kept_message(bad), "unforeseen")
        assert letter.error.startswith("ZeroDivisionError in test_delivery.py:")
        assert [line["messages"] for line in logs if line["event"] == "messages_set_aside_unforeseen"] == [1]
    finally:
        assert work.delivery.stop(grace=PATIENCE)


def test_unforeseen_errors_count_for_the_limit():
    """An error of this program that every message causes stops the worker at the limit, like any other rejection."""
    store = MemoryStore()
    work = Rig(store, Decoder(FaultyRegistry.packaged(), **IN_BULK), limit=DeadLetterLimit(3, 0, 0))
    try:
        work.offer("bad", *(hidden(agency_code="H05") for _ in range(3)))
        until(lambda: work.failures, "stopped")
        assert "unforeseen" in str(work.failures[0])
        assert store.letters == {}
        assert work.acknowledged == []
    finally:
        assert work.delivery.stop(grace=PATIENCE)


def test_a_failing_bulk_decoder_is_reported(rig, monkeypatch):
    """When bulk decoding fails, all events are counted through the validator, and a log line and a metric say so."""
    store = MemoryStore()

    def fails(*_):
        raise OverflowError("date value out of range")

    monkeypatch.setattr(BulkDecoder, "decode", fails)
    work = rig(store)
    with capture_logs() as logs:
        work.offer("one", a_message(), b"{", a_message())
        until(lambda: work.acknowledged == ["one"], "acknowledged")
    assert store.totals().tallied == 2
    assert len(store.letters) == 1
    assert work.sample("portalpulse_worker_bulk_failures_total") == 1
    assert work.sample("portalpulse_worker_slow_path_events_total") == 3
    assert [line["error"].split()[0] for line in logs if line["event"] == "bulk_decoding_failed"] == ["OverflowError"]


def test_refused_dead_letters_stop(rig):
    """A dead letter that cannot be stored must not be lost: the worker stops."""
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
    "step", ["insert_events", "insert_dead_letters", "recount_minutes", "roll_up_days", "recount_procedures", "check_tables"]
)
def test_while_the_storage_is_unavailable_nothing_is_acknowledged(rig, step):
    """While any step raises Retryable the worker waits and says since when; then it continues, and every tally is exact."""
    store, back = MemoryStore(), threading.Event()
    tried = []

    def fault(at):
        if at == step and not back.is_set():
            tried.append(at)
            raise Retryable("unavailable", retry_after=0.01)

    store.fault = fault
    work = rig(store)
    work.offer("one", a_message(), b"{")
    until(lambda: len(tried) >= 3, "tried again and again")
    assert work.acknowledged == []
    assert work.failures == []
    assert work.steps.retrying.unavailable_since == LATEST
    back.set()
    until(lambda: work.acknowledged == ["one"], "acknowledged")
    until(lambda: work.steps.retrying.unavailable_since is None, "the storage is back")
    assert store.totals().tallied == 1


def test_a_full_memory_budget_empties_again(rig):
    """Messages in memory count until they are stored; a full budget stops the fetching, and empties again."""
    store, back = MemoryStore(), threading.Event()

    def fault(at):
        if at == "insert_events" and not back.is_set():
            raise Retryable("unavailable", retry_after=0.01)

    store.fault = fault
    work = rig(store, batch_rows=10, max_unstored_rows=40)
    for number in range(4):
        assert not work.steps.budget.full
        work.offer(number, *(a_message() for _ in range(10)), offset=number * 10)
    assert work.steps.budget.full
    assert work.steps.budget.rows == 40
    back.set()
    until(lambda: sorted(work.acknowledged) == [0, 1, 2, 3], "all")
    assert not work.steps.budget.full


def test_large_messages_fill_the_memory_budget(rig):
    """Large messages fill the budget by their size before their number does."""
    store = MemoryStore()
    store.fault = lambda at: (
        (_ for _ in ()).throw(Retryable("unavailable", retry_after=0.01)) if at == "insert_dead_letters" else None
    )
    work = rig(store, max_unstored_bytes=1 << 20)
    for number in range(17):
        work.offer(number, b"x" * 65_000)
    assert work.steps.budget.full
    store.fault = lambda _at: None  # a storage step is repeated until it succeeds, also while the worker stops


def test_events_of_the_future_are_measured_by_the_wall_clock(rig):
    """An event later than now plus the tolerance becomes a dead letter; an earlier one is stored."""
    store = MemoryStore()
    work = rig(store, future_tolerance_seconds=60.0)
    inside = a_message(occurred_at=(LATEST + dt.timedelta(seconds=60)).isoformat(timespec="milliseconds"))
    outside = a_message(occurred_at=(LATEST + dt.timedelta(seconds=60, milliseconds=1)).isoformat(timespec="milliseconds"))
    work.offer("one", inside, outside)
    until(lambda: work.acknowledged == ["one"], "acknowledged")
    assert len(store.kept) == 1
    assert [letter.reason for letter, _ in store.letters.values()] == ["in_the_future"]


@pytest.mark.parametrize("step", ["insert_events", "recount_minutes", "roll_up_days", "recount_procedures", "check_tables"])
def test_a_stop_leaves_the_rest_unacknowledged(rig, step):
    """A stop during a storage step acknowledges nothing that is not counted, and ends the threads."""
    store, reached, go_on = MemoryStore(), threading.Event(), threading.Event()

    def fault(at):
        if at == step:
            reached.set()
            assert go_on.wait(PATIENCE)

    store.fault = fault
    work = rig(store)
    work.offer("one", a_message())
    assert reached.wait(PATIENCE)
    work.offer("two", a_message(), offset=1)
    assert not work.delivery.stop(grace=0), "a step that hangs is not waited for"
    go_on.set()
    assert work.delivery.stop(grace=PATIENCE)
    # The step in progress is finished. It may have been the last one of the first fetch, never of the second.
    assert work.acknowledged in ([], ["one"])
    assert work.acknowledged == [] or store.totals().tallied == 1
    assert work.steps.acknowledger.unacknowledged == 2 - len(work.acknowledged)


@pytest.mark.parametrize(
    ("limit", "words"), [(DeadLetterLimit(3, 0, 0), "3 messages in a row"), (DeadLetterLimit(0, 0.5, 4), "3 of the latest 4")]
)
def test_the_limit_stops_a_batch_before_anything_of_it_is_stored(rig, limit, words):
    """A batch that exceeds a limit is neither stored nor acknowledged nor dead-lettered: the worker stops and says why."""
    store = MemoryStore()
    work = rig(store, limit)
    work.offer("fine", a_message())
    until(lambda: work.acknowledged == ["fine"], "what went before")
    work.offer("bad", b"{", b"[", b"x", a_message(), offset=1)
    said = stopped(work)
    assert words in said
    assert "the last at offset 3: not_json" in said
    assert work.acknowledged == ["fine"]
    assert store.letters == {}
    assert len(store.kept) == 1


def test_the_limit_may_trip_on_a_good_batch(rig):
    """When good messages fill the window, the error message has no example and is still complete."""
    work = rig(MemoryStore(), DeadLetterLimit(0, 0.5, 4))
    work.offer("bad", b"{", b"[", b"x")
    until(lambda: work.acknowledged == ["bad"], "below the window")
    work.offer("good", a_message(), offset=3)
    until(lambda: work.failures, "stopped")
    assert "3 of the latest 4" in str(work.failures[0])


def stopped(work):
    """Wait until the limit has stopped a worker; returns the error message."""
    until(lambda: work.failures, "stopped")
    assert work.delivery.stop(grace=PATIENCE)
    assert isinstance(work.failures[0], DeadLetterLimitError)
    return str(work.failures[0])


def test_rows_that_the_storage_refuses_count(rig):
    """Rows that the storage refuses count like rejected messages; at the limit no further row is tried or dead-lettered."""
    events, steps = [an_event() for _ in range(1_000)], []
    store = MemoryStore(cursed={event.event_id for event in events}, fault=steps.append)
    work = rig(store, DeadLetterLimit(8, 0, 0))
    work.offer("all", *map(a_message, events), partition=3, offset=50)
    said = stopped(work)
    assert "partition 3 of 'dvc.dossier-events.v1'" in said
    assert "8 messages in a row were rejected, the limit is 8" in said
    assert "the last at offset 57: refused_by_storage, VIOLATED_CONSTRAINT" in said
    assert "portalpulse dead-letters accept --partition 3" in said
    assert "PORTALPULSE_DEAD_LETTERS__MAX_CONSECUTIVE" in said
    assert work.acknowledged == []
    assert store.letters == {}
    assert steps.count("insert_events") < 40


def test_refused_rows_become_dead_letters_in_one_insert(rig):
    """Rows that the storage refuses and messages that are not events become dead letters in one insert."""
    events, steps = [an_event() for _ in range(64)], []
    store = MemoryStore(cursed={event.event_id for event in events[::4]}, fault=steps.append)
    work = rig(store)
    work.offer("all", b"{", *map(a_message, events))
    until(lambda: work.acknowledged == ["all"], "acknowledged")
    assert len(store.letters) == 17
    assert steps.count("insert_dead_letters") == 1


def test_refusals_of_decoder_and_storage_make_one_run(rig):
    """Rejected messages and rows that the storage refuses make one run, in the order of their offsets."""
    events = [an_event() for _ in range(4)]
    store = MemoryStore(cursed={event.event_id for event in events[1:]})
    work = rig(store, DeadLetterLimit(5, 0, 0))
    good, *cursed = map(a_message, events)
    work.offer("four", good, b"{", cursed[0], b"[", cursed[1])
    until(lambda: work.acknowledged == ["four"], "four refusals are fewer than five")
    work.offer("five", cursed[2], offset=5)
    assert "5 messages in a row" in stopped(work)
    assert len(store.letters) == 4


def test_a_run_of_refusals_is_counted_whichever_serialiser_wrote_them(rig):
    """Rows that the storage refuses are counted in the order of their offsets when messages of two serialisers alternate."""
    events = [an_event() for _ in range(400)]
    written = [(a_message, compact)[number % 2](event) for number, event in enumerate(events)]
    work = rig(MemoryStore(cursed={event.event_id for event in events[100:108]}), DeadLetterLimit(8, 0, 0))
    work.offer("first", *written)
    assert "8 messages in a row" in stopped(work)
    work = rig(MemoryStore(cursed={event.event_id for event in events[100:107]}), DeadLetterLimit(8, 0, 0))
    work.offer("second", *written)
    until(lambda: work.acknowledged == ["second"], "seven in a row are fewer than eight")


def compact(event):
    """The message of another serialiser: without spaces."""
    return json.dumps(json.loads(a_message(event)), separators=(",", ":")).encode()


def test_a_steady_flow_is_stored_in_few_batches(rig):
    """The first message after a pause is stored at once; those of the next interval together, or when they fill a batch."""
    sizes = []
    store = MemoryStore()
    insert = store.insert_events
    store.insert_events = lambda rows: (sizes.append(rows.num_rows), insert(rows))
    work = rig(store, store_interval_ms=10_000, batch_rows=5)
    work.offer("one", a_message())
    until(lambda: work.acknowledged == ["one"], "the first is stored at once")
    for name, count in (("two", 2), ("three", 1), ("four", 2)):
        work.offer(name, *(a_message() for _ in range(count)))
    until(lambda: work.acknowledged == ["one", "two", "three", "four"], "a full batch waits for nothing")
    assert sizes == [1, 5]


def test_a_batch_that_is_not_full_waits_for_the_interval(rig):
    """What does not fill a batch is stored when the interval has passed, and a stop does not wait for it."""
    work = rig(MemoryStore(), store_interval_ms=300)
    began = time.monotonic()
    work.offer("one", a_message())
    until(lambda: work.acknowledged == ["one"], "stored")
    work.offer("two", a_message())
    until(lambda: work.acknowledged == ["one", "two"], "stored")
    assert time.monotonic() - began >= 0.3
    work = rig(MemoryStore(), store_interval_ms=10_000)
    work.offer("one", a_message())
    until(lambda: work.acknowledged == ["one"], "stored")
    work.offer("two", a_message())
    assert work.delivery.stop(grace=5.0)


class RecordingPace(StorePace):
    """Records how long storing took, and makes every batch wait until it is full."""

    def __init__(self):
        super().__init__(0.0)
        self.seen, self.asked = [], 0

    def stored(self, rows, seconds):
        self.seen.append((rows, seconds))

    def pause(self):
        self.asked += 1
        return 1_000.0


def test_batches_gather_longer_while_the_storage_is_slow(rig):
    """The pace is told how long storing each batch took, and says when the next one is handed on."""
    sizes, store = [], MemoryStore()
    insert = store.insert_events

    def slow_insert(rows):
        threading.Event().wait(0.05)
        sizes.append(rows.num_rows)
        insert(rows)

    store.insert_events = slow_insert
    work = rig(store, store_interval_ms=0, batch_rows=3)
    work.steps.pace = RecordingPace()
    for name in ("one", "two", "three", "four"):
        work.offer(name, a_message())
        if name == "one":
            until(lambda: work.acknowledged == ["one"], "the first is stored at once")
    until(lambda: len(work.acknowledged) == 4, "a full batch waits for nothing")
    assert sizes == [1, 3]
    assert work.steps.pace.asked == 2
    assert [rows for rows, _ in work.steps.pace.seen] == [1, 3]
    assert all(seconds >= 0.05 for _, seconds in work.steps.pace.seen)


def test_a_bad_partition_beside_good_ones(rig):
    """Good messages of other partitions do not hide a partition whose messages are all rejected."""
    store = MemoryStore()
    work = rig(store, DeadLetterLimit(10, 0, 0))
    for turn in range(3):
        work.offer(f"good-{turn}", *(a_message() for _ in range(20)), partition=1, offset=20 * turn)
        work.offer(f"bad-{turn}", *[b"{"] * 4, partition=2, offset=4 * turn)
    assert "partition 2" in stopped(work)
    assert len(store.letters) < 10


def test_batches_are_checked_in_order_whichever_is_stored_first(rig):
    """A run across the border of two batches is one run, also when the storage answers for the second batch first."""
    events = [an_event() for _ in range(5)]
    store, second = MemoryStore(cursed={event.event_id for event in events[1:4]}), threading.Event()
    first = []

    def fault(at):
        if at == "insert_events":
            if not first:
                first.append(threading.current_thread())
                assert second.wait(PATIENCE)
            elif threading.current_thread() is not first[0]:
                second.set()

    store.fault = fault
    work = rig(store, DeadLetterLimit(3, 0, 0))
    good, *cursed, last = map(a_message, events)
    work.offer("one", good, *cursed[:2])
    until(lambda: first, "the first batch is being stored")
    work.offer("two", cursed[2], last, offset=3)
    assert "3 messages in a row" in stopped(work)
    assert work.acknowledged in ([], ["one"])
    assert len(store.letters) == 2


def test_restarts_do_not_raise_the_limit(rig):
    """However often the worker restarts, all its runs together make no more dead letters than the limit allows."""
    store, messages, committed = MemoryStore(), [a_message(), *[b"{"] * 30], 0
    for attempt in range(12):
        work = rig(store, DeadLetterLimit(10, 0, 0))
        position = committed
        while not work.failures and position < len(messages):
            size = 1 + attempt % 3
            some = messages[position : position + size]
            work.offer(position + len(some), *some, offset=position)
            position += len(some)
            until(lambda work=work, end=position: end in work.acknowledged or work.failures, "decided")
            committed = max([committed, *work.acknowledged])
        work.delivery.stop(grace=PATIENCE)
    assert len(store.letters) == 9
    assert committed == 10


@pytest.mark.parametrize(("accepted", "dead_letters"), [(0, 9), (4, 13), (6, 15), (8, 17)])
def test_messages_that_left_the_log_keep_their_run(rig, accepted, dead_letters):
    """Messages of a run that were dead-lettered, not acknowledged, and deleted from Kafka before a restart still count.

    What was accepted meanwhile does not.
    """
    store = MemoryStore()
    first = rig(store, DeadLetterLimit(10, 0, 0))
    first.offer("bad", *[b"{"] * 8)
    until(lambda: first.acknowledged == ["bad"], "below the limit")
    assert first.delivery.stop(grace=PATIENCE)
    if accepted:
        store.accept(TOPIC, 0, accepted)
    second = rig(store, DeadLetterLimit(10, 0, 0))
    for number in range(6, 30):  # those below 6 left the log
        if not second.failures:
            second.offer(number, b"{", offset=number)
            until(lambda number=number: number in second.acknowledged or second.failures, "decided")
    assert "in a row were rejected, the limit is 10" in stopped(second)
    assert len(store.letters) == dead_letters


def test_the_share_is_kept_over_restarts(rig):
    """After a restart the share includes the messages of the previous run, also the good ones since its last checkpoint."""
    store, limit = MemoryStore(), DeadLetterLimit(0, 0.5, 8)
    first = rig(store, limit)
    first.offer("bad", a_message(), b"{", b"[", b"x", a_message(), b"{", b"x", a_message())
    assert "5 of the latest 8 messages" in stopped(first)
    first = rig(store, limit)
    first.offer("bad", a_message(), b"{", b"[", b"x", a_message(), b"{")
    until(lambda: first.acknowledged == ["bad"], "the window is not full")
    first.offer("good", a_message(), offset=6)
    until(lambda: first.acknowledged == ["bad", "good"], "the window is not full yet")
    assert first.delivery.stop(grace=PATIENCE)
    second = rig(store, limit)
    second.offer("bad again", b"[", offset=7)
    assert "5 of the latest 8 messages" in stopped(second)


def test_redelivered_messages_are_not_counted_twice(rig):
    """Dead-lettered messages that were not acknowledged before a crash are redelivered, and count once."""
    store, bad = MemoryStore(), [b"{"] * 4
    for attempt in range(5):
        work = rig(store, DeadLetterLimit(6, 0, 0))
        work.offer(attempt, *bad)
        until(
            lambda work=work, attempt=attempt: work.acknowledged == [attempt], "below the limit, however often it is redelivered"
        )
        assert work.delivery.stop(grace=PATIENCE)
    work.offer("again", *bad, assignment=1)  # stopped: nothing happens
    work = rig(store, DeadLetterLimit(6, 0, 0))
    work.offer("old", *bad)
    work.offer("new", b"[", offset=4)
    until(lambda: work.acknowledged == ["old", "new"], "five in a row")
    work.offer("rebalance", *bad, b"[", assignment=1)
    until(lambda: "rebalance" in work.acknowledged, "the same five in a new assignment")
    work.offer("sixth", b"x", offset=5, assignment=1)
    assert "6 messages in a row" in stopped(work)


def test_a_checkpoint_of_another_release_is_replaced(rig):
    """When a fixed release accepts messages that an earlier one rejected, the run is over for later workers, too."""
    store, limit = MemoryStore(), DeadLetterLimit(5, 0, 0)
    store.insert_checkpoints([DeadLetterCheckpoint(TOPIC, 0, 7, 4, ())])
    work = rig(store, limit)
    work.offer("good now", *(a_message() for _ in range(6)))
    until(lambda: work.acknowledged == ["good now"], "below the old checkpoint")
    work.offer("and on", *(a_message() for _ in range(6)), offset=6)
    until(lambda: work.acknowledged == ["good now", "and on"], "beyond it")
    assert work.delivery.stop(grace=PATIENCE)
    work = rig(store, limit)
    work.offer("bad", *[b"{"] * 4, offset=12)
    until(lambda: work.acknowledged == ["bad"] or work.failures, "decided")
    assert work.acknowledged == ["bad"]


@pytest.mark.parametrize("running", [True, False])
def test_accepted_messages_become_dead_letters(rig, running):
    """Messages below an accepted offset become dead letters without a limit, accepted before the start or during the run."""
    store = MemoryStore()
    if not running:
        assert "20 messages in a row" in stopped(trip(rig(store, DeadLetterLimit(5, 0, 0))))
        store.accept(TOPIC, 0, 20)
    work = rig(store, DeadLetterLimit(5, 0, 0))
    work.offer("four", *[b"{"] * 4)
    until(lambda: work.acknowledged == ["four"], "below the limit")
    if running:
        store.accept(TOPIC, 0, 20)
    work.offer("rest", *[b"{"] * 16, offset=4)
    until(lambda: work.acknowledged == ["four", "rest"], "accepted")
    assert len(store.letters) == 20
    work.offer("more", *[b"{"] * 4, offset=20)
    until(lambda: "more" in work.acknowledged, "a new run begins behind what was accepted")
    work.offer("too many", b"{", offset=24)
    assert "5 messages in a row" in stopped(work)
    assert len(store.letters) == 24


def trip(work):
    """Offer more than the limit allows."""
    work.offer("too many", *[b"{"] * 20)
    return work


def test_accepting_one_partition_accepts_no_other(rig):
    """Accepting messages of one partition does not change the limit of another."""
    store = MemoryStore()
    store.accept(TOPIC, 1, 1_000)
    assert "partition 0" in stopped(trip(rig(store, DeadLetterLimit(5, 0, 0))))
