"""The audit of dossiers on the embedded engine and a real server: what is damaged is found and repaired, and nothing else is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections import Counter
from types import MappingProxyType

import pyarrow as pa
import pytest

from deploy.native.processes import wait_until
from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.events import DossierEvent
from domain.periods import civil_day
from domain.tiers import Tier
from pipeline.audit.dossier_check import DossierFault, check_share
from pipeline.audit.dossier_repair import as_indexed
from pipeline.audit.in_hand import InHand
from pipeline.audit.options import AuditOptions
from pipeline.audit.run import run_audit
from pipeline.audit.service import AuditService
from pipeline.decode.decoder import Decoder
from pipeline.ingest.dossier_resolver import DossierResolver
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.contract.audit import Acknowledged, HashShard
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.tallies import Days, Span
from tests.contract.breadth import cases, mainly_served, seeds
from tests.contract.clustered import storage_of
from tests.contract.dossier_model import Model, dossiers_of, expected, tallied
from tests.factories import LATEST, MORNING, TOPIC, an_event, rows_of
from tests.unit.pipeline.audit.helpers import Log, RecordedProgress

DAY = dt.timedelta(days=1)
#: Between two messages of a dossier: every dossier lies on two or three days.
STEP = dt.timedelta(hours=8)
TODAY = civil_day(MORNING)
ALL = DossierSelection(HashShard(0, 1))
NOW = dt.timedelta(0)
NOTHING = InHand()


class Destination:
    """A ClickHouse with a worker's writers and the steps of an audit."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.clickhouse = clickhouse
        self.store, self.index = storage_of(clickhouse).events(), storage_of(clickhouse).dossier_index()
        self.dossiers = storage_of(clickhouse).dossier_audit()
        self.service = AuditService(
            storage_of(clickhouse).audit(),
            store=self.store,
            repair=storage_of(clickhouse).repair(),
            dossiers=self.dossiers,
            index=self.index,
            topic=(TOPIC, Log),
            decoder=Decoder(AgencyRegistry.packaged()),
            clock=ManualClock(LATEST),
            future_tolerance=DAY,
            wait=lambda _: None,
        )

    def take(self, messages, *, offset=0, recount=True) -> None:
        """Store, resolve and recount messages as a worker does."""
        rows = rows_of(messages, offset=offset)
        self.store.insert_events(rows)
        resolver = DossierResolver(self.index)
        resolver.resolve(resolver.add(rows))
        if recount:
            self.recount()

    def recount(self) -> None:
        """Recount everything."""
        days = tuple(storage_of(self.clickhouse).audit().civil_days())
        self.store.recount_minutes(Span(MORNING - 99 * DAY, MORNING + 99 * DAY))
        self.store.roll_up_days(Days(days))
        self.store.recount_procedures(Days(days))

    def check(self, selection=ALL):
        """Check dossiers; everything that is stored is due."""
        return check_share(self.dossiers, selection, settle=NOW, in_hand=NOTHING)

    def faults(self) -> dict[DossierFault, int]:
        """The faults that there are, by kind."""
        return {fault: count for fault, count in self.check().faults.items() if count}

    def audit(self, **options):
        """A whole audit."""
        return run_audit(self.service, AuditOptions(settle=0.0, **options), wait=lambda _: None, progress=RecordedProgress())

    def delete(self, table: str, condition: str) -> None:
        """Remove rows."""
        self.clickhouse.command("test", f"ALTER TABLE {table} DELETE WHERE {condition}", mutations_sync=2)

    def number(self, sql: str) -> int:
        """The only value of an answer."""
        return int(self.clickhouse.rows("test", sql)[0][0])

    def is_right(self, messages, decisions=MappingProxyType({})) -> bool:
        """Whether every tally is what the rules give for the messages and decisions. A tally of zeros is none."""
        stored = {table: {key: row for key, row in rows.items() if row} for table, rows in tallied(self.clickhouse).items()}
        return stored == expected(messages, decisions)


@pytest.fixture
def destination(clickhouse):
    """An empty destination."""
    return Destination(clickhouse)


