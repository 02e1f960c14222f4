"""The audit at work over the double in memory: desk, whole runs, repair, the continuous loop."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.clock import ManualClock
from domain.errors import UnavailableError
from domain.periods import Period, civil_day
from domain.tiers import Tier
from pipeline.audit.drift import DayComparison
from pipeline.audit.routes import audit_routes
from pipeline.audit.run import AuditOptions, KafkaCheck, offset_faults, run_audit
from pipeline.audit.service import AuditService, ContinuousAudit, InHand, Partition, WorkInHand
from pipeline.cli.audit import verdict
from pipeline.decode.decoder import Decoder
from pipeline.serving.exporter import AuditCollector
from pipeline.serving.server import Api, Health, HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.audit import Acknowledged
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.tallies import Counts, Days, Span
from sinks.errors import Retryable
from sinks.tables import EPOCH
from tests.contract.store_suite import Place
from tests.factories import LATEST, MORNING, TOPIC, a_message, an_event, rows_of
from tests.fakes import MINUTE, MemoryStore, Tally

TODAY = civil_day(MORNING)
DAY = dt.timedelta(days=1)


class Log:
    """A topic in memory: per partition (begin, committed, messages from offset 0), and so many members of the group."""

    def __init__(self, readers=0, **partitions):
        self.readers = readers
        self._partitions = {int(name[1:]): value for name, value in partitions.items()}

    def members(self):
        return self.readers

    def partitions(self):
        return [Partition(number, begin, len(kept), committed) for number, (begin, committed, kept) in self._partitions.items()]

    def messages(self, partition, begin, end):
        kept = self._partitions[partition][2]
        for start in range(begin, end, 3):
            yield [(offset, kept[offset]) for offset in range(start, min(start + 3, end))]


class Quiet:
    """Progress that only remembers."""

    def __init__(self):
        self.stages = []

    def begin(self, what, total):
        self.stages.append([what, total, 0])

    def advance(self, steps):
        self.stages[-1][2] += steps


@pytest.fixture
def clock():
    """The storage's clock."""
    return ManualClock(LATEST)


@pytest.fixture
def store(clock):
    """An empty double."""
    return MemoryStore(now=clock.now)


def take(store, *events):
    """Store and recount."""
    Place(store, store, dict, dict, lambda *_: None).take(list(events))


def take_only(store, day):
    """Recount what is stored of a day, as a worker does after it stored."""
    store.recount_minutes(Span(*Period(day, day).instants()))
    store.roll_up_days(Days((day,)))
    store.recount_procedures(Days((day,)))


@pytest.fixture
def desk(registry):
    """Make a desk over a store."""

    def make(store, log=None, wait=lambda _: None):
        return AuditService(
            store,
            store=store,
            repair=store,
            topic=(TOPIC, lambda: log or Log()),
            decoder=Decoder(registry),
            clock=ManualClock(LATEST),
            future_tolerance=DAY,
            wait=wait,
        )

    return make


@pytest.fixture
def audit(desk, clock):
    """Run a whole audit over a store; while it waits time goes by and ``meanwhile`` happens."""

    def run(store, *, log=None, meanwhile=lambda: None, progress=None, **wanted):
        waits = []

        def wait(seconds):
            waits.append(seconds)
            clock.advance(seconds)
            meanwhile()

        report = run_audit(desk(store, log), AuditOptions(**wanted), wait=wait, progress=progress or Quiet())
        return report, waits

    return run


def test_every_unread_range_is_listed(desk):
    """However many ranges of offsets left the log unread, none is left out of the report."""
    store = MemoryStore()
    store.insert_unread([UnreadRange(TOPIC, n % 64, n * 10, n * 10 + 1, "workers", UnreadCause.DELETED) for n in range(700)])
    assert len(desk(store).unread()["ranges"]) == 700


def test_right_tallies_are_clean_at_once(audit, store):
    """Without a difference nothing is waited for, everything was compared, and progress ends where it said."""
    take(store, an_event(), an_event(agency="G01", occurred_at=MORNING + 3 * DAY))
    progress = Quiet()
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
    assert report.as_dict()["scopes"]["agency_day"] == {"buckets": 0, "differing": 0, "drift": 0, "late": 0, "in_hand": 0}


