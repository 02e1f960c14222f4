"""Messages of finished dossiers expire, and every figure stays what it is, on a real server and on the embedded engine."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace

import pyarrow as pa
import pytest

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.figure_groups import GROUPS
from domain.periods import Period, civil_day, day_start
from domain.tiers import Tier
from pipeline.dossiers.exclusion import ExclusionService
from pipeline.dossiers.service import DossierService
from pipeline.ingest import dossier_resolver
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.retention.service import RetentionService
from pipeline.settings import RetentionSettings
from sinks.contract.audit import HashShard
from sinks.contract.dead_letters import DeadLetter, DeadLetterFilter
from sinks.contract.dossier_audit import Finished
from sinks.contract.dossier_figures import FigureQuestion
from sinks.contract.expiry import BusyError
from sinks.contract.findings import FindingScope
from sinks.contract.tallies import Days, Span
from tests.contract.breadth import mainly_served, seeds
from tests.contract.clustered import storage_of
from tests.contract.dossier_model import expected, tallied
from tests.contract.expiring_model import LATER, ExpiringModel, drift_of, judge_all, retentions
from tests.factories import MORNING, an_event, rows_of

#: On the server; on the embedded engine and on a cluster in long runs.
everywhere = pytest.mark.parametrize(
    "clickhouse",
    [
        pytest.param("served", marks=pytest.mark.integration),
        pytest.param("embedded", marks=pytest.mark.long),
        pytest.param("clustered", marks=(pytest.mark.integration, pytest.mark.long)),
    ],
    indirect=True,
)
OLD, OTHER = "000.00.12.H17-240610-0001", "000.00.12.H17-240610-0002"
DAY = civil_day(MORNING)
BOUND = day_start(DAY + dt.timedelta(days=20))
EVERYTHING = Finished(BOUND, LATER)


def path(code, *statuses, day=0):
    """Messages of an online dossier, an hour apart."""
    begin = MORNING + dt.timedelta(days=day)
    return [
        an_event(
            agency="H17",
            dossier_code=code,
            status=status,
            channel=2,
            service_level="toan_trinh",
            occurred_at=begin + dt.timedelta(hours=hour),
            event_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{code} {status} {hour} {day}"),
        )
        for hour, status in enumerate(statuses)
    ]


#: Finished with a correction (settled twice); finished; open; finished after the bound.
MESSAGES = [
    *path(OLD, 1, 2, 9, 9, 10),
    *path(OTHER, 1, 3),
    *path("000.00.12.H17-240610-0003", 1, 2, 4),
    *path("000.00.12.H17-240610-0004", 1, 9, day=25),
]


class Storage:
    """A storage in which workers wrote messages."""

    def __init__(self, clickhouse):
        self.clickhouse, self.messages = clickhouse, []
        self.store = storage_of(clickhouse).events()
        self.resolver = DossierResolver(storage_of(clickhouse).dossier_index())

    def write(self, messages):
        """Store, resolve and count messages, as a worker does."""
        self.messages += messages
        rows = rows_of(messages)
        self.store.insert_events(rows)
        corrected = self.resolver.resolve(self.resolver.add(rows))
        instants = [message.occurred_at for message in self.messages]
        days = Days(tuple(sorted({civil_day(at) for at in instants})))
        self.store.recount_minutes(Span(*Period(days.days[0], days.days[-1]).instants()))
        self.store.roll_up_days(days)
        self.store.recount_procedures(days)
        self.store.check_tables()
        if corrected.claims.num_rows:
            self.resolver.confirm(corrected)
        judge_all(self.clickhouse)

    def apply(self, stop_after="", *, finished=EVERYTHING):
        """Let messages expire; the run breaks off after a step."""
        found = []
        for retention in retentions(self.clickhouse):
            for steps in (retention.recover(take_over=True), retention.expire(HashShard(0, 1), finished), retention.remove()):
                for step in steps:
                    found.append(step)
                    if step == stop_after:
                        return found
        return found

    def days(self):
        """The civil days of all messages."""
        return {civil_day(message.occurred_at) for message in self.messages}

    def count(self, table, where="1"):
        """Rows of a table that are not merged away."""
        return int(self.clickhouse.rows("test", f"SELECT count() FROM {table} FINAL WHERE {where}")[0][0])

    def groups(self):
        """Every figure over whole dossiers."""
        question = FigureQuestion(Period(DAY, DAY + dt.timedelta(days=60)), DAY + dt.timedelta(days=90))
        return {group: dict(storage_of(self.clickhouse).dossier_figures().counts(group, question)) for group in GROUPS}


def non_zero(tallies):
    """Tallies without those that count nothing."""
    return {table: {key: counts for key, counts in rows.items() if counts} for table, rows in tallies.items()}


@pytest.fixture
def stored(clickhouse):
    """A storage with some dossiers."""
    storage = Storage(clickhouse)
    storage.write(MESSAGES)
    return storage


@everywhere
def test_figures_stay_when_messages_expire(stored):
    """Finished dossiers older than the bound expire as a whole; no tally, no figure of a group and no total changes."""
    groups, totals = stored.groups(), storage_of(stored.clickhouse).tallies().totals()
    stored.apply()
    assert {row[0] for row in stored.clickhouse.rows("test", "SELECT DISTINCT dossier_code FROM dossier_messages")} == {
        "000.00.12.H17-240610-0003",
        "000.00.12.H17-240610-0004",
    }
    assert (stored.count("expired_messages"), stored.count("expired_dossiers")) == (7, 2)
    stored.store.recount_minutes(Span(*Period(min(stored.days()), max(stored.days())).instants()))
    stored.store.roll_up_days(Days(tuple(sorted(stored.days()))))
    stored.store.recount_procedures(Days(tuple(sorted(stored.days()))))
    stored.store.check_tables()
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)
    assert stored.groups() == groups
    assert storage_of(stored.clickhouse).tallies().totals() == totals
    assert drift_of(stored.clickhouse, stored.days()) == 0


@everywhere
def test_messages_that_come_again_change_nothing(stored):
    """Redelivered messages of expired dossiers are passed over, and a variant of a known event counts once with it."""
    stored.apply()
    stored.write(MESSAGES)
    stored.write([replace(path(OLD, 1, 2, 9, 9, 10)[2], procedure_code="9.9")])
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)
    assert drift_of(stored.clickhouse, stored.days()) == 0


@everywhere
def test_a_new_event_of_an_expired_dossier_is_an_event_and_nothing_else(stored):
    """A message that comes too late for its dossier is kept and counts in events; other dossiers count on as before."""
    groups = stored.groups()
    stored.apply()
    late = path(OLD, 9, day=1)
    stored.write(late)
    right = expected(MESSAGES)
    for table, rows in expected(late).items():
        for key, counts in rows.items():
            right[table].setdefault(key, type(counts)())["events"] += counts["events"]
    assert non_zero(tallied(stored.clickhouse)) == right
    assert stored.count("dossier_messages", f"dossier_code = '{OLD}'") == 1
    assert sum(part.expiry().total().late for part in storage_of(stored.clickhouse).parts()) == 1
    more = path("000.00.12.H17-240610-0003", 1, 2, 4, 9)
    stored.write([more[-1]])
    for table, rows in expected([*MESSAGES, more[-1]]).items():
        for key, counts in expected(late)[table].items():
            rows.setdefault(key, type(counts)())["events"] += counts["events"]
        assert non_zero(tallied(stored.clickhouse))[table] == rows
    assert stored.groups() != groups
    assert drift_of(stored.clickhouse, stored.days()) == 0


@everywhere
@pytest.mark.parametrize(
    "step",
    [
        "entombed",
        *(pytest.param(step, marks=pytest.mark.long) for step in ("begun", "recorded", "switched", "removed")),
    ],
)
def test_a_run_that_breaks_off_is_completed(stored, step):
    """After a run that ended at any step the tallies are right, a recount changes none, and the next run completes it."""
    groups = stored.groups()
    assert stored.apply(stop_after=step)[-1] == step
    stored.write(MESSAGES)
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)
    stored.apply()
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)
    assert stored.groups() == groups
    assert drift_of(stored.clickhouse, stored.days()) == 0
    assert all(not retention.expiry.runs().unfinished for retention in retentions(stored.clickhouse))


@everywhere
def test_a_repair_keeps_what_expired(stored):
    """Tallies of days without a message left are not cleared as orphans, and a raised epoch counts the same again."""
    stored.apply()
    repair = storage_of(stored.clickhouse).repair()
    repair.raise_epoch("a test")
    for day in sorted(stored.days()):
        for tier in Tier:
            repair.clear_orphans(tier, day)
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)
    for day in sorted(stored.days()):
        for tier, recount in (
            (Tier.MINUTE, lambda day=day: stored.store.recount_minutes(Span(*Period(day, day).instants()))),
            (Tier.DAY, lambda day=day: stored.store.roll_up_days(Days((day,)))),
            (Tier.PROCEDURE, lambda day=day: stored.store.recount_procedures(Days((day,)))),
        ):
            recount()
            stored.store.check_tables()
            repair.clear_orphans(tier, day)
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)


@everywhere
def test_what_needs_the_messages_is_refused(stored):
    """Questions about days that are not whole name the first one that is; a dossier says that its messages expired."""
    stored.apply()
    storage = storage_of(stored.clickhouse)
    whole = civil_day(BOUND)
    early, late = Period(DAY, whole), Period(whole, whole + dt.timedelta(days=9))
    asked = (
        lambda period: list(storage.tallies().events(period.start, period.end, None)),
        lambda period: storage.raw_messages().messages_within([period]),
        lambda period: storage.findings().messages_within(FindingScope(period)),
    )
    for question in asked:
        with pytest.raises(ConfigurationError, match=f"Begin at {whole}"):
            question(early)
        question(late)
    service = DossierService(storage.dossier_reader(), storage.exclusions(), AgencyRegistry.packaged())
    assert "expired on" in service.explain(OLD)["remark"]
    assert "remark" not in service.explain("000.00.12.H17-240610-0003")
    exclusion = ExclusionService(
        storage.exclusions(), reader=storage.dossier_reader(), index=storage.dossier_index(), recount=lambda *_: None
    )
    with pytest.raises(ConfigurationError, match="expired on"):
        exclusion.change(OLD, excluded=True, reason="a test", name="tester")


@everywhere
def test_the_deep_audit_knows_expired_messages(stored):
    """An acknowledged message that expired is found by its event; one that was never stored is missing."""
    stored.apply()
    never = replace(MESSAGES[0], event_id=uuid.UUID(int=7))
    asked = [*MESSAGES, never]
    messages = pa.table(
        {
            "topic": ["elsewhere"] * len(asked),
            "partition": pa.array([3] * len(asked), pa.int32()),
            "offset": list(range(len(asked))),
            "agency": [message.agency for message in asked],
            "occurred_at": pa.array([message.occurred_at for message in asked], pa.timestamp("ms", "UTC")),
            "event_id": [str(message.event_id) for message in asked],
            "dossier_code": [message.dossier_code for message in asked],
            "status": [int(message.status) for message in asked],
        }
    )
    assert storage_of(stored.clickhouse).audit().missing(messages) == [(3, len(MESSAGES))]


@everywhere
def test_rows_of_expired_dossiers_are_never_judged_again(stored):
    """A late message, and a look at every row, leave the row of an expired dossier as it was, and nothing waits."""
    before = stored.clickhouse.rows("test", f"SELECT version, state, times FROM dossiers FINAL WHERE dossier_code = '{OLD}'")
    stored.apply()
    stored.write(path(OLD, 9, day=1))
    for _ in range(3):
        judge_all(stored.clickhouse)
    table = storage_of(stored.clickhouse).dossier_table()
    assert table.waiting_since(table.now()) == 0
    after = stored.clickhouse.rows("test", f"SELECT version, state, times FROM dossiers FINAL WHERE dossier_code = '{OLD}'")
    assert after == before
    # A keeper that read the messages before they expired writes its row now.
    kept = "SELECT * FROM dossiers FINAL"
    stored.clickhouse.command("test", f"INSERT INTO dossiers SELECT * REPLACE (toDateTime64(0, 3) AS judged_at) FROM ({kept})")
    stored.clickhouse.command("test", "OPTIMIZE TABLE dossiers FINAL")
    judge_all(stored.clickhouse)
    after = stored.clickhouse.rows("test", f"SELECT version, state, times FROM dossiers FINAL WHERE dossier_code = '{OLD}'")
    assert after == before
    stored.clickhouse.command("test", "TRUNCATE TABLE dossier_changes")  # what is noted is not compared
    assert table.compare_with_index().differing.num_rows == 0


@everywhere
def test_a_worker_that_counted_without_looking_counts_again(stored):
    """A recount that did not know of the first run is repeated by the check that comes before the acknowledgement."""
    store = storage_of(stored.clickhouse).events()
    store.check_tables()  # no run yet
    stored.apply()
    more = path("000.00.12.H17-240610-0003", 1, 2, 4, 9)[-1:]
    rows = rows_of(more)
    store.insert_events(rows)
    stored.resolver.confirm(stored.resolver.resolve(stored.resolver.add(rows)))
    for shard in getattr(store, "_shards", (store,)):
        shard._looked_at = float("inf")  # it asked a moment ago
    day = civil_day(more[0].occurred_at)
    store.recount_minutes(Span(*Period(day, day).instants()))
    store.roll_up_days(Days((day,)))
    store.recount_procedures(Days((day,)))
    assert all(shard._without_look for shard in getattr(store, "_shards", (store,)))
    store.check_tables()
    assert non_zero(tallied(stored.clickhouse)) == expected([*MESSAGES, *more])


@everywhere
def test_a_second_run_is_refused_while_one_is_at_work(stored):
    """Of two runs at the same time one ends with a sentence; a run that was given up can never count."""
    [first, *_] = retentions(stored.clickhouse)
    run = first.expiry.begin(BOUND)
    with pytest.raises(BusyError, match="--take-over"):
        list(retentions(stored.clickhouse)[0].recover())
    list(retentions(stored.clickhouse)[0].recover(take_over=True))
    with pytest.raises(BusyError, match="nothing has changed"):
        first.expiry.switch(run)
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)


@everywhere
def test_the_service_keeps_everything_unless_it_is_told(stored):
    """By default nothing expires; with days both old dossiers do, and old dead letters leave their count by reason."""
    storage = storage_of(stored.clickhouse)
    storage.events().insert_dead_letters([DeadLetter("topic", 0, 1, None, b"x", "empty", "e")])

    class Clock:
        """Sixty days later."""

        def now(self):
            """The time."""
            return MORNING + dt.timedelta(days=60)

    def service(**days):
        return RetentionService(
            retentions(stored.clickhouse),
            storage.dead_letters(),
            settings=RetentionSettings(**days, quiet_days=0),
            clock=Clock(),
            now=lambda: LATER,
        )

    keeping = service()
    assert keeping.plan(take_over=False) == {"shares": []}
    assert keeping.remove() == {"dead_letters": 0}
    letting = service(messages_days=40, dead_letters_days=1)
    assert letting.show()["messages"]["dossiers"] == 2
    assert letting.show()["dead_letters"]["letters"] == 1
    shares = letting.plan(take_over=False)["shares"]
    done = [letting.share(share) for share in shares]
    assert sum(each["dossiers"] for each in done) == 2
    assert letting.remove() == {"dead_letters": 1}
    assert storage.dead_letters().counts(DeadLetterFilter(replayed=True)) == {}
    assert storage.tallies().dead_letters_by_reason() == {"empty": 1}
    assert letting.show()["expired"]["messages"] == 7
    assert non_zero(tallied(stored.clickhouse)) == expected(MESSAGES)


@mainly_served
@pytest.mark.parametrize("seed", seeds(0, count=24, fast={6}))
def test_expiry_among_several_writers_changes_no_figure(clickhouse, seed, monkeypatch):
    """Runs that begin, break off and overlap between any steps of writers leave the tallies of the rules, as the audit says."""
    monkeypatch.setattr(dossier_resolver, "_SUSPECTS_AT_ONCE", 1 + seed % 2)
    assert ExpiringModel(clickhouse).run(seed) == []