def a_dossier(code: str, *statuses: int, **changes) -> list[DossierEvent]:
    """A dossier whose events follow each other."""
    return [
        an_event(
            **{"dossier_code": code, "status": status, "occurred_at": MORNING + number * STEP, "named_by_code": True} | changes
        )
        for number, status in enumerate(statuses)
    ]


#: A plain dossier; one whose second 9 does not count; one that is settled by a 10; one that was taken up again.
PLAIN = a_dossier("H17.1-240102-0001", 1, 2, 4, 9)
TWICE = a_dossier("H17.1-240102-0002", 1, 2, 9, 9)
BY_TEN = a_dossier("H17.1-240102-0003", 1, 2, 10, agency="G01")
TAKEN_UP = a_dossier("H17.1-240102-0004", 1, 3, 2, 9, procedure_code="2.000815")
AGAIN = a_dossier("H17.1-240102-0005", 1, 9, 9)
MESSAGES = [*PLAIN, *TWICE, *BY_TEN, *TAKEN_UP, *AGAIN]


@pytest.mark.long
def test_a_sound_database_shows_no_fault(destination):
    """Nothing is wrong about dossiers with corrections, claims, repeats and unmerged parts, in one share or several."""
    destination.clickhouse.command("test", "SYSTEM STOP MERGES dossier_messages")
    source = random.Random(5)
    messages = list(dict.fromkeys(message for _ in range(6) for message in dossiers_of(source)))
    messages = [
        dataclasses.replace(message, dossier_code=f"{message.dossier_code[:-1]}{number % 7}")
        for number, message in enumerate(messages)
    ]
    for start in range(0, len(messages), 9):
        destination.take(messages[start : start + 9], offset=start, recount=False)
    destination.take(messages[:20])
    assert destination.number("SELECT countIf(plus + minus > 0) FROM dossier_corrections FINAL") > 5
    assert destination.number("SELECT count() FROM dossier_index WHERE claim > 0") > 5
    assert destination.faults() == {}
    found = destination.check()
    assert (found.messages, found.dossiers, found.in_hand) == (len(messages), len({m.dossier_code for m in messages}), 0)
    parts = [destination.check(DossierSelection(HashShard(number, 3))) for number in range(3)]
    assert sum(part.messages for part in parts) == found.messages
    assert destination.audit().clean
    assert destination.is_right(messages)
    destination.clickhouse.command("test", "SYSTEM START MERGES dossier_messages")


def _id(message: DossierEvent) -> str:
    return f"event_id = '{message.event_id}'"


_KEY = "agency, occurred_at, event_id, dossier, procedure_code, due_at, facts"


def _insert_correction(message: DossierEvent, *, plus: int, minus: int, seen: int) -> str:
    """A correction of an indexed message."""
    return (
        f"INSERT INTO dossier_corrections ({_KEY}, plus, minus, seen) SELECT {_KEY}, "
        f"{plus}, {minus}, {seen} FROM dossier_index WHERE claim = 0 AND {_id(message)} LIMIT 1"
    )


SETTLED = 4 + 8 + 16


def damage_each(at: Destination) -> None:
    """One damage of each kind, in four dossiers."""
    at.delete("dossier_corrections", _id(TWICE[3]))
    at.clickhouse.command("test", _insert_correction(PLAIN[3], plus=0, minus=SETTLED, seen=4))
    at.clickhouse.command("test", _insert_correction(AGAIN[2], plus=1, minus=SETTLED, seen=3))
    at.delete("dossier_index", f"claim = 0 AND {_id(TAKEN_UP[0])}")


