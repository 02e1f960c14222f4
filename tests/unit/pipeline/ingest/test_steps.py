"""The steps of the ingest, run one by one without a thread."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from pipeline.decode.decoder import Decoder
from pipeline.ingest import decode_step
from pipeline.ingest.dossier_resolver import TouchedDossiers
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.errors import Fatal
from tests.factories import LATEST, TOPIC, a_message, an_event
from tests.fakes import MemoryBatch, MemoryStore


class Rig:
    """Steps over a store in memory, and what they acknowledged."""

    def __init__(self, registry):
        self.store, self.acknowledged = MemoryStore(), []
        self.steps = IngestSteps(
            decoder=Decoder(registry),
            store=self.store,
            index=self.store,
            settings=IngestSettings(),
            metrics=WorkerMetrics(CollectorRegistry()),
            clock=ManualClock(LATEST),
            acknowledge=lambda fetches: self.acknowledged.extend(fetch.receipt for fetch in fetches),
            checkpoints=self.store,
        )

    def store_fetch(self, receipt, *messages):
        fetch = Fetch(TOPIC, 0, [MemoryBatch(0, messages)], len(messages), sum(map(len, messages)), receipt)
        self.steps.offer(fetch)
        self.steps.store(*self.steps.decode([fetch]))

    def recount(self, *, dossiers=True):
        if dossiers:
            self.steps.dossiers.round()
        recounter = self.steps.recounter
        for recount in (recounter.minutes_round, recounter.days_round, recounter.procedures_round):
            recount()

    def submitted(self):
        """Dossiers submitted by the minute, day and procedure tallies."""
        tiers = (self.store.minutes, self.store.days, self.store.procedures)
        return tuple(sum(tally.counts.submitted for tally in tier.values()) for tier in tiers)


@pytest.fixture
def rig(registry):
    """Steps over the packaged registry."""
    return Rig(registry)


def test_a_fetch_is_acknowledged_when_every_tier_has_counted_it(rig):
    """A fetch is visible after the minutes, tallied after days and dossiers, acknowledged after procedures; not earlier."""
    rig.store_fetch("one", a_message(an_event(status=1)), b"{")
    acknowledger, recounter = rig.steps.acknowledger, rig.steps.recounter
    assert (acknowledger.stored, acknowledger.visible, acknowledger.unacknowledged) == (1, 0, 2)
    assert (rig.steps.budget.rows, rig.steps.budget.size) == (0, 0), "a stored fetch takes no memory"
    recounter.minutes_round()
    assert (acknowledger.visible, rig.acknowledged) == (1, [])
    recounter.days_round()
    assert (acknowledger.untallied, acknowledger.exact) == (2, 0)
    assert not rig.steps.dossiers.round()
    assert (acknowledger.untallied, acknowledger.exact, acknowledger.unacknowledged, rig.acknowledged) == (0, 1, 2, [])
    recounter.procedures_round()
    assert (rig.acknowledged, acknowledger.unacknowledged) == (["one"], 0)


def test_what_a_dossier_corrects_is_recounted_before_the_acknowledgement(rig):
    """A dossier that is first seen settled is corrected; its minute, day and procedure are recounted again, then acknowledged."""
    rig.store_fetch("one", a_message())
    rig.recount(dossiers=False)
    assert rig.submitted() == (0, 0, 0)
    rig.steps.dossiers.round()
    recounter = rig.steps.recounter
    for recount in (recounter.minutes_round, recounter.days_round):
        assert (rig.acknowledged, rig.steps.acknowledger.untallied) == ([], 1)
        recount()
    assert (rig.acknowledged, rig.steps.acknowledger.untallied) == ([], 0)
    recounter.procedures_round()
    assert (rig.acknowledged, rig.submitted()) == (["one"], (1, 1, 1))


def test_the_tables_are_checked_once_before_each_acknowledgement(rig):
    """However many recounts there were, the tables are checked once, after all of them and before the acknowledgement."""
    steps = []
    rig.store.fault = lambda step: steps.append((step, len(rig.acknowledged)))
    recounter = rig.steps.recounter
    for receipt in ("one", "two", "three"):
        rig.store_fetch(receipt, a_message())
        rig.steps.dossiers.round()
        recounter.minutes_round()
        recounter.days_round()
    assert "check_tables" not in dict(steps), "nothing can be acknowledged yet"
    recounter.procedures_round()
    assert rig.acknowledged == ["one", "two", "three"]
    assert [step for step, _ in steps].count("check_tables") == 1
    assert ("check_tables", 0) in steps[-3:], "after the last recount, before the acknowledgement"
    assert steps[-2:] == [("confirm", 3), ("confirm:done", 3)], "after the acknowledgement"


def test_what_is_counted_during_a_check_waits_for_the_next(rig):
    """A recount that ends while the tables are checked is not covered by that check: its fetch waits for another one."""
    acknowledged_at_checks = []
    buckets = rig.steps.dirty_buckets

    def fault(step):
        if step == "check_tables":
            acknowledged_at_checks.append(list(rig.acknowledged))
            if len(acknowledged_at_checks) == 1:
                rig.store_fetch("two", a_message())
                buckets.dossiers_resolved(buckets.take_dossiers(9), {})
                buckets.minutes_recounted(buckets.take_live_minutes(15))  # as the other loops do meanwhile
                buckets.days_recounted(buckets.take_days(9))
                buckets.procedures_recounted(buckets.take_procedures(9))
                assert buckets.counted_through() == 2

    rig.store.fault = fault
    rig.store_fetch("one", a_message())
    rig.recount()
    assert rig.acknowledged == ["one"]
    rig.steps.acknowledger.acknowledge_counted()
    assert rig.acknowledged == ["one", "two"]
    assert acknowledged_at_checks == [[], ["one"]]


def test_a_failed_check_acknowledges_nothing(rig):
    """When the check of the tables fails, nothing is acknowledged, and nothing is taken as acknowledged."""

    def fault(step):
        if step == "check_tables":
            raise Fatal("a row policy hides rows")

    rig.store_fetch("one", a_message())
    rig.store.fault = fault
    with pytest.raises(Fatal, match="row policy"):
        rig.recount()
    assert (rig.acknowledged, rig.steps.acknowledger.unacknowledged) == ([], 1)


def test_a_fetch_without_events_needs_no_recount(rig):
    """A fetch that makes no tally dirty is acknowledged as soon as its dead letters are stored."""
    rig.store_fetch("bad", b"{", b"[")
    assert rig.acknowledged == ["bad"]
    assert len(rig.store.letters) == 2


def test_an_offered_fetch_takes_memory_until_it_is_stored(rig):
    """The memory budget counts a fetch from the offer to the end of the store step."""
    fetch = Fetch(TOPIC, 0, [MemoryBatch(0, (a_message(),))], 1, 300, "one")
    rig.steps.offer(fetch)
    (batch,) = rig.steps.decode([fetch])
    assert (rig.steps.budget.rows, rig.steps.budget.size) == (1, 300)
    rig.steps.store(batch)
    assert (rig.steps.budget.rows, rig.steps.budget.size) == (0, 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_fetch_in_several_batches_is_acknowledged_when_all_are_stored(rig, monkeypatch, order):
    """A large fetch is decoded in parts. Whichever is stored last, the fetch is acknowledged only then."""
    monkeypatch.setattr(decode_step, "_MAX_BYTES", 1)
    fetch = Fetch(TOPIC, 0, [MemoryBatch(0, (b"{", b"[", b"x"), piece_size=1)], 3, 300, "large")
    rig.steps.offer(fetch)
    batches = list(rig.steps.decode([fetch]))
    assert len(batches) == 3
    acknowledger, stored = rig.steps.acknowledger, []
    for number in order:  # two threads store, and either may come here first
        assert (stored, rig.acknowledged) == ([], [])
        stored += acknowledger.batch_stored(batches[number], TouchedDossiers.nothing(), defer=False)
        acknowledger.acknowledge_counted()
    assert (stored, rig.acknowledged) == ([fetch], ["large"])


def test_a_part_that_is_stored_early_acknowledges_nothing(rig, monkeypatch):
    """Every part that exists is stored before the next one is decoded: the fetch waits for the parts that do not exist yet."""
    monkeypatch.setattr(decode_step, "_MAX_BYTES", 1)
    fetch = Fetch(TOPIC, 0, [MemoryBatch(0, (b"{", b"[", b"x"), piece_size=1)], 3, 300, "large")
    rig.steps.offer(fetch)
    seen = []
    for batch in rig.steps.decode([fetch]):
        rig.steps.store(batch)
        seen.append((list(rig.acknowledged), rig.steps.budget.size))
    assert seen == [([], 300), ([], 300), (["large"], 0)]
    assert len(rig.store.letters) == 3


def test_the_whole_size_of_a_cut_value_is_told(rig):
    """The dead letter of a value that was too large to hold tells its whole size and how much is kept."""
    fetch = Fetch(TOPIC, 0, [MemoryBatch(7, (bytes(100_000),), whole_sizes={7: 1 << 30})], 1, 300, "one")
    rig.steps.offer(fetch)
    rig.steps.store(*rig.steps.decode([fetch]))
    [(letter, _)] = rig.store.letters.values()
    assert (letter.offset, letter.reason, len(letter.value)) == (7, "too_large", 100_000)
    assert letter.error == "1073741824 bytes; the limit is 65536; the first 100000 bytes are kept"