def test_what_is_late_is_not_wrong(audit, store):
    """A difference that a worker settles meanwhile is gone at the second look."""
    event = an_event()
    store.insert_events(rows_of([event]))
    report, waits = audit(store, meanwhile=lambda: take(store, event), settle=7)
    assert report.clean
    assert waits == [7]


def test_traffic_that_never_rests_is_not_wrong(audit, store):
    """Under steady traffic every look finds something late; none of it is drift, for it is never old enough."""

    def traffic():
        take(store, *old)  # what came before is recounted, what comes now is not
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
    assert report.by_time is None
    assert report.late == {"agency_minute": 0, "agency_day": 1200, "agency_day_procedure": 1200}
    assert report.in_hand == dict.fromkeys(report.late, 1200)
    assert report.as_dict()["scopes"]["agency_day"] == {"buckets": 1, "differing": 0, "drift": 0, "late": 1200, "in_hand": 1200}
    assert list(verdict(report)) == [
        "No tally is wrong.",
        (
            "The day tallies are 1,200 events late, the procedure tallies are 1,200 events late; "
            "1,200 are in the workers' hands. Wait, or --repair."
        ),
    ]


def test_a_wrong_tally_beside_late_ones_is_found(audit, store):
    """What the events in hand do not explain is drift, with its exact amount; so are acknowledged events that are not counted."""
    store.insert_events(rows_of([an_event() for _ in range(10)]))
    report, _ = audit(store, log=Log(1, p0=(0, 4, [b""] * 10)))
    assert not report.clean
    assert report.drift == dict.fromkeys(report.drift, 4)
    assert report.late == dict.fromkeys(report.drift, 6)
    assert next(iter(verdict(report))) == "Tallies are wrong; --repair recounts them."
    store.days["H17", TODAY] = Tally(1, Counts(events=13, settled=10, settled_full=10), MORNING)
    report, _ = audit(store, log=Log(1, p0=(0, 0, [b""] * 10)))
    assert report.drift == {"agency_minute": 0, "agency_day": 3, "agency_day_procedure": 0}


def test_late_tallies_are_recounted_when_asked(audit, store):
    """A repair counts what the workers have in hand, too: nobody needs to wait for a worker that does not come back."""
    store.insert_events(rows_of([an_event(), an_event(agency="G01")]))
    report, _ = audit(store, log=Log(1, p0=(0, 0, [b""] * 2)), repair=True)
    assert report.clean
    assert report.repaired["late"] == dict.fromkeys(report.late, 2)
    assert report.late == dict.fromkeys(report.late, 0)
    assert list(verdict(report)) == ["Every tally is right."]


class Untold(Log):
    """A topic whose coordinator does not tell who is in the group."""

    def members(self):
        raise UnavailableError("Kafka does not tell who is in the group.", remedy="See its log.")


class Unreachable:
    """A topic whose broker does not answer."""

    def partitions(self):
        raise UnavailableError("No broker answers.", remedy="Start it.")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (Log(0, p0=(0, 0, [b""] * 2)), "no worker is in the consumer group"),
        (Unreachable(), "No broker answers"),
        (Untold(1, p0=(0, 0, [b""] * 2)), "Kafka does not tell who is in the group"),
        (Log(1, p0=(0, 9, [b""] * 2)), None),  # committed in an earlier topic of the same name
    ],
)
def test_where_kafka_tells_nothing_the_age_of_events_decides(audit, store, log, reason):
    """Without workers, a broker or valid offsets, events older than the settling time must be tallied; the report says why."""
    store.insert_events(rows_of([an_event(), an_event()]))
    report, _ = audit(store, log=log, settle=5)
    assert report.drift == dict.fromkeys(report.drift, 2)
    assert report.by_time == reason
    if reason is not None:
        assert reason in list(verdict(report))[-1]
    report, _ = audit(store, log=log, settle=5, meanwhile=lambda: store.insert_events(rows_of([an_event()], offset=2)))
    assert (report.drift, report.late) == (dict.fromkeys(report.drift, 2), dict.fromkeys(report.drift, 1))