DAMAGES = {
    "a message is not in the index": (
        lambda at: at.delete("dossier_index", f"claim = 0 AND {_id(PLAIN[1])}"),
        {DossierFault.UNINDEXED: 1},
    ),
    "a corrected message is not in the index": (
        lambda at: at.delete("dossier_index", f"claim = 0 AND {_id(TWICE[3])}"),
        {DossierFault.UNINDEXED: 1},
    ),
    "the claims are gone": (
        lambda at: at.delete("dossier_index", "claim > 0"),
        {DossierFault.UNINDEXED: ...},
    ),
    "the index is empty": (
        lambda at: at.clickhouse.command("test", "TRUNCATE TABLE dossier_index"),
        {DossierFault.UNINDEXED: len(MESSAGES)},
    ),
    "a correction is gone": (
        lambda at: at.delete("dossier_corrections", _id(TWICE[3])),
        {DossierFault.MISSING: 1},
    ),
    "all corrections are gone": (
        lambda at: at.clickhouse.command("test", "TRUNCATE TABLE dossier_corrections"),
        {DossierFault.MISSING: ...},
    ),
    "a correction is wrong": (
        lambda at: at.clickhouse.command("test", _insert_correction(TWICE[3], plus=1, minus=SETTLED, seen=4)),
        {DossierFault.WRONG: 1},
    ),
    "a wrong correction saw more messages than there are": (
        lambda at: at.clickhouse.command("test", _insert_correction(TWICE[3], plus=1, minus=SETTLED, seen=9)),
        {DossierFault.WRONG: 1},
    ),
    "a right correction saw more messages than there are": (
        lambda at: at.clickhouse.command("test", _insert_correction(TWICE[3], plus=0, minus=SETTLED, seen=9)),
        {DossierFault.WRONG: 1},
    ),
    "a plain message is corrected": (
        lambda at: at.clickhouse.command("test", _insert_correction(PLAIN[3], plus=0, minus=SETTLED, seen=4)),
        {DossierFault.SURPLUS: 1},
    ),
    "a damage of every kind": (
        damage_each,
        {DossierFault.UNINDEXED: 1, DossierFault.MISSING: 1, DossierFault.WRONG: 1, DossierFault.SURPLUS: 1},
    ),
}


@mainly_served
@pytest.mark.parametrize(
    ("damage", "faults"),
    cases(
        DAMAGES,
        fast=("a damage of every kind",),
    ),
)
def test_damage_is_found_and_repaired(destination, damage, faults):
    """Each damage of the index or the corrections is found as what it is; one repair puts dossiers and tallies right."""
    destination.take(MESSAGES)
    damage(destination)
    destination.recount()  # the tallies follow the damage
    found = destination.faults()
    assert found == {fault: found.get(fault) if count is ... else count for fault, count in faults.items()}
    assert all(found.values())
    report = destination.audit()
    assert not report.clean
    assert report.dossiers.total == sum(found.values())
    assert all(example.message.dossier_code in {m.dossier_code for m in MESSAGES} for example in report.dossiers.examples)
    report = destination.audit(repair=True)
    assert report.clean, report
    assert report.repaired.dossiers
    assert destination.faults() == {}
    assert destination.is_right(MESSAGES)
    # What comes later is counted as by workers that never saw the damage.
    later = [*a_dossier(TWICE[0].dossier_code, 4, occurred_at=MORNING - DAY), *a_dossier(PLAIN[0].dossier_code, 9, 9)]
    destination.take(later, offset=50)
    assert destination.is_right([*MESSAGES, *later])
    assert destination.audit().clean


def test_an_example_says_what_is_wrong(destination):
    """A fault is shown with the dossier and the message, what it counts as and what is right."""
    destination.take(MESSAGES)
    destination.delete("dossier_corrections", _id(TWICE[3]))
    (example,) = destination.check().examples
    message = TWICE[3]
    assert example.fault is DossierFault.MISSING
    assert (example.message.agency, example.message.occurred_at, example.message.event_id, example.message.dossier_code) == (
        message.agency,
        message.occurred_at,
        str(message.event_id),
        message.dossier_code,
    )
    assert (example.counted, example.right) == (("settled", "settled_full", "settled_full_any_return"), ())


