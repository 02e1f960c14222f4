"""The continuous audit over a store in memory."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.clock import ManualClock
from domain.errors import UnavailableError
from domain.tiers import Tier
from pipeline.audit.continuous import ContinuousAudit
from pipeline.audit.in_hand import InHand
from pipeline.serving.exporter import AuditCollector
from sinks.contract.tallies import Counts
from sinks.errors import Retryable
from sinks.tables import EPOCH
from tests.factories import LATEST, MORNING, an_event, rows_of
from tests.fakes import NothingToCheck, Tally
from tests.unit.pipeline.audit.helpers import DAY, TODAY, Log, ManualTicks, asking_every_time, take, take_only


def continuous(store, *, interval=15.0, duty=20.0, settle=60.0, monotonic=None, in_hand=InHand):
    """A continuous audit over a store. By default Kafka says nothing about events in hand."""
    return ContinuousAudit(
        store,
        dossiers=NothingToCheck(),
        interval=interval,
        duty=duty,
        settle=settle,
        in_hand=in_hand,
        clock=ManualClock(LATEST),
        monotonic=monotonic or ManualTicks(),
    )


def exported(audit):
    """What a scrape exports of it."""
    collectors = CollectorRegistry()
    collectors.register(AuditCollector(lambda: audit.state))
    families = text_string_to_metric_families(generate_latest(collectors).decode())
    return {(sample.name, sample.labels.get("scope")): sample.value for family in families for sample in family.samples}


def test_every_scope_is_exported_from_the_start(store):
    """Before the first round each scope is 0 and the last success is 0."""
    assert exported(continuous(store)) == {
        ("portalpulse_audit_drift_events", "agency_minute"): 0,
        ("portalpulse_audit_drift_events", "agency_day"): 0,
        ("portalpulse_audit_drift_events", "agency_day_procedure"): 0,
        ("portalpulse_audit_drift_events", "dossiers"): 0,
        ("portalpulse_audit_last_success_timestamp_seconds", None): 0,
        ("portalpulse_audit_failures_total", None): 0,
    }


def test_drift_is_exported_after_two_rounds(store, clock):
    """A tally that counts too much is exported after the second round, in its tier, until it is right."""
    take(store, an_event(occurred_at=MORNING - 100 * DAY), an_event())
    clock.advance(3600)
    store.days["H17", TODAY] = Tally(1, Counts(events=4, settled=1, settled_full=1, settled_full_any_return=1), MORNING)
    audit = continuous(store)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0) | {Tier.DAY: 3}
    assert exported(audit)["portalpulse_audit_last_success_timestamp_seconds", None] == LATEST.timestamp()
    take(store, an_event())
    store.days["H17", TODAY] = Tally(2, Counts(events=2, settled=2, settled_full=2, settled_full_any_return=2), MORNING)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)


def test_what_is_younger_than_the_settling_time_is_not_drift(store, clock):
    """Events that are not tallied are late until the settling time is over, and drift afterwards."""
    store.insert_events(rows_of([an_event(), an_event()]))
    audit = continuous(store, settle=60)
    for _ in range(3):
        clock.advance(15)
        audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)
    clock.advance(15)
    audit.round()
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 2)


def test_workers_that_are_slow_cause_no_drift(store, clock):
    """Events in hand are never drift, however old; acknowledged events that no tally counts are."""
    store.insert_events(rows_of([an_event(), an_event()]))
    log = Log(1, p0=(0, 0, [b""] * 2))
    audit = continuous(store, settle=60, in_hand=asking_every_time(store, lambda: log))
    for _ in range(5):
        clock.advance(3600)
        audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)
    log = Log(1, p0=(0, 2, [b""] * 2))
    for _ in range(2):
        clock.advance(1)
        audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 2)


def test_while_kafka_is_gone_events_in_hand_are_still_no_drift(store, clock):
    """Nothing is acknowledged meanwhile, and a busy worker may count what it holds for longer than the settling time."""
    store.insert_events(rows_of([an_event(), an_event()]))
    answer = [Log(1, p0=(0, 0, [b""] * 2))]

    def topic():
        if not answer:
            raise UnavailableError("No Kafka broker answers.")
        return answer[0]

    audit = continuous(store, settle=60, in_hand=asking_every_time(store, topic))
    audit.round()
    answer.clear()
    for _ in range(5):
        clock.advance(3600)
        audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)
    assert audit.state.kafka_answers is False
    # Acknowledged without a tally is drift, as soon as Kafka says so, and then while it is gone again.
    answer.append(Log(1, p0=(0, 2, [b""] * 2)))
    clock.advance(1)
    audit.round()
    answer.clear()
    clock.advance(1)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 2)


def test_drift_that_does_not_go_away_is_found_while_events_keep_coming(store, clock):
    """Under steady traffic a tally that no recount replaces is found, with the amount that is certain."""
    sent = [an_event() for _ in range(100)]
    take(store, *sent)
    store.days["H17", TODAY] = Tally(EPOCH, Counts(events=90, settled=90, settled_full=90, settled_full_any_return=90), MORNING)
    audit = continuous(store, in_hand=asking_every_time(store, lambda: Log(1, p0=(0, len(sent) - 5, [b""] * len(sent)))))
    drifts = []
    for _ in range(4):
        fresh = [an_event() for _ in range(5)]
        store.insert_events(rows_of(fresh, offset=len(sent)))
        sent += fresh
        take_only(store, TODAY)
        clock.advance(15)
        audit.round()
        drifts.append(audit.state.drift)
    assert [drift[Tier.DAY] for drift in drifts] == [0, 10, 15, 20]
    assert {drift[Tier.MINUTE] + drift[Tier.PROCEDURE] for drift in drifts} == {0}


def test_a_failing_audit_is_counted_and_goes_on(store):
    """After any error the loop counts it, keeps its state, and succeeds again later."""
    take(store, an_event())
    audit = continuous(store)
    audit.round()
    for error in (Retryable("away"), RuntimeError("surprise")):

        def fault(_, error=error):
            raise error

        store.fault = fault
        assert audit.round() >= 15
    assert audit.state.failures == 2
    assert audit.state.last_success == LATEST
    store.fault = lambda _: None
    audit.round()
    assert exported(audit)["portalpulse_audit_failures_total", None] == 2


def test_a_round_takes_a_bounded_share_of_the_time(store, clock):
    """A round ends after its share of an interval and one day of each queue; the pause is a multiple of its duration."""
    take(store, *(an_event(occurred_at=MORNING + number * DAY) for number in range(40)))
    ticking = ManualTicks()
    compared_days = []
    plain = store.compare

    def slow(tier, day, **options):
        ticking.now += 0.1
        compared_days.append(day)
        return plain(tier, day, **options)

    store.compare = slow
    clock.advance(86_400)  # no events arrived recently
    audit = continuous(store, monotonic=ticking)
    assert audit.round() == pytest.approx(20 * 0.9)
    assert len(compared_days) == 9  # three days of three scopes, 0.9 s: the share of 15 s is 0.75 s
    for _ in range(13):
        audit.round()
    assert set(compared_days) == {TODAY + number * DAY for number in range(40)}  # every day is compared


def test_a_cheap_round_pauses_for_the_interval(store):
    """The pause is never shorter than the interval."""
    take(store, an_event())
    assert continuous(store).round() == 15.0


def test_it_stops_when_asked(store):
    """The thread ends between two rounds, and stop waits for it."""
    take(store, an_event())
    audit = continuous(store, interval=3600.0)
    audit.start()
    audit.stop(grace=10)
    assert not audit._thread.is_alive()
