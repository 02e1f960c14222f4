"""The dossier tier: rounds, retries, back-pressure, deferral, and how it stops."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import uuid

import pyarrow as pa
import pytest

from domain.clock import ManualClock
from pipeline.ingest import dossier_tier
from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.dossier_resolver import Corrected, TouchedDossiers
from pipeline.ingest.dossier_tier import DossierTier
from pipeline.ingest.minute_spans import DirtyHour
from pipeline.ingest.storage_retry import StorageRetry
from sinks.errors import Fatal, Retryable
from tests.factories import LATEST, MORNING, an_event, rows_of
from tests.fakes import MemoryStore

DAY = dt.timedelta(days=1)
HOUR = int(MORNING.timestamp()) // 3600
DIRTY = {HOUR: DirtyHour(1 << 30, frozenset({0}))}


def confirmed(store):
    """The confirmed claims of a store."""
    return [(message, claim) for message, claim, is_confirmed in store.index if is_confirmed]


def corrected_at(agencies):
    """Corrections of these agencies in one hour."""
    instants = pa.array([HOUR * 3_600_000] * len(agencies)).cast(pa.timestamp("ms", "UTC"))
    return Corrected(pa.table({"agency": agencies, "occurred_at": instants}))


class Rig:
    """A tier over a store in memory."""

    def __init__(self):
        self.store, self.buckets, self.resolved = MemoryStore(), DirtyBuckets(), 0
        self.is_flooded = False
        self.tier = DossierTier(
            dirty_buckets=self.buckets,
            index=self.store,
            retrying=StorageRetry(ManualClock(LATEST)),
            agencies=("H17", "G01"),
            interval=0.0,
            on_resolved=self.on_resolved,
            flooded=lambda: self.is_flooded,
            stopping=threading.Event(),
        )

    def on_resolved(self):
        self.resolved += 1

    def stored(self, *events, defer=False, offset=0, at_once=True):
        """A batch is stored and indexed."""
        return self.buckets.batch_stored(DIRTY, self.tier.add(rows_of(list(events), offset=offset), at_once=at_once), defer=defer)


@pytest.fixture
def rig():
    """A tier with nothing to do."""
    return Rig()


class OneRest:
    """Is set by the first wait; records it."""

    def __init__(self):
        self.seconds = None

    def is_set(self):
        return self.seconds is not None

    def wait(self, seconds):
        self.seconds = seconds
        return True


@pytest.mark.parametrize("step", [0.2, 0.01])
def test_after_a_round_the_tier_rests_as_long_as_a_slow_storage_took(rig, step):
    """The rest follows from the duration of the round: on a slow storage it is as long, on a fast one the interval decides."""
    now, stopping = [0.0], OneRest()
    rig.tier.monotonic, rig.tier.stopping, rig.tier.interval = lambda: now[0], stopping, 0.5
    steps = []

    def fault(at):
        steps.append(at)
        now[0] += step

    rig.stored(an_event())
    rig.store.fault = fault
    rig.tier.wake()
    rig.tier.run()
    assert steps
    assert stopping.seconds == pytest.approx(max(0.5 - step * len(steps), step * len(steps)))


def test_a_round_without_work_touches_nothing(rig):
    """Where nothing was stored, a round asks the storage nothing."""
    steps = []
    rig.store.fault = steps.append
    assert not rig.tier.round()
    assert (steps, rig.resolved) == ([], 0)


def test_a_batch_without_rows_is_not_indexed(rig):
    """A batch of dead letters alone writes nothing into the index, and holds nothing up."""
    steps = []
    rig.store.fault = steps.append
    assert rig.tier.add(rows_of([]).drop_columns(["partition"]), at_once=True).messages == 0
    assert steps == []
    assert rig.buckets.batch_stored({}, TouchedDossiers.nothing()) == rig.buckets.counted_through() == 1


def test_a_round_resolves_what_waits_and_makes_corrected_hours_due(rig):
    """A corrected message makes its hour due again; a plain one does not."""
    rig.stored(an_event(status=1))
    rig.buckets.minutes_recounted(rig.buckets.take_live_minutes(60))
    assert not rig.tier.round()
    assert (rig.buckets.due()[0], rig.buckets.unresolved_messages(), rig.resolved) == (0, 0, 1)
    rig.stored(an_event(status=4), offset=1)
    rig.buckets.minutes_recounted(rig.buckets.take_live_minutes(60))
    assert not rig.tier.round()
    assert (rig.buckets.due()[0], len(rig.store.corrections), rig.resolved) == (1, 1, 2)


def test_hours_are_deferred_in_a_flood(rig):
    """The hours of a deferred batch become due when its dossiers are resolved, and it is neither visible nor counted before."""
    batch = rig.stored(an_event(status=1), defer=True)
    assert (rig.buckets.due(), rig.buckets.minutes_through(), rig.buckets.counted_through()) == ((0, 0, 0), batch - 1, batch - 1)
    rig.tier.round()
    assert rig.buckets.due() == (1, 0, 1)


@pytest.mark.parametrize("step", ["suspects", "histories", "claim", "correct", "correct:done"])
def test_each_call_is_repeated_while_the_storage_is_unavailable(rig, step):
    """An outage at any call delays a round and changes nothing."""
    left = [2]

    def fault(at):
        if at == step and left[0]:
            left[0] -= 1
            raise Retryable("unavailable", retry_after=0.001)

    rig.stored(an_event(status=4))
    rig.store.fault = fault
    assert not rig.tier.round()
    assert (left, len(rig.store.corrections), rig.buckets.unresolved_messages()) == ([0], 1, 0)


def test_indexing_is_repeated_while_the_storage_is_unavailable(rig):
    """Rows are indexed as soon as the storage answers."""
    left = [2]

    def fault(at):
        if at == "add" and left[0]:
            left[0] -= 1
            raise Retryable("unavailable", retry_after=0.001)

    rig.store.fault = fault
    rig.stored(an_event())
    assert (left, len(rig.store.index)) == ([0], 1)


def test_a_failed_round_leaves_its_batches_unresolved(rig):
    """Another error ends the worker; its batches are neither resolved nor counted."""
    rig.stored(an_event(status=4))
    rig.store.fault = lambda at: (_ for _ in ()).throw(Fatal("gone")) if at == "claim" else None
    with pytest.raises(Fatal):
        rig.tier.round()
    assert (rig.buckets.unresolved_messages(), rig.buckets.counted_through(), rig.resolved) == (1, 0, 0)


def test_a_batch_is_not_counted_while_its_dossiers_are_resolved(rig):
    """Even when all that its messages made due is recounted: what its dossiers correct is not known yet."""
    counted = []

    def fault(at):
        if at == "claim":
            rig.buckets.minutes_recounted(rig.buckets.take_live_minutes(60))
            rig.buckets.days_recounted(rig.buckets.take_days(1))
            counted.append((rig.buckets.due(), rig.buckets.counted_through()))

    rig.stored(an_event(status=4))
    rig.store.fault = fault
    rig.tier.round()
    assert counted == [((0, 0, 0), 0)]


def test_small_batches_are_indexed_together(rig):
    """Their rows wait for the next round and are indexed in one insert, before the round looks; beyond a limit none wait."""
    rig.tier.max_unindexed = 3
    steps = []
    rig.store.fault = lambda at: steps.append((at, len(rig.store.index)))
    for offset in range(3):
        rig.stored(an_event(status=4), offset=offset, at_once=False)
    assert (len(rig.store.index), rig.buckets.unresolved_messages()) == (0, 3)
    rig.stored(an_event(status=4), offset=3, at_once=False)
    assert len(rig.store.index) == 1
    rig.tier.round()
    assert [at for at, _ in steps].count("add") == 2
    assert next(rows for at, rows in steps if at == "claim") == 4
    assert rig.buckets.unresolved_messages() == 0


def test_procedures_are_due_only_after_their_dossiers_are_resolved(rig):
    """They are recounted once, with the corrections, instead of twice; a round without work does not delay the next one."""
    rig.stored(an_event(status=4))
    assert rig.buckets.due() == (1, 0, 0)
    rig.tier.round()
    assert rig.buckets.due() == (1, 0, 1)


def test_storing_waits_while_too_many_messages_are_unresolved(rig, monkeypatch):
    """The tier is full from its limit on, also while the messages are being resolved, and empties with a round."""
    monkeypatch.setattr(dossier_tier, "_MAX_UNRESOLVED", 2)
    rig.stored(an_event())
    assert not rig.tier.full
    rig.stored(an_event(), offset=1)
    seen = []
    rig.store.fault = lambda _: seen.append(rig.tier.full)
    assert rig.tier.full
    rig.tier.round()
    assert all(seen)
    assert not rig.tier.full


def test_the_age_of_what_waits_is_that_of_the_oldest(rig):
    """Stored messages wait since they were indexed, until their dossiers are resolved; nothing waits for 0 seconds."""
    now = [100.0]
    rig.tier.monotonic = lambda: now[0]
    assert rig.tier.oldest_seconds() == 0
    for offset, instant in enumerate((100.0, 103.0)):
        now[0] = instant
        rig.stored(an_event(), offset=offset)
    now[0] = 107.5
    ages = []
    rig.store.fault = lambda _: ages.append(rig.tier.oldest_seconds())
    assert rig.tier.oldest_seconds() == 7.5
    rig.tier.round()
    assert set(ages) == {7.5}, "also while they are resolved"
    assert rig.tier.oldest_seconds() == 0


def test_a_round_takes_a_limited_number_of_messages(rig, monkeypatch):
    """A round takes whole batches up to its limit, the oldest first, and says that more wait."""
    monkeypatch.setattr(dossier_tier, "_MAX_MESSAGES", 2)
    for offset in range(3):
        rig.stored(an_event(), offset=offset)
    assert rig.tier.round()
    assert rig.buckets.unresolved_messages() == 1
    assert not rig.tier.round()


def test_a_correction_of_an_unknown_agency_recounts_all_agencies(rig):
    """The dossier may hold messages of an agency that another release stored: its hour is then recounted for all of them."""
    corrected = corrected_at(["H17", "X99"])
    assert rig.tier._hours(corrected) == {HOUR: DirtyHour(1, None)}
    known = corrected_at(["G01"])
    assert rig.tier._hours(known) == {HOUR: DirtyHour(1, frozenset({1}))}


def test_a_correction_is_confirmed_when_it_is_counted(rig):
    """A claim is confirmed once every batch up to the one that it was made for is counted, and only once."""
    first = rig.stored(an_event(status=4))
    second = rig.stored(an_event(dossier_code="H17-240102-0001", status=1), offset=1)
    rig.tier.round()
    rig.tier.confirm(first - 1)
    assert not confirmed(rig.store)
    rig.tier.confirm(second)
    (claim,) = confirmed(rig.store)
    assert claim in {(message, claim) for message, claim, _ in rig.store.index}
    steps = []
    rig.store.fault = steps.append
    rig.tier.confirm(second)
    assert steps == []


def test_what_is_confirmed_is_not_written_again(rig):
    """A dossier whose corrections are confirmed needs no write, and makes no tally due, when its next message changes nothing."""
    event = an_event(status=4)
    rig.stored(event)
    rig.tier.round()
    rig.tier.confirm(1)
    rig.buckets.minutes_recounted(rig.buckets.take_live_minutes(60))
    steps = []
    rig.store.fault = steps.append
    rig.stored(dataclasses.replace(event, event_id=uuid.UUID(int=7), status=9, occurred_at=event.occurred_at + DAY), offset=1)
    rig.tier.round()
    assert not {"claim", "correct"} & set(steps)


def test_the_loop_resolves_when_woken_and_stops(rig):
    """A stored batch wakes the loop; it ends when the worker stops, also while it waits in a flood."""
    done = threading.Event()
    rig.tier.on_resolved = done.set
    loop = threading.Thread(target=rig.tier.run)
    loop.start()
    rig.stored(an_event(status=4))
    rig.tier.wake()
    assert done.wait(60)
    rig.is_flooded = True
    rig.tier.wake()
    rig.tier.stopping.set()
    loop.join(60)
    assert not loop.is_alive()