@pytest.mark.long
@mainly_served
@pytest.mark.parametrize(
    "purged",
    cases(
        {
            "the first 9": ([TWICE[2]],),
            "the second 9": ([TWICE[3]],),
            "a dossier": (TWICE,),
            "a first event": ([PLAIN[0]],),
            "a 10": ([BY_TEN[2]],),
            "two of four": ([TAKEN_UP[2], TAKEN_UP[3]],),
            "everything": (MESSAGES,),
        },
        fast=("a 10",),
    ),
)
def test_purged_messages_are_found_and_repaired(destination, purged):
    """After messages were deleted, index rows and corrections of what is gone are found; a repair leaves what the rest gives."""
    destination.take(MESSAGES)
    for message in purged:
        destination.delete("dossier_messages", _id(message))
    found = destination.check()
    assert found.faults[DossierFault.ORPHANED] + found.faults[DossierFault.SURPLUS] >= len(purged)
    report = destination.audit(repair=True)
    assert report.clean, report
    assert destination.faults() == {}
    rest = [message for message in MESSAGES if message not in purged]
    assert destination.is_right(rest)
    assert destination.number("SELECT count() FROM dossier_index WHERE claim = 0") == len(rest)
    destination.take(purged, offset=70)
    assert destination.is_right(MESSAGES)
    assert destination.audit().clean


@pytest.mark.long
@mainly_served
@pytest.mark.parametrize("tier", cases({str(tier): (tier,) for tier in Tier}, fast=(str(Tier.PROCEDURE),)))
def test_tallies_with_corrections_that_were_edited(destination, tier):
    """An edited tally is found whatever its dossiers correct, and repaired: with a raised epoch when its version is too high."""
    destination.take(MESSAGES)
    day = "toDate(minute, 'Asia/Ho_Chi_Minh')" if tier is Tier.MINUTE else "day"
    rows = f"FROM {tier.value} FINAL WHERE {day} = '{TODAY + DAY}' AND agency = 'H17' LIMIT 1"

    def edit(changes):
        destination.clickhouse.command("test", f"INSERT INTO {tier.value} SELECT * REPLACE ({changes}) {rows}")

    edit("settled + 3 AS settled, version + 1 AS version")
    report = destination.audit()
    assert report.drift == {other: 3 if other is tier else 0 for other in Tier}
    report = destination.audit(repair=True)
    assert (report.clean, report.repaired.dossiers, len(report.repaired.epochs)) == (True, 0, 1)
    assert destination.is_right(MESSAGES)
    # With the version of a recount no epoch is needed.
    edit("settled + 3 AS settled")
    report = destination.audit(repair=True)
    assert (report.clean, report.repaired.epochs) == (True, [])
    assert destination.is_right(MESSAGES)


@pytest.mark.long
def test_only_dossiers_of_the_days_are_checked(destination):
    """With days, the dossiers that have a message, an index row or a correction there are checked, with all their messages."""
    other = a_dossier("H17.1-240102-0009", 1, 9, 9, occurred_at=MORNING + 40 * DAY)
    destination.take([*MESSAGES, *other])
    destination.delete("dossier_corrections", _id(TWICE[3]))
    destination.delete("dossier_corrections", f"dossier IN (SELECT dossier FROM dossier_index WHERE {_id(other[0])})")
    counts = [
        destination.check(DossierSelection(HashShard(0, 1), days)).total
        for days in ((TODAY, TODAY), (TODAY + 39 * DAY, TODAY + 41 * DAY), (TODAY + 50 * DAY, TODAY + 50 * DAY), None)
    ]
    assert counts == [1, 1, 0, 2]
    assert not destination.audit(first=TODAY, last=TODAY).clean
    assert destination.audit(first=TODAY + 50 * DAY).clean
    assert destination.audit(first=TODAY, last=TODAY, repair=True).clean
    assert destination.faults() == {DossierFault.MISSING: 1}


def test_a_decision_that_was_never_indexed_is_found_on_its_day(destination):
    """With days, a dossier is checked that an operator decided about on one of them, although nothing else of it is there."""
    destination.take(MESSAGES)
    code = PLAIN[0].dossier_code
    decision = storage_of(destination.clickhouse).exclusions().decide(code, excluded=True, reason="test", name="Lan")
    decided = civil_day(decision.decided_at)
    checks = [destination.check(DossierSelection(HashShard(0, 1), (day, day))) for day in (decided, decided + DAY)]
    assert [(check.dossiers, check.faults[DossierFault.UNINDEXED]) for check in checks] == [(1, 1), (0, 0)]
    assert checks[0].faults[DossierFault.MISSING] > 0


