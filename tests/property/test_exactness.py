"""Promise 1: whatever happens on the way, every tally counts what ``judge`` says, and nothing is acknowledged early.

The real steps (decode, store, resolve dossiers, recount, acknowledge) run one by one over a store in memory that fails at chosen
moments. Another worker, or the zombie of an earlier one, works on the same store meanwhile, even within one recount or look.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
import time
import uuid
from collections import Counter, defaultdict, deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.periods import civil_day
from pipeline.decode.decoder import Decoder
from pipeline.decode.validator import EventValidator
from pipeline.ingest.dead_letter_guard import AssignedPart, DeadLetterGuard
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.dead_letter_rows import reduced
from pipeline.ingest.delivery import Delivery
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.contract.dead_letters import DeadLetter
from tests.budget import examples
from tests.factories import LATEST, MORNING, TOPIC, a_message, an_event
from tests.fakes import MemoryBatch, MemoryStore, corrected, counts_of, fields_of, key_of, minute_of
from tests.right_counts import right_counts

DECODER = Decoder(AgencyRegistry.packaged(), min_bulk=1, min_matched=1)
PARTITIONS = (0, 1)
SECOND, MINUTE, DAY = dt.timedelta(seconds=1), dt.timedelta(minutes=1), dt.timedelta(days=1)
#: Few events, so that repeats are common: several in one minute of one agency, an edge of civil days, years apart.
PLAIN = tuple(
    an_event(
        event_id=uuid.UUID(int=1000 + number),
        dossier_code=f"{agency}-240102-{number:04d}",
        agency=agency,
        occurred_at=MORNING + offset,
        procedure_code=("1.001", "1.002")[number % 2],
        status=(1, 9, 9, 2, 3)[number % 5],
    )
    for number, (agency, offset) in enumerate(
        (
            *(("H17", second * SECOND) for second in (0, 1, 2)),
            ("H17", 9 * MINUTE),
            ("G01", dt.timedelta(hours=15, minutes=29, seconds=59)),
            ("G01", dt.timedelta(hours=15, minutes=30)),
            ("H26", -40 * DAY),
        )
    )
)


def _dossier(number, *steps, **fields):
    """The events of a dossier, one for each (status, time after ``MORNING``) or (status, time, other fields)."""
    return tuple(
        an_event(
            **{
                "event_id": uuid.UUID(int=2000 + 100 * number + place),
                "dossier_code": f"H17-240102-{100 + number:04d}",
                "status": status,
                "occurred_at": MORNING + offset,
            }
            | fields
            | (changes[0] if changes else {})
        )
        for place, (status, offset, *changes) in enumerate(steps)
    )


#: Settled by a 10, until a 9 arrives; settled again.
SETTLED = _dossier(0, (10, 3 * MINUTE), (9, 2 * MINUTE), (9, 9 * MINUTE), (2, MINUTE), (1, 0 * MINUTE), (4, -MINUTE))
#: Refused, taken up again, returned; its channel is that of its first event.
REFUSED = _dossier(1, (3, MINUTE), (10, 2 * MINUTE), (2, 3 * MINUTE), (7, DAY), (1, -DAY, {"channel": 1}))
#: One event with several contents, the second of them alone in its procedure, and at two times; the unit of another agency.
REPEATED = (
    *_dossier(2, (9, 0 * MINUTE), (1, -MINUTE)),
    an_event(event_id=uuid.UUID(int=2200), dossier_code="H17-240102-0102", procedure_code="1.009"),
    an_event(event_id=uuid.UUID(int=2200), dossier_code="H17-240102-0102", returned_by="counter"),
    an_event(event_id=uuid.UUID(int=2200), dossier_code="H17-240102-0102", occurred_at=MORNING - 2 * DAY),
    an_event(event_id=uuid.UUID(int=2201), dossier_code="H17-240102-0102", agency="G01", status=9, occurred_at=MORNING - MINUTE),
)
#: A 2 at the counter, which is plain by itself, and what the portal did before.
ONLY_LATER = _dossier(3, (2, MINUTE), (1, 0 * MINUTE), channel=1)
#: First seen while it is processed, and what the portal did before: together they are plain.
FIRST_SEEN_LATE = _dossier(4, (4, MINUTE), (2, 0 * MINUTE), channel=1)
CURSED = an_event(event_id=uuid.UUID(int=3000), dossier_code=SETTLED[0].dossier_code, status=2, occurred_at=MORNING - 5 * MINUTE)
EVENTS = (*SETTLED, *REFUSED, *REPEATED, *ONLY_LATER, *FIRST_SEEN_LATE, *PLAIN, CURSED)
BAD = (b"", None, b"{", b"\x00\xff", b"[]", a_message(EVENTS[0])[:-1], a_message(EVENTS[0]) + a_message(EVENTS[1]))
MESSAGES = (*(a_message(event) for event in EVENTS), *BAD)
#: Counts and never stops.
LIMIT = DeadLetterLimit(0, 0, 6)
VALIDATOR = EventValidator(AgencyRegistry.packaged())
EVENT_OF = {message: VALIDATOR.validate(message, latest=LATEST) for message in MESSAGES[: len(EVENTS)]}
TIERS = (
    ("minutes", lambda event: (event.agency, minute_of(event.occurred_at))),
    ("days", lambda event: (event.agency, civil_day(event.occurred_at))),
    ("procedures", lambda event: (event.agency, civil_day(event.occurred_at), event.procedure_code)),
)
STEPS = ("dossiers", "minutes", "days", "procedures")


class CrashError(Exception):
    """The process ends here."""


class Kafka:
    """Two partitions, their committed offsets, and their assignments."""

    def __init__(self):
        self.log = {partition: [] for partition in PARTITIONS}
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.epoch = dict.fromkeys(PARTITIONS, 0)
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.handed_out = {partition: deque() for partition in PARTITIONS}
        self.acked = defaultdict(set)
        self.guard = threading.RLock()

    def assign(self, partition):
        """A new assignment: reading starts again at what was committed."""
        with self.guard:
            self.epoch[partition] += 1
            self.position[partition] = self.committed[partition]
            self.handed_out[partition].clear()
            self.acked[partition].clear()

    def fetch(self, partition, limit):
        """The next messages of one partition, or None."""
        with self.guard:
            first = self.position[partition]
            values = tuple(self.log[partition][first : first + limit])
            if not values:
                return None
            self.position[partition] = first + len(values)
            self.handed_out[partition].append(first + len(values))
            epoch = self.epoch[partition]
            return Fetch(TOPIC, partition, [MemoryBatch(first, values)], len(values), 1, (epoch, first, values), epoch)

    def acknowledge(self, fetch):
        """Commit the unbroken run of acknowledged fetches; ignore fetches of an older assignment."""
        with self.guard:
            epoch, first, values = fetch.receipt
            if epoch != self.epoch[fetch.partition]:
                return
            self.acked[fetch.partition].add(first + len(values))
            waiting = self.handed_out[fetch.partition]
            while waiting and waiting[0] in self.acked[fetch.partition]:
                self.committed[fetch.partition] = waiting.popleft()


def assert_counted(store, kafka, fetch):
    """Every message of ``fetch`` is stored or dead-lettered, and counted as its dossier says.

    What a dossier says is certain when every message of it that is stored is acknowledged: then each correction is stored, and
    counted in all of its tallies. Until then the worker that holds the rest may still correct it.
    """
    _, first, values = fetch.receipt
    with store.guard:
        done = {(fetch.partition, offset) for offset in range(first, first + len(values))}
        codes = set()
        for offset, value in enumerate(values, start=first):
            event = EVENT_OF.get(value)
            if event is None or event.event_id in store.cursed:
                assert (TOPIC, fetch.partition, offset) in store.letters, "acknowledged, but neither stored nor dead-lettered"
                continue
            codes.add(event.dossier_code)
            assert key_of(event) in store.kept, "acknowledged before it was stored"
            for tier, bucket_of in TIERS:
                assert key_of(event) in getattr(store, tier)[bucket_of(event)].seen, f"acknowledged before its {tier}"
        held = {
            key.dossier_code
            for (_, partition, offset), key in store.positions.items()
            if offset >= kafka.committed[partition] and (partition, offset) not in done
        }
        assert_resolved(store, codes - held)


def assert_resolved(store, codes):
    """Each message of these dossiers has the correction that ``judge`` demands, and its tallies count that one."""
    events = {key_of(event): event for event in store.kept.values() if event.dossier_code in codes}
    indexed = {key_of(store.message_of(at)) for at, _, _ in store.index if store.codes[at.dossier] in codes}
    assert indexed == set(events), "acknowledged before it was indexed"
    corrections = {key_of(store.message_of(at)): correction for at, correction in store.corrections.items()}
    for key, names in ((key_of(event), names) for event, names in right_counts(events.values()).items()):
        correction = corrections.get(key)
        found = corrected(counts_of([events[key]]), [correction] if correction else [])
        counted = {name for name, count in fields_of(found).items() if count}
        assert counted == names, "acknowledged before its dossier was resolved"
        for tier, bucket_of in TIERS:
            seen = getattr(store, tier)[bucket_of(events[key])].seen
            assert correction is None or correction in seen, f"acknowledged before the correction was counted in its {tier}"


def assert_limit_is_right(store, kafka):
    """A worker that starts at a committed offset, or at any checkpoint, continues with the rejections before it."""
    for partition, log in kafka.log.items():
        rejected = [EVENT_OF.get(value) is None or EVENT_OF[value].event_id in store.cursed for value in log]
        for begin in {kafka.committed[partition], *(offset + 1 for offset in store.checkpoints[TOPIC, partition])}:
            guard = DeadLetterGuard(LIMIT, store, retrying=StorageRetry(ManualClock(LATEST)), stopping=threading.Event())
            parts = [AssignedPart((TOPIC, partition), begin, 1, 1)]
            count = guard.limit_check(guard.parts_of(parts), []).before((TOPIC, partition))
            assert count.run == len(list(itertools.takewhile(bool, reversed(rejected[:begin]))))
            latest = rejected[:begin][-count.window.messages or begin :]
            assert count.window.rejected == sum(latest)
            assert count.window.rejected >= sum(rejected[:begin][-LIMIT.window :])


def assert_exact(store, kafka):
    """Every tally is what ``judge`` says of all messages, and every other message is stored once, as a whole dead letter."""
    sent = {key_of(EVENT_OF[value]): EVENT_OF[value] for log in kafka.log.values() for value in log if value in EVENT_OF}
    kept = {key: event for key, event in sent.items() if event.event_id not in store.cursed}
    assert store.kept == kept
    right = right_counts(kept.values())
    for tier, bucket_of in TIERS:
        expected = defaultdict(Counter)
        for event, names in right.items():
            expected[bucket_of(event)].update(names)
        found = {key: +Counter(fields_of(tally.counts)) for key, tally in getattr(store, tier).items()}
        right_here = {key: counts for key, counts in expected.items() if counts}
        assert {key: counts for key, counts in found.items() if counts} == right_here
    for partition, log in kafka.log.items():
        for offset, value in enumerate(log):
            event, letter = EVENT_OF.get(value), store.letters.get((TOPIC, partition, offset))
            if event is None:
                received = DeadLetter(TOPIC, partition, offset, b"key-%d" % offset, value, letter[0].reason, letter[0].error)
                assert letter[0] == reduced(received)
            elif event.event_id in store.cursed:
                assert letter[0].reason == "refused_by_storage"
            else:
                assert letter is None


class Worker:
    """One run of a worker: the steps of the ingest, called one by one. It may index each batch at once."""

    def __init__(self, machine, max_unindexed=50_000):
        self.kafka, self.store, self.alive = machine.kafka, machine.store, True
        self.fetched = deque()
        self.steps = IngestSteps(
            decoder=DECODER,
            store=self.store,
            index=self.store,
            settings=IngestSettings(),
            metrics=WorkerMetrics(CollectorRegistry()),
            clock=ManualClock(LATEST),
            acknowledge=self.acknowledge,
            limit=LIMIT,
            checkpoints=self.store,
        )
        self.steps.dossiers.max_unindexed = max_unindexed

    def acknowledge(self, fetches):
        for fetch in fetches:
            assert_counted(self.store, self.kafka, fetch)
            if self.alive:
                self.kafka.acknowledge(fetch)

    def fetch(self, partition, limit):
        fetch = self.kafka.fetch(partition, limit)
        if fetch is not None:
            self.steps.offer(fetch)
            self.fetched.append(fetch)

    def store_next(self, fetches=2):
        if self.fetched:
            taken = [self.fetched.popleft() for _ in range(min(fetches, len(self.fetched)))]
            self.steps.store(*self.steps.decode(taken))

    def round(self, tier):
        steps = self.steps
        rounds = (
            steps.dossiers.round,
            steps.recounter.minutes_round,
            steps.recounter.days_round,
            steps.recounter.procedures_round,
        )
        rounds[STEPS.index(tier)]()

    def has_due(self):
        buckets = self.steps.dirty_buckets
        return any(buckets.due()) or buckets.unresolved_messages() > 0

    def work(self):
        """Do all work there is."""
        while self.fetched:
            self.store_next()
        while self.has_due():
            for tier in STEPS:
                self.round(tier)


faults = st.one_of(st.none(), st.none(), st.integers(0, 12))
values_ = st.lists(
    st.one_of(
        *(st.sampled_from([a_message(event) for event in events]) for events in (SETTLED, REFUSED, REPEATED)),
        st.sampled_from(MESSAGES),
    ),
    min_size=1,
    max_size=8,
)


class ExactnessMachine(RuleBasedStateMachine):
    """Produce, fetch, store, recount, crash, rebalance, wake zombies, in any order."""

    @initialize()
    def begin(self):
        self.kafka = Kafka()
        self.store = MemoryStore(cursed={CURSED.event_id})
        self.store.fault = self.on_step
        self.countdown = None
        self.intruder = None
        self.ends_at = None
        self.workers = [Worker(self), Worker(self, max_unindexed=0)]
        self.owner = {0: 0, 1: 1}
        self.zombies = []

    def on_step(self, step):
        if self.intruder is not None and step.endswith((":read", "claim:done", "add:done", "correct:done")):
            self.pause -= 1
        if self.intruder is not None and self.pause < 0:
            intruder, self.intruder = self.intruder, None
            countdown, self.countdown = self.countdown, None
            intruder.work()
            self.countdown = countdown
        if step == self.ends_at:
            self.ends_at = None
            raise CrashError
        if self.countdown is not None:
            self.countdown -= 1
            if self.countdown < 0:
                self.countdown = None
                raise CrashError

    def attempt(self, number, action, fault, intruder=None, pause=0):
        """Run a step of worker ``number``; when it crashes, a new worker starts at the committed offsets.

        The ``intruder`` works between a read of this step and what follows from it, after so many others (``pause``).
        """
        self.countdown, self.intruder, self.pause = fault, intruder, pause
        try:
            action()
        except CrashError:
            self.restart(number)
        finally:
            self.countdown = self.intruder = None

    def restart(self, number):
        self.workers[number].alive = False
        self.workers[number] = Worker(self, max_unindexed=50_000 * (1 - number))
        for partition in PARTITIONS:
            if self.owner[partition] == number:
                self.kafka.assign(partition)

    @rule(partition=st.sampled_from(PARTITIONS), values=values_, limit=st.integers(1, 6))
    def arrive(self, partition, values, limit):
        """Messages are produced, and some that were not read yet are fetched."""
        self.kafka.log[partition] += values
        self.workers[self.owner[partition]].fetch(partition, limit)

    def with_lag(self):
        return [partition for partition in PARTITIONS if self.kafka.position[partition] < len(self.kafka.log[partition])]

    @precondition(lambda self: self.with_lag())
    @rule(data=st.data(), limit=st.integers(1, 6))
    def fetch(self, data, limit):
        partition = data.draw(st.sampled_from(self.with_lag()))
        self.workers[self.owner[partition]].fetch(partition, limit)

    def with_fetched(self):
        return [number for number in (0, 1) if self.workers[number].fetched]

    def with_due(self):
        return [number for number in (0, 1) if self.workers[number].has_due()]

    @precondition(lambda self: self.with_fetched())
    @rule(data=st.data(), fetches=st.integers(1, 3), fault=faults)
    def store_batch(self, data, fetches, fault):
        number = data.draw(st.sampled_from(self.with_fetched()))
        self.attempt(number, lambda: self.workers[number].store_next(fetches), fault)

    @precondition(lambda self: self.with_due())
    @rule(data=st.data(), tier=st.sampled_from([*STEPS[:2], *STEPS]), fault=faults)
    def recount(self, data, tier, fault):
        number = data.draw(st.sampled_from(self.with_due()))
        self.attempt(number, lambda: self.workers[number].round(tier), fault)

    @precondition(lambda self: self.with_due())
    @rule(data=st.data(), tier=st.sampled_from([*STEPS, "all"]), values=values_, fault=faults, pause=st.integers(0, 3))
    def race(self, data, tier, values, fault, pause):
        """Between the read and the write of a step, the other worker stores, resolves and recounts all it has and more."""
        number = data.draw(st.sampled_from(self.with_due()))
        other = self.workers[1 - number]
        for partition in PARTITIONS:
            if self.owner[partition] == 1 - number:
                self.kafka.log[partition] += values
                other.fetch(partition, 100)
        worker = self.workers[number]
        self.attempt(number, worker.work if tier == "all" else lambda: worker.round(tier), fault, other, pause)

    @rule(data=st.data(), fault=faults)
    def work(self, data, fault):
        number = data.draw(st.sampled_from(self.with_due() or [0, 1]))
        self.attempt(number, self.workers[number].work, fault)

    @rule(number=st.integers(0, 1))
    def kill(self, number):
        self.restart(number)

    @rule(number=st.integers(0, 1))
    def freeze(self, number):
        """A worker is suspended so long that its partitions go to a new one; it may wake up later."""
        self.zombies.append(self.workers[number])
        self.restart(number)

    @precondition(lambda self: self.zombies)
    @rule()
    def wake_zombie(self):
        """A zombie continues with what it had; its acknowledgements are ignored."""
        self.zombies.pop().work()

    @invariant()
    def the_dead_letter_limit_forgets_nothing(self):
        if hasattr(self, "kafka"):
            fault, self.store.fault = self.store.fault, lambda _: None
            assert_limit_is_right(self.store, self.kafka)
            self.store.fault = fault

    @rule(partition=st.sampled_from(PARTITIONS))
    def rebalance(self, partition):
        self.owner[partition] = 1 - self.owner[partition]
        self.kafka.assign(partition)

    @invariant()
    def nothing_committed_is_lost(self):
        if not hasattr(self, "kafka"):
            return
        for partition, committed in self.kafka.committed.items():
            values = tuple(self.kafka.log[partition][:committed])
            if values:
                assert_counted(self.store, self.kafka, Fetch(TOPIC, partition, [], 0, 0, (0, 0, values)))

    def teardown(self):
        """Without further faults everything is committed, and every tally is exact."""
        if not hasattr(self, "kafka"):
            return
        self.countdown = self.intruder = None
        for number in (0, 1):
            self.restart(number)
        for partition, owner in self.owner.items():
            while self.kafka.position[partition] < len(self.kafka.log[partition]):
                self.workers[owner].fetch(partition, 5)
        for worker in self.workers:
            worker.work()
        assert self.kafka.committed == {partition: len(log) for partition, log in self.kafka.log.items()}
        assert all(worker.steps.acknowledger.unacknowledged == 0 and worker.steps.budget.rows == 0 for worker in self.workers)
        assert_exact(self.store, self.kafka)
        for zombie in self.zombies:
            zombie.work()
        assert_exact(self.store, self.kafka)


TestExactness = ExactnessMachine.TestCase
TestExactness.settings = settings(max_examples=examples(120), stateful_step_count=25)


@pytest.mark.parametrize("tier", ["minutes", "days", "procedures"])
def test_a_slow_recount_undoes_no_faster_one(tier):
    """A recount that read before another worker stored, and wrote after that worker acknowledged, undoes nothing."""
    machine = ExactnessMachine()
    machine.begin()
    slow, fast = machine.workers
    machine.kafka.log[0] += [a_message(PLAIN[0])]
    machine.kafka.log[1] += [a_message(PLAIN[2])]  # the same agency, minute, day and procedure
    slow.fetch(0, 1)
    slow.store_next()
    for earlier in STEPS[: STEPS.index(tier)]:
        slow.round(earlier)
    fast.fetch(1, 1)
    machine.attempt(0, lambda: slow.round(tier), None, fast)
    assert machine.kafka.committed[1] == 1, "the fast one acknowledged in between"
    machine.nothing_committed_is_lost()
    machine.teardown()


@pytest.mark.parametrize("pause", range(6))
@pytest.mark.parametrize("live", [True, False])
def test_a_dossier_that_two_workers_resolve_at_once(pause, live):
    """Between any two steps of one worker another stores, resolves and counts an event that makes the dossier plain again."""
    machine = ExactnessMachine()
    machine.begin()
    slow, fast = machine.workers
    machine.kafka.log[0] += [a_message(FIRST_SEEN_LATE[0])]
    machine.kafka.log[1] += [a_message(FIRST_SEEN_LATE[1])]
    slow.fetch(0, 1)
    slow.store_next()
    if live:
        slow.round("minutes")  # before its dossiers are resolved
    fast.fetch(1, 1)
    machine.attempt(0, lambda: slow.round("dossiers"), None, fast, pause)
    slow.work()
    fast.work()
    assert machine.kafka.committed == {0: 1, 1: 1}
    machine.nothing_committed_is_lost()
    assert_exact(machine.store, machine.kafka)


def test_a_claim_of_a_worker_that_ends_afterwards_is_not_relied_on():
    """A frozen worker whose messages another one committed claims a correction and ends: the next one still stores it."""
    machine = ExactnessMachine()
    machine.begin()
    late, first = (a_message(event) for event in ONLY_LATER)
    machine.kafka.log[0] += [late]
    frozen, live = machine.workers
    frozen.fetch(0, 1)
    frozen.store_next()
    machine.rebalance(0)  # the frozen one keeps what it has
    live.fetch(0, 1)
    live.work()
    assert machine.kafka.committed[0] == 1
    machine.kafka.log[1] += [first]
    live.steps.dossiers.max_unindexed = 0  # its message is indexed when the frozen one looks
    live.fetch(1, 1)
    live.store_next()
    machine.ends_at = "claim:done"
    with pytest.raises(CrashError):
        frozen.round("dossiers")
    live.work()
    assert machine.kafka.committed[1] == 1
    machine.nothing_committed_is_lost()


@pytest.mark.parametrize("seed", range(4))
def test_with_real_threads(seed):  # noqa: C901 - one scenario: a worker that restarts many times
    """When faults end the threads again and again, without waiting for them, every tally is exact in the end."""
    chance = random.Random(seed)
    kafka = Kafka()
    for log in kafka.log.values():
        log.extend(chance.choices(MESSAGES, k=400))
    store = MemoryStore(cursed={CURSED.event_id})
    failures, dice, faults_left = [], random.Random(seed + 1), [12]
    early: list[AssertionError] = []

    def fault(_):
        with store.guard:
            if faults_left[0] and dice.random() < 0.05:
                faults_left[0] -= 1
                raise CrashError

    store.fault = fault
    intervals = {f"{tier}_interval_ms": 10 for tier in ("store", "dossier", "minute", "day", "procedure")}
    fast = IngestSettings(linger_ms=0, batch_rows=50, **intervals)
    deliveries = []
    deadline = time.monotonic() + 60
    while kafka.committed != {partition: len(log) for partition, log in kafka.log.items()}:
        assert time.monotonic() < deadline
        assert not early, early
        ended = threading.Event()
        worker_state = {"alive": True}

        def acknowledge(fetches, worker_state=worker_state):
            try:
                for fetch in fetches:
                    assert_counted(store, kafka, fetch)
                    if worker_state["alive"]:
                        kafka.acknowledge(fetch)
            except AssertionError as error:
                early.append(error)

        def fail(error, ended=ended):
            failures.append(error)
            ended.set()

        for partition in PARTITIONS:
            kafka.assign(partition)
        steps = IngestSteps(
            decoder=DECODER,
            store=store,
            index=store,
            settings=fast,
            metrics=WorkerMetrics(CollectorRegistry()),
            clock=ManualClock(LATEST),
            acknowledge=acknowledge,
            limit=LIMIT,
            checkpoints=store,
        )
        delivery = Delivery(steps, settings=fast, fail=fail)
        deliveries.append(delivery)
        delivery.start()
        while not ended.is_set() and kafka.committed != {partition: len(log) for partition, log in kafka.log.items()}:
            assert time.monotonic() < deadline
            for partition in PARTITIONS:
                if not steps.budget.full and (fetch := kafka.fetch(partition, chance.randint(1, 40))) is not None:
                    delivery.offer(fetch)
            ended.wait(0.005)
        worker_state["alive"] = False
    for delivery in deliveries:
        assert delivery.stop(grace=10)
    assert not early
    assert {type(error) for error in failures} <= {CrashError}
    assert failures, "the faults happened"
    assert_exact(store, kafka)
    store.fault = lambda _: None
    assert_limit_is_right(store, kafka)