def test_kafka_is_not_asked_for_every_day(store):
    """One answer of Kafka serves all days that are looked at within a second, and is asked for again afterwards."""
    asked, ticking = [], Ticking()

    def reader():
        asked.append(ticking.now)
        return Log(1, p0=(0, None, [b""] * 3), p1=(0, 2, [b""] * 2))

    in_hand = WorkInHand(store, (TOPIC, reader), monotonic=ticking)
    assert in_hand() == InHand(Acknowledged(TOPIC, LATEST, {0: (0, 3), 1: (2, 2)}))
    assert in_hand() == in_hand()
    ticking.now += 1.5
    in_hand()
    assert asked == [100.0, 101.5]


def test_what_stays_wrong_is_told(audit, store):
    """A tally that both looks find wrong makes the audit fail, with its amount, and is not touched."""
    take(store, an_event(), an_event(agency="G01"))
    store.days["H17", TODAY] = Tally(9, Counts(events=4, settled=1, settled_full=1), MORNING)
    report, waits = audit(store)
    assert not report.clean
    assert (report.differing, report.drift) == (
        {"agency_minute": 0, "agency_day": 1, "agency_day_procedure": 0},
        {"agency_minute": 0, "agency_day": 3, "agency_day_procedure": 0},
    )
    assert [(finding.agency, finding.bucket, finding.wrong) for finding in report.findings] == [
        ("H17", "2024-01-02", {"events": (1, 4)})
    ]
    assert len(waits) == 1
    assert store.days["H17", TODAY].counts.events == 4
    assert report.repaired is None


def test_only_the_days_asked_for_are_audited(audit, store):
    """A wrong tally outside of the days is not looked at."""
    take(store, an_event(), an_event(occurred_at=MORNING + DAY))
    store.days.clear()
    assert not audit(store, first=TODAY, last=TODAY)[0].clean
    assert audit(store, first=TODAY + 2 * DAY)[0].clean
    assert audit(store, last=TODAY + DAY)[0].drift["agency_day"] == 2


def test_a_plain_recount_repairs_without_a_new_epoch(audit, store):
    """What a recount alone puts right raises no epoch; the second audit finds nothing."""
    take(store, an_event())
    store.insert_events(rows_of([an_event(agency="G01")]))
    report, _ = audit(store, repair=True)
    assert report.clean
    assert report.repaired["drift"] == {"agency_minute": 1, "agency_day": 1, "agency_day_procedure": 1}
    assert report.repaired["epochs"] == []
    assert store.epoch == 0
    assert audit(store)[0].clean


def test_too_high_and_orphaned_tallies_need_a_new_epoch(audit, store):
    """Tallies that count too much, and tallies of nothing, are brought down after the epoch was raised once for all days."""
    take(store, an_event(), an_event(occurred_at=MORNING + DAY))
    store.minutes["H17", MORNING] = Tally(7 * EPOCH + 3, Counts(events=3), MORNING)
    store.procedures["H17", TODAY + DAY, "9.9"] = Tally(4, Counts(events=4), MORNING)
    report, _ = audit(store, repair=True)
    assert report.clean
    assert report.repaired["epochs"] == [8]
    assert report.repaired["days"] == ["2024-01-02", "2024-01-03"]
    assert store.procedures["H17", TODAY + DAY, "9.9"].counts == Counts()
    take(store, an_event())
    assert audit(store)[0].clean


def test_a_repair_recounts_the_differing_agencies_only(audit, store):
    """Other agencies of the day are left alone, and other days, too."""
    take(store, an_event(), an_event(agency="G01"), an_event(agency="G01", occurred_at=MORNING + DAY))
    store.days["H17", TODAY] = Tally(1, Counts(events=2), MORNING)
    spans = []
    plain = store.recount_minutes
    store.recount_minutes = lambda span: (spans.append(span), plain(span))
    assert audit(store, repair=True)[0].clean
    start = dt.datetime(2024, 1, 1, 17, tzinfo=dt.UTC)
    assert spans == [Span(start, start + DAY, ("H17",))]


def test_a_repair_is_done_again_when_a_slow_worker_spoils_it(audit, store):
    """A recount that saw less may write after the repair; the look that follows finds it, and it is mended again."""
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
    assert report.repaired["epochs"] == [1]


def test_a_repair_that_does_not_help_is_told(audit, store):
    """When tallies stay wrong the audit says so after a few attempts, instead of going on for ever."""
    take(store, an_event())
    store.days.clear()
    store.roll_up_days = lambda _: None
    report, waits = audit(store, repair=True)
    assert not report.clean
    assert report.drift["agency_day"] == 1
    assert len(waits) == 1 + 3