def test_what_is_in_hand_is_passed_over(destination):
    """A dossier with a message that is younger than the settling time, or not acknowledged, is not judged yet; others are."""
    destination.take(MESSAGES)
    destination.delete("dossier_corrections", _id(TWICE[3]))
    audit, stored = destination.service._audit, dt.datetime.now(dt.UTC)
    wait_until(lambda: audit.now() > stored, timeout=60, what="the time of storing to be over on every node")
    now = audit.now()
    hour = dt.timedelta(hours=1)
    found = check_share(destination.dossiers, ALL, settle=hour, in_hand=NOTHING)
    assert (found.total, found.dossiers, found.in_hand) == (0, 0, len({message.dossier_code for message in MESSAGES}))
    position = MESSAGES.index(TWICE[0])
    for committed, total in ((position, 0), (position + 3, 0), (position + 4, 1), (len(MESSAGES), 1)):
        in_hand = InHand(Acknowledged.of_topic(TOPIC, now, {0: (committed, len(MESSAGES))}))
        assert check_share(destination.dossiers, ALL, settle=hour, in_hand=in_hand).total == total, committed


@mainly_served
@pytest.mark.parametrize("seed", seeds(100, count=4, fast={101}))
def test_nothing_is_reported_while_writers_run(clickhouse, seed, pytestconfig):
    """At no moment of several writers with crashes is something wrong that no worker has in hand.

    The fast run looks at a quarter of the moments of the long one.
    """
    share = 0.2 if pytestconfig.getoption("--long") else 0.05
    audit, dossiers = storage_of(clickhouse).audit(), storage_of(clickhouse).dossier_audit()
    model = Model(clickhouse)
    seen = Counter()

    def look(source):
        if source.random() > share:
            return
        partitions = {number: (int(number in model.acknowledged), 1) for number in model.numbers.values()}
        in_hand = Acknowledged.of_topic(TOPIC, audit.now(), partitions)
        found = check_share(dossiers, ALL, settle=dt.timedelta(milliseconds=1), in_hand=InHand(in_hand))
        assert found.total == 0, found
        seen.update(looks=1, judged=found.dossiers, in_hand=found.in_hand)
        if source.random() < 0.9:  # comparing every day in every tier takes longer
            return
        for day in audit.civil_days():
            for tier in Tier:
                compared = audit.compare(tier, day, settle=dt.timedelta(milliseconds=1), limit=9, acknowledged=in_hand)
                assert compared.drift == 0, compared
                seen["late"] += compared.late

    model.after_step = look
    assert model.run(seed) == []
    assert seen["looks"]
    assert seen["in_hand"]
    assert check_share(dossiers, ALL, settle=NOW, in_hand=NOTHING).total == 0


def run_beside_repairs(destination, model, seed) -> None:
    """Run a model's writers beside repairs of all dossiers, as if all were stale."""
    clickhouse, running, repairs = destination.clickhouse, [], []

    def repairing():
        found = clickhouse.rows("test", f"SELECT DISTINCT {DOSSIER} FROM dossier_messages")
        numbers = [number.to_bytes(16, "little") for (number,) in found]
        if not numbers:
            return
        clickhouse.command("test", "SYSTEM START MERGES")  # a deletion waits for them
        destination.dossiers.forget(numbers)
        yield "forgotten"
        destination.index.add(as_indexed(destination.dossiers.stored_messages(numbers)))
        yield "indexed"
        yield from DossierResolver(destination.index).rewrite_steps(pa.array(numbers, pa.binary(16)))
        repairs.append(numbers)

    def act(source):
        if not running and source.random() < 0.1:
            running.append(repairing())
        if running and source.random() < 0.5 and next(running[0], None) is None:
            running.clear()

    model.after_step = act
    model.run(seed)
    for steps in running:
        list(steps)
    assert repairs


@mainly_served
@pytest.mark.parametrize("seed", seeds(200, count=6, fast={200}))
def test_a_repair_beside_writers(clickhouse, seed):
    """Repairs that delete, index and correct any dossiers again while workers write leave exactly what the rules give."""
    destination, model = Destination(clickhouse), Model(clickhouse)
    run_beside_repairs(destination, model, seed)
    storage_of(clickhouse).repair().raise_epoch("test")
    destination.recount()
    assert destination.faults() == {}
    assert destination.is_right(list(model.numbers))
