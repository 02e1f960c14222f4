"""Whole audits over a store in memory: comparison, repair, repeats, Kafka."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from domain.errors import UnavailableError
from domain.periods import Period
from pipeline.audit.json_format import encode_report
from pipeline.audit.options import KafkaCheck
from pipeline.audit.report import DeepCheck
from pipeline.audit.run import offset_faults
from pipeline.audit.steps import PartitionOffsets
from pipeline.cli.audit import verdict
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.tallies import Counts, Span
from sinks.errors import Retryable
from sinks.tables import EPOCH
from tests.factories import MORNING, TOPIC, a_message, an_event, rows_of
from tests.fakes import MINUTE, Tally
from tests.unit.pipeline.audit.helpers import DAY, TODAY, Log, RecordedProgress, UnknownMembers, Unreachable, take


def test_right_tallies_are_clean_at_once(audit, store):
    """Without a difference the audit compares everything and does not wait, and every stage of its progress completes."""
    take(store, an_event(), an_event(agency="G01", occurred_at=MORNING + 3 * DAY))
    progress = RecordedProgress()
    report, waits = audit(store, progress=progress)
    assert report.clean
    assert waits == []
    assert (report.days, report.rows) == (2, 2)
    assert report.buckets == {"agency_minute": 2, "agency_day": 2, "agency_day_procedure": 2}
    assert all(done == total for _, total, done in progress.stages)


def test_an_empty_storage_is_clean(audit, store):
    """Nothing stored, nothing wrong."""
    report, _ = audit(store)
    assert report.clean
    assert encode_report(report)["scopes"]["agency_day"] == {"buckets": 0, "differing": 0, "drift": 0, "late": 0, "in_hand": 0}


def test_what_is_late_is_not_wrong(audit, store):
    """A difference that a worker corrects meanwhile is gone in the second comparison."""
    event = an_event()
    store.insert_events(rows_of([event]))
    report, waits = audit(store, meanwhile=lambda: take(store, event), settle=7)
    assert report.clean
    assert waits == [7]


def test_traffic_that_never_rests_is_not_wrong(audit, store):
    """Under steady traffic every comparison finds late tallies. None is drift, because the events are never old enough."""

    def traffic():
        take(store, *old)  # earlier events are recounted, new ones are not
        old[:] = [an_event()]
        store.insert_events(rows_of(old))

    old = [an_event()]
    store.insert_events(rows_of(old))
    report, _ = audit(store, meanwhile=traffic, settle=5)
    assert report.clean


def test_what_the_workers_have_in_hand_is_late_however_long_it_takes(audit, store):
    """Events that the group has not acknowledged are late, not wrong; the report says by how many, and how many are in hand."""
    counted, waiting = [an_event() for _ in range(3)], [an_event() for _ in range(1200)]
    take(store, *counted)
    store.insert_events(rows_of(waiting, offset=3))
    store.recount_minutes(Span(*Period(TODAY, TODAY).instants()))
    report, _ = audit(store, log=Log(1, p0=(0, 3, [b""] * 1203)), settle=86_400)
    assert report.clean
    assert report.fallback_reason is None
    assert report.late == {"agency_minute": 0, "agency_day": 1200, "agency_day_procedure": 1200}
    assert report.in_hand == dict.fromkeys(report.late, 1200)
    assert encode_report(report)["scopes"]["agency_day"] == {
        "buckets": 1,
        "differing": 0,
        "drift": 0,
        "late": 1200,
        "in_hand": 1200,
    }
    assert list(verdict(report)) == [
        "No tally is wrong.",
        (
            "The day tallies are 1,200 events late, the procedure tallies are 1,200 events late; "
            "1,200 events are not acknowledged yet. Wait, or recount them with --repair."
        ),
    ]


def test_a_wrong_tally_beside_late_ones_is_found(audit, store):
    """A difference beyond the events in hand is drift, with its exact amount; so are acknowledged events not counted."""
    store.insert_events(rows_of([an_event() for _ in range(10)]))
    report, _ = audit(store, log=Log(1, p0=(0, 4, [b""] * 10)))
    assert not report.clean
    assert report.drift == dict.fromkeys(report.drift, 4)
    assert report.late == dict.fromkeys(report.drift, 6)
    assert next(iter(verdict(report))) == "Tallies are wrong. Recount them with --repair."
    store.days["H17", TODAY] = Tally(1, Counts(events=13, settled=10, settled_full=10, settled_full_any_return=10), MORNING)
    report, _ = audit(store, log=Log(1, p0=(0, 0, [b""] * 10)))
    assert report.drift == {"agency_minute": 0, "agency_day": 3, "agency_day_procedure": 0}


def test_late_tallies_are_recounted_when_asked(audit, store):
    """A repair also counts what the workers have in hand, in case a worker does not come back."""
    store.insert_events(rows_of([an_event(), an_event(agency="G01")]))
    report, _ = audit(store, log=Log(1, p0=(0, 0, [b""] * 2)), repair=True)
    assert report.clean
    assert report.repaired.late == dict.fromkeys(report.late, 2)
    assert report.late == dict.fromkeys(report.late, 0)
    assert list(verdict(report)) == ["Every tally is right."]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (Log(0, p0=(0, 0, [b""] * 2)), "no worker is in the consumer group"),
        (Unreachable(), "No broker answers"),
        (UnknownMembers(1, p0=(0, 0, [b""] * 2)), "Kafka does not list the members of the group"),
        (Log(1, p0=(0, 9, [b""] * 2)), None),  # committed in an earlier topic of the same name
    ],
)
def test_where_kafka_tells_nothing_the_age_of_events_decides(audit, store, log, reason):
    """Without workers, a broker or valid offsets, events older than the settling time must be tallied; the report says why."""
    store.insert_events(rows_of([an_event(), an_event()]))
    report, _ = audit(store, log=log, settle=5)
    assert report.drift == dict.fromkeys(report.drift, 2)
    assert report.fallback_reason == reason
    if reason is not None:
        assert reason in list(verdict(report))[-1]
    report, _ = audit(store, log=log, settle=5, meanwhile=lambda: store.insert_events(rows_of([an_event()], offset=2)))
    assert (report.drift, report.late) == (dict.fromkeys(report.drift, 2), dict.fromkeys(report.drift, 1))


def test_what_stays_wrong_is_reported(audit, store):
    """A tally that both comparisons find wrong makes the audit fail, with its amount, and is not changed."""
    take(store, an_event(), an_event(agency="G01"))
    store.days["H17", TODAY] = Tally(9, Counts(events=4, settled=1, settled_full=1, settled_full_any_return=1), MORNING)
    report, waits = audit(store)
    assert not report.clean
    assert (report.differing, report.drift) == (
        {"agency_minute": 0, "agency_day": 1, "agency_day_procedure": 0},
        {"agency_minute": 0, "agency_day": 3, "agency_day_procedure": 0},
    )
    assert [(finding.agency, finding.bucket.isoformat(), finding.wrong_counts) for finding in report.findings] == [
        ("H17", "2024-01-02", {"events": (1, 4)})
    ]
    assert len(waits) == 1
    assert store.days["H17", TODAY].counts.events == 4
    assert report.repaired is None


def test_only_the_days_asked_for_are_audited(audit, store):
    """A wrong tally outside of the days is not compared."""
    take(store, an_event(), an_event(occurred_at=MORNING + DAY))
    store.days.clear()
    assert not audit(store, first=TODAY, last=TODAY)[0].clean
    assert audit(store, first=TODAY + 2 * DAY)[0].clean
    assert audit(store, last=TODAY + DAY)[0].drift["agency_day"] == 2


def test_a_plain_recount_repairs_without_a_new_epoch(audit, store):
    """A repair by plain recounts raises no epoch; the second audit finds nothing."""
    take(store, an_event())
    store.insert_events(rows_of([an_event(agency="G01")]))
    report, _ = audit(store, repair=True)
    assert report.clean
    assert report.repaired.drift == {"agency_minute": 1, "agency_day": 1, "agency_day_procedure": 1}
    assert report.repaired.epochs == []
    assert store.epoch == 0
    assert audit(store)[0].clean


def test_too_high_and_orphaned_tallies_need_a_new_epoch(audit, store):
    """Tallies that are too high, or have no events, are corrected after the epoch was raised once for all days."""
    take(store, an_event(), an_event(occurred_at=MORNING + DAY))
    store.minutes["H17", MORNING] = Tally(7 * EPOCH + 3, Counts(events=3), MORNING)
    store.procedures["H17", TODAY + DAY, "9.9"] = Tally(4, Counts(events=4), MORNING)
    report, _ = audit(store, repair=True)
    assert report.clean
    assert report.repaired.epochs == [8]
    assert report.repaired.days == (TODAY, TODAY + DAY)
    assert store.procedures["H17", TODAY + DAY, "9.9"].counts == Counts()
    take(store, an_event())
    assert audit(store)[0].clean


def test_a_repair_recounts_the_differing_agencies_only(audit, store):
    """Other agencies of the day, and other days, are not recounted."""
    take(store, an_event(), an_event(agency="G01"), an_event(agency="G01", occurred_at=MORNING + DAY))
    store.days["H17", TODAY] = Tally(1, Counts(events=2), MORNING)
    spans = []
    plain = store.recount_minutes
    store.recount_minutes = lambda span: (spans.append(span), plain(span))
    assert audit(store, repair=True)[0].clean
    start = dt.datetime(2024, 1, 1, 17, tzinfo=dt.UTC)
    assert spans == [Span(start, start + DAY, ("H17",))]


def test_a_repair_is_done_again_when_a_slow_worker_spoils_it(audit, store):
    """A recount of older events may write after the repair; the next comparison finds it, and the repair is repeated."""
    take(store, an_event())
    store.days["H17", TODAY] = Tally(9, Counts(events=9), MORNING)
    plain, rolled_up = store.roll_up_days, []

    def spoiled(days):
        plain(days)
        if not rolled_up:
            store.days["H17", TODAY] = Tally(store.epoch * EPOCH + 1, Counts(events=1), MORNING)
        rolled_up.append(days)

    store.roll_up_days = spoiled
    report, waits = audit(store, repair=True)
    assert report.clean
    assert (len(rolled_up), len(waits)) == (2, 2)
    assert report.repaired.epochs == [1]


def test_a_repair_that_does_not_help_is_reported(audit, store):
    """When tallies stay wrong the audit reports it after a few attempts."""
    take(store, an_event())
    store.days.clear()
    store.roll_up_days = lambda _: None
    report, waits = audit(store, repair=True)
    assert not report.clean
    assert report.drift["agency_day"] == 1
    assert len(waits) == 1 + 3


def test_rows_that_cannot_be_removed_are_reported_and_no_failure(audit, store):
    """When replaced rows cannot be removed, the repair succeeds and reports it."""
    take(store, an_event())
    store.days["H17", TODAY] = Tally(9, Counts(events=9), MORNING)

    def fault(step):
        if step.startswith("purge_superseded"):
            raise Retryable("too busy")

    store.fault = fault
    report, _ = audit(store, repair=True)
    assert report.clean
    assert report.repaired.problem == "too busy"


def test_repeats_are_reported_and_not_judged(audit, store):
    """Ids in several dossiers and contradicting contents are listed; the tallies are right."""
    one = an_event()
    again = an_event(event_id=one.event_id, agency="G01")
    moved = an_event(event_id=again.event_id, dossier_code=one.dossier_code, occurred_at=MORNING + MINUTE)
    take(store, one, again, moved, an_event(status=4))
    take(store, dataclasses.replace(one, legacy_level=4))
    report, _ = audit(store)
    assert report.clean
    assert (report.reused_event_ids.count, list(report.reused_event_ids.examples)) == (1, [str(one.event_id)])
    assert (report.contradictions.count, list(report.contradictions.examples)) == (1, [str(one.event_id)])
    assert audit(store, repeats=False)[0].reused_event_ids is None


@pytest.mark.parametrize(
    ("begin", "committed", "end", "words"),
    [
        (0, None, 9, None),
        (0, 0, 0, None),
        (3, 3, 9, None),
        (0, 9, 9, None),
        (0, 10, 9, "not the one that was read"),
        (4, 3, 9, "offsets 3 to 3 left the log before they were read: their messages may be lost"),
    ],
)
def test_what_offsets_prove(begin, committed, end, words):
    """A committed offset beyond the end, or below the beginning, is a fault; lag and a new group are not."""
    faults = offset_faults(PartitionOffsets(2, begin, committed, end, None))
    assert bool(faults) == (words is not None)
    assert words is None or words in faults[0]


def test_every_acknowledged_message_is_looked_up(audit, store):
    """Deep: messages below the committed offset are stored or dead-lettered; those above are not checked."""
    events = [an_event() for _ in range(7)]
    take(store, *events)
    kept = [a_message(event) for event in events]
    store.insert_dead_letters([DeadLetter(TOPIC, 0, 7, None, b"{", "not_json", "")])
    log = Log(p0=(0, 8, [*kept, b"{", a_message()]), p1=(0, None, [b"waiting"]))
    report, _ = audit(store, log=log, kafka=KafkaCheck.DEEP)
    assert report.clean
    assert report.kafka.deep == DeepCheck(8, 0, ())
    assert [part.highest_kept for part in report.kafka.offsets.partitions] == [7, None]


def test_an_acknowledged_message_that_is_gone(audit, store):
    """Deep: an event that is not stored, or an invalid message without a dead letter, makes the audit fail, by position."""
    stored, lost = an_event(), an_event()
    take(store, stored)
    log = Log(p3=(0, 4, [a_message(stored), a_message(lost), b"{", None, a_message()]))
    report, _ = audit(store, log=log, kafka=KafkaCheck.DEEP)
    assert not report.clean
    assert report.kafka.deep == DeepCheck(4, 3, tuple(f"{TOPIC}/3/{offset}" for offset in (1, 2, 3)))
    assert report.kafka.faults == ("3 acknowledged messages are neither stored nor dead-lettered.",)
    assert list(verdict(report)) == ["Every tally is right for the messages that are stored, but not all are."]
    assert audit(store, log=log, kafka=KafkaCheck.OFFSETS)[0].clean


def test_a_broker_that_is_unavailable(audit, store):
    """An audit of Kafka fails with the reason when Kafka is unavailable; an audit without Kafka does not connect."""

    class Unavailable:
        def partitions(self):
            raise UnavailableError("No broker.")

    with pytest.raises(UnavailableError, match="No broker"):
        audit(store, log=Unavailable(), kafka=KafkaCheck.OFFSETS)
    assert audit(store, log=Unavailable())[0].clean