def test_a_repair_leaves_time_for_recounts_under_way(desk, store):
    """Between a raised epoch and its recount lies a pause, in which a recount of the old epoch has seen what it will see."""
    take(store, an_event())
    steps = []
    store.fault = steps.append
    desk(store, wait=lambda seconds: steps.append(("wait", seconds >= 0.5))).repair(TODAY, None, raise_epoch=True)
    assert steps[:3] == ["raise_epoch: repair of 2024-01-02", ("wait", True), "recount_minutes"]
    steps.clear()
    desk(store).repair(TODAY, None, raise_epoch=False)
    assert steps[0] == "recount_minutes"


def test_what_cannot_be_tidied_is_told_and_no_failure(audit, store):
    """When replaced rows cannot be removed now, the repair stands all the same and says it."""
    take(store, an_event())
    store.days["H17", TODAY] = Tally(9, Counts(events=9), MORNING)

    def fault(step):
        if step.startswith("purge_superseded"):
            raise Retryable("too busy")

    store.fault = fault
    report, _ = audit(store, repair=True)
    assert report.clean
    assert report.repaired["problem"] == "too busy"


def test_repeats_are_reported_and_not_judged(audit, store):
    """Ids of several events, dossiers settled twice and contradicting contents are listed; the tallies are right."""
    one = an_event()
    again = an_event(event_id=one.event_id, agency="G01")
    twice = an_event(dossier_code=one.dossier_code, occurred_at=MORNING + MINUTE)
    take(store, one, again, twice, an_event(status=4))
    store.insert_events(rows_of([dataclasses.replace(one, portal_id="p")]))
    report, _ = audit(store)
    assert report.clean
    assert (report.reused_event_ids["count"], list(report.reused_event_ids["examples"])) == (1, [str(one.event_id)])
    # `again` carries a dossier code of its own, `twice` that of `one`
    assert (report.settled_twice["count"], list(report.settled_twice["examples"])) == (1, [one.dossier_code])
    assert (report.contradictions["count"], list(report.contradictions["examples"])) == (1, [str(one.event_id)])
    assert audit(store, repeats=False)[0].reused_event_ids is None


# ---- Kafka


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
    """An offset beyond the end, or below the beginning, is a fault; lag and a fresh group are none."""
    faults = offset_faults({"partition": 2, "begin": begin, "committed": committed, "end": end})
    assert bool(faults) == (words is not None)
    assert words is None or words in faults[0]


def test_every_acknowledged_message_is_looked_up(audit, store):
    """Deep: messages below the committed offset are events that are stored or letters that are kept; those above may wait."""
    events = [an_event() for _ in range(7)]
    take(store, *events)
    kept = [a_message(event) for event in events]
    store.insert_dead_letters([DeadLetter(TOPIC, 0, 7, None, b"{", "not_json", "")])
    log = Log(p0=(0, 8, [*kept, b"{", a_message()]), p1=(0, None, [b"waiting"]))
    report, _ = audit(store, log=log, kafka=KafkaCheck.DEEP)
    assert report.clean
    assert report.kafka["deep"] == {"messages": 8, "missing": 0, "examples": []}
    assert [part["highest_kept"] for part in report.kafka["partitions"]] == [7, None]


def test_an_acknowledged_message_that_is_gone(audit, store):
    """Deep: an event that is not stored and a refused message without its letter make the audit fail, by position."""
    stored, lost = an_event(), an_event()
    take(store, stored)
    log = Log(p3=(0, 4, [a_message(stored), a_message(lost), b"{", None, a_message()]))
    report, _ = audit(store, log=log, kafka=KafkaCheck.DEEP)
    assert not report.clean
    assert report.kafka["deep"] == {"messages": 4, "missing": 3, "examples": [f"{TOPIC}/3/{offset}" for offset in (1, 2, 3)]}
    assert report.kafka["faults"] == ["3 acknowledged messages are stored in no form."]
    assert audit(store, log=log, kafka=KafkaCheck.OFFSETS)[0].clean


# ---- the continuous audit


class Ticking:
    """Counts seconds by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def continuous(store, *, interval=15.0, duty=20.0, settle=60.0, monotonic=None, in_hand=InHand):
    """A continuous audit over a store, with the store's own idea of now; by default Kafka says nothing."""
    return ContinuousAudit(
        store,
        interval=interval,
        duty=duty,
        settle=settle,
        in_hand=in_hand,
        clock=ManualClock(LATEST),
        monotonic=monotonic or Ticking(),
    )


def asking(store, log):
    """Asks Kafka about the topic that ``log`` makes, every time."""
    return WorkInHand(store, (TOPIC, log), monotonic=itertools.count(0, 10).__next__)


def exported(audit):
    """What a scrape shows of it."""
    collectors = CollectorRegistry()
    collectors.register(AuditCollector(lambda: audit.state))
    families = text_string_to_metric_families(generate_latest(collectors).decode())
    return {(sample.name, sample.labels.get("scope")): sample.value for family in families for sample in family.samples}


def test_every_scope_is_exported_from_the_start(store):
    """Before the first round each scope reads 0 and the last success is 0."""
    assert exported(continuous(store)) == {
        ("portalpulse_audit_drift_events", "agency_minute"): 0,
        ("portalpulse_audit_drift_events", "agency_day"): 0,
        ("portalpulse_audit_drift_events", "agency_day_procedure"): 0,
        ("portalpulse_audit_last_success_timestamp_seconds", None): 0,
        ("portalpulse_audit_failures_total", None): 0,
    }


def test_drift_is_exported_after_two_rounds(store, clock):
    """A tally that counts too much shows at the second round, in its own scope, and goes when it is right."""
    take(store, an_event(occurred_at=MORNING - 100 * DAY), an_event())
    clock.advance(3600)
    store.days["H17", TODAY] = Tally(1, Counts(events=4, settled=1, settled_full=1), MORNING)
    audit = continuous(store)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0) | {Tier.DAY: 3}
    assert exported(audit)["portalpulse_audit_last_success_timestamp_seconds", None] == LATEST.timestamp()
    take(store, an_event())
    store.days["H17", TODAY] = Tally(2, Counts(events=2, settled=2, settled_full=2), MORNING)
    audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)


def test_what_is_younger_than_the_settling_time_is_not_drift(store, clock):
    """Events that nobody has tallied yet are late for so long, and drift afterwards."""
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
    """Events in hand are never drift, however old; acknowledged ones that no tally counts are."""
    store.insert_events(rows_of([an_event(), an_event()]))
    log = Log(1, p0=(0, 0, [b""] * 2))
    audit = continuous(store, settle=60, in_hand=asking(store, lambda: log))
    for _ in range(5):
        clock.advance(3600)
        audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 0)
    log = Log(1, p0=(0, 2, [b""] * 2))
    for _ in range(2):
        clock.advance(1)
        audit.round()
    assert audit.state.drift == dict.fromkeys(Tier, 2)


def test_drift_that_does_not_go_away_is_found_while_events_keep_coming(store, clock):
    """On a system that is never at rest a tally that no recount replaces is found, by no more than it is wrong for certain."""
    sent = [an_event() for _ in range(100)]
    take(store, *sent)
    store.days["H17", TODAY] = Tally(EPOCH, Counts(events=90, settled=90, settled_full=90), MORNING)
    audit = continuous(store, in_hand=asking(store, lambda: Log(1, p0=(0, len(sent) - 5, [b""] * len(sent)))))
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
    """Whatever is raised, the loop lives, counts it, keeps what it knew, and succeeds when it can."""
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
    """A round ends when it used its share of an interval, after one day of each kind; the rest is a multiple of its cost."""
    take(store, *(an_event(occurred_at=MORNING + number * DAY) for number in range(40)))
    ticking = Ticking()
    looked = []
    plain = store.compare

    def slow(tier, day, **options):
        ticking.now += 0.1
        looked.append(day)
        return plain(tier, day, **options)

    store.compare = slow
    clock.advance(86_400)  # nothing was touched lately
    audit = continuous(store, monotonic=ticking)
    assert audit.round() == pytest.approx(20 * 0.9)
    assert len(looked) == 9  # three days of three scopes, 0.9 s: the share of 15 s is 0.75 s
    for _ in range(13):
        audit.round()
    assert set(looked) == {TODAY + number * DAY for number in range(40)}  # every day has its turn


def test_a_cheap_round_rests_for_the_interval(store):
    """The rest is never shorter than the interval."""
    take(store, an_event())
    assert continuous(store).round() == 15.0


def test_it_stops_when_asked(store):
    """The thread ends between two rounds, and its end is waited for."""
    take(store, an_event())
    audit = continuous(store, interval=3600.0)
    audit.start()
    audit.stop(grace=10)
    assert not audit._thread.is_alive()


# ---- over HTTP


@pytest.fixture
async def served(desk, registry, store):
    """A client of a server over the store and its desk."""
    log = Log(p5=(0, 1, [a_message()]))
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        reader=store,
        routes=(partial(audit_routes, desk(store, log)),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
        yield client
    await server.close()


async def test_every_step_is_answered_over_http(served, desk, store):
    """What the desk answers and what HTTP answers is the same."""
    take(store, an_event(), an_event(agency="G01"))
    store.days["H17", TODAY] = Tally(1, Counts(events=4), MORNING)
    here = desk(store)
    assert (await served.get("/api/v1/audit/days?from=2024-01-01")).json() == here.days(None, None) == {"2024-01-02": 2}
    assert (await served.get("/api/v1/audit/days?to=2024-01-01")).json() == {}
    look = (await served.get("/api/v1/audit/days/2024-01-02?settle=0")).json()
    assert DayComparison.from_fields(look) == DayComparison.from_fields(here.look(TODAY, settle=0.0))
    assert (await served.get("/api/v1/audit/days/2024-01-02/contradictions")).json() == here.contradictions(TODAY)
    for query, days in (("", None), ("&from=2024-01-01&to=2024-01-02", (TODAY - DAY, TODAY))):
        assert (await served.get(f"/api/v1/audit/repeats?number=0&of=2{query}")).json() == here.repeats(days, share=(0, 2))
    assert (await served.get("/api/v1/audit/partitions")).json()["partitions"][0]["committed"] == 1
    assert (await served.get("/api/v1/audit/partitions/5?begin=0&end=1")).json()["missing"] == 1
    done = await served.post("/api/v1/audit/repair", json={"day": "2024-01-02", "agencies": ["H17"], "raise_epoch": True})
    assert done.json() == {"epoch": 1}
    assert store.days["H17", TODAY].counts.events == 1
    assert (await served.post("/api/v1/audit/tidy", json={"days": ["2024-01-02"]})).json() == {"problem": ""}


@pytest.mark.parametrize(
    "path",
    [
        "days?from=x",
        "days/2024-13-01",
        "days/2024-01-01?settle=soon",
        "days/2024-01-01?settle=-1",
        "repeats?number=2&of=2",
        "repeats?number=x",
        "partitions/x?begin=0&end=1",
        "partitions/0?begin=0",
    ],
)
async def test_a_wrong_question_is_refused(served, path):
    """A parameter that cannot be read is named with 400."""
    answer = await served.get(f"/api/v1/audit/{path}")
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_repair_is_asked_for_as_json(served):
    """A form of a foreign page cannot start a repair; wrong fields are refused."""
    assert (await served.post("/api/v1/audit/repair", data={"day": "2024-01-02"})).status_code == 403
    assert (await served.post("/api/v1/audit/tidy", data={"days": "2024-01-02"})).status_code == 403
    assert (await served.post("/api/v1/audit/repair", json={"day": "x"})).status_code == 400
    assert (await served.post("/api/v1/audit/repair", json={"day": "2024-01-02", "agencies": "H17"})).status_code == 400
    for day in ("0001-01-01", "1975-12-31", "2106-02-07", "9999-12-31"):  # nothing can lie there
        assert (await served.post("/api/v1/audit/repair", json={"day": day, "agencies": None})).status_code == 400


async def test_a_storage_that_is_away(served, store):
    """A step that cannot be done is 503 with the reason."""

    def away(_):
        raise Retryable("away")

    take(store, an_event())
    store.fault = away
    answer = await served.get("/api/v1/audit/days/2024-01-02")
    assert (answer.status_code, answer.json()) == (503, {"error": "away"})


def test_a_broker_that_is_away(audit, store):
    """An audit of Kafka without Kafka ends with its reason; an audit without it does not ask."""

    class Away:
        def partitions(self):
            raise UnavailableError("No broker.")

    with pytest.raises(UnavailableError, match="No broker"):
        audit(store, log=Away(), kafka=KafkaCheck.OFFSETS)
    assert audit(store, log=Away())[0].clean
