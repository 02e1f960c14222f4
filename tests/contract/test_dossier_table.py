"""The table of dossiers and its keeper, on a real ClickHouse: every row is what the domain says, whatever happens in between."""

from __future__ import annotations

import datetime as dt
import random
import threading
import uuid
from dataclasses import replace

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from deploy.native.processes import wait_until
from domain import dossiers as rules
from domain.clock import SystemClock
from domain.dossier_milestones import DossierState, milestones_of, without_messages
from domain.dossiers import judge
from pipeline.dossiers import judged_rows
from pipeline.dossiers.keeper import DossierKeeper
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.metrics import WorkerMetrics
from sinks.clickhouse import dossier_histories
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.first_notes import note_every_dossier
from sinks.contract.dossier_table import ROW_SCHEMA, Noted
from sinks.contract.dossier_table import rows_of as rows_of_dossiers
from tests.contract.clustered import Clustered, dossier_table_of, storage_of
from tests.contract.dossier_model import dossiers_of
from tests.factories import MORNING, an_event, rows_of

CODE = "H17.1-240102-0001"
_KEPT = [name for name in ROW_SCHEMA.names if name not in {"dossier", "judged_at"}]


class Storage:
    """One database, and keepers of it."""

    def __init__(self, clickhouse, **table):
        self.clickhouse = clickhouse
        self.table = dossier_table_of(clickhouse, **table)
        self.exclusions = storage_of(clickhouse).exclusions()
        self.clustered = isinstance(clickhouse, Clustered)

    def keeper(self, **options):
        """A keeper of a worker that just started."""
        return DossierKeeper(
            self.table,
            storage_of(self.clickhouse).dossier_histories(),
            retrying=StorageRetry(SystemClock()),
            metrics=WorkerMetrics(CollectorRegistry()),
            interval=30,
            duty=2,
            flooded=lambda: False,
            stopping=threading.Event(),
            **options,
        )

    def store(self, events, *, noted=True):
        """Store and index messages. Without notes it is what a worker leaves that ends before it writes them."""
        rows = rows_of(events)
        storage_of(self.clickhouse).events().insert_events(rows)
        without_notes = ClickHouseDossierIndex(self.clickhouse, later_tables=False)
        DossierResolver(storage_of(self.clickhouse).dossier_index() if noted else without_notes).add(rows)

    def decide(self, code, *, excluded):
        """Decide about a dossier as an operator does."""
        decision = self.exclusions.decide(code, excluded=excluded, reason="r" * excluded, name="n")
        DossierResolver(storage_of(self.clickhouse).dossier_index()).add_decisions(code, [decision])
        return decision

    def rows(self):
        """The row that holds of each dossier, by its code."""
        names = ", ".join("toString(state) AS state" if name == "state" else name for name in _KEPT)
        found = self.clickhouse.table("test", f"SELECT {names} FROM dossiers FINAL ORDER BY dossier_code").to_pylist()
        return {row["dossier_code"]: row for row in found}

    def waiting(self):
        """How many dossiers wait."""
        return self.table.waiting_since(self.table.now())

    def changes(self):
        """How many notes are kept."""
        return int(self.clickhouse.rows("test", "SELECT count() FROM dossier_changes")[0][0])

    def age(self, by):
        """Make everything that was noted or judged older."""
        for table, column in (("dossiers", "judged_at"), ("dossier_changes", "noted_at")):
            names = self.clickhouse.rows(
                "test",
                "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
                {"table": table},
            )
            kept = ", ".join(str(name) for (name,) in names)
            older = kept.replace(column, f"{column} - toIntervalSecond({int(by.total_seconds())})")
            self.clickhouse.command("test", f"CREATE TABLE aged AS {table} ENGINE = Memory")
            self.clickhouse.command("test", f"INSERT INTO aged ({kept}) SELECT {older} FROM {table}")
            self.clickhouse.command("test", f"TRUNCATE TABLE {table}")
            self.clickhouse.command("test", f"INSERT INTO {table} ({kept}) SELECT {kept} FROM aged")
            self.clickhouse.command("test", "DROP TABLE aged")


def a_round(keeper):
    """One round of a keeper, to its end."""
    return list(keeper.steps())


def rounds_until_nothing_waits(keeper, storage):
    """On one server one round is enough. On a cluster a change waits until it is over on the clock of every node."""
    if storage.clustered:
        wait_until(lambda: a_round(keeper) and not storage.table.waiting_total(Noted()).dossiers, timeout=60, what="the keeper")
    a_round(keeper)
    assert storage.waiting() == 0
    assert storage.table.waiting_total(Noted()).dossiers == 0


def a_row(messages, decisions=(), *, code=CODE):
    """The columns of the row that the domain says."""
    seen = len(set(messages)) + len(decisions)
    found = replace(milestones_of(judge(messages, decisions), seen=seen), code=code)
    return columns_of(found)


def columns_of(found):
    """A row as the table gives it."""
    row = {"dossier_code": found.code, "state": found.state.value}
    for name in set(_KEPT) - row.keys():
        value = getattr(found, name)
        row[name] = list(value) if isinstance(value, tuple) else value
    return row


def events_of(count, **fields):
    """Messages of the dossier ``CODE``, a minute apart."""
    fields = {"dossier_code": CODE, "status": 4} | fields
    return [an_event(occurred_at=MORNING + dt.timedelta(minutes=minute), **fields) for minute in range(count)]


def test_rows_are_what_the_domain_says(clickhouse, monkeypatch):
    """Random dossiers in any order, with repeats and decisions, a long one and one with too many events: every row is right."""
    for module in (rules, judged_rows, dossier_histories):
        monkeypatch.setattr(module, "MAX_EVENTS", 90)
    storage, source = Storage(clickhouse, page=7, compared=5), random.Random(5)
    by_code, decided = {}, {}
    for number in range(25):
        for event in dossiers_of(source):
            fields = {name: getattr(event, name) for name in event.__slots__}
            code = f"{event.dossier_code[:-4]}{number:03d}{event.dossier_code[-1]}"
            due_at = source.choice((None, event.occurred_at + dt.timedelta(days=1)))
            message = type(event)(**fields | {"dossier_code": code, "due_at": due_at, "legacy_level": source.randint(0, 4)})
            by_code.setdefault(code, []).append(message)
    by_code[CODE] = events_of(80)
    for code, count in (("H17.1-240102-0002", 91), ("H17.1-240102-0003", 91)):
        by_code[code] = events_of(count, dossier_code=code)
    messages = [message for events in by_code.values() for message in events]
    source.shuffle(messages)
    keeper = storage.keeper(piece=10)
    for start in range(0, len(messages), 60):
        again = source.sample(messages[: start + 60], 10)
        storage.store([*messages[start : start + 60], *again])
        if source.random() < 0.5:
            a_round(keeper)
    for code in [*source.sample(sorted(by_code), 5), "H17.1-240102-0003", "H17.1-240102-0009"]:
        decided.setdefault(code, []).append(storage.decide(code, excluded=True))
    for code in source.sample(sorted(decided), 2):
        decided[code].append(storage.decide(code, excluded=False))
    assert storage.waiting() > 0
    rounds_until_nothing_waits(keeper, storage)
    expected = {code: a_row(events, decided.get(code, ()), code=code) for code, events in by_code.items()}
    unknown = without_messages("H17.1-240102-0009", seen=len(decided["H17.1-240102-0009"]))
    assert storage.rows() == expected | {unknown.code: columns_of(unknown)}
    states = {row["state"] for row in storage.rows().values()}
    assert states == {state.value for state in DossierState}


def test_a_dossier_waits_until_its_change_is_seen(embedded):
    """It waits from the note on, for everyone who asks at that time or later, until a row was judged later than the note."""
    storage = Storage(embedded)
    before = storage.table.now()
    storage.clickhouse.rows("test", "SELECT sleep(0.01)")
    storage.store(events_of(2))
    asked = storage.table.now()
    assert (storage.table.waiting_since(before), storage.table.waiting_since(asked)) == (0, 1)
    keeper = storage.keeper()
    a_round(keeper)
    assert storage.table.waiting_since(asked) == 0
    assert keeper.metrics.dossiers_waiting._value.get() == 1  # what the round found
    a_round(keeper)
    assert keeper.metrics.dossiers_waiting._value.get() == 0
    assert keeper.metrics.dossier_rows._value.get() == 1
    storage.store(events_of(1, status=9))
    assert storage.waiting() == 1
    total = storage.table.waiting_total(Noted(since=asked))
    assert total.dossiers == 1
    assert asked <= total.oldest <= storage.table.now()


def test_a_change_in_the_millisecond_of_the_row_waits(embedded):
    """Whether it came before or after the messages were read is not known; a row of a millisecond later has seen it."""
    storage = Storage(embedded)
    event = an_event(dossier_code=CODE)
    storage.store([event])
    ((number, noted),) = storage.clickhouse.rows("test", "SELECT dossier, noted_at FROM dossier_changes")
    for later, waiting in ((0, 1), (1, 0)):
        judged_at = noted.replace(tzinfo=dt.UTC) + dt.timedelta(milliseconds=later)
        row = milestones_of(judge([event]), seen=1)
        storage.table.write(rows_of_dossiers({int(number).to_bytes(16, "little"): row}, judged_at=judged_at))
        assert storage.table.waiting_since(judged_at) == waiting


def test_of_two_keepers_the_one_that_saw_more_wins(embedded):
    """A keeper that writes late what it read early changes nothing, and both may do the same dossier at once."""
    storage = Storage(embedded)
    early, late = events_of(1), events_of(2, status=9)
    storage.store(early)
    slow, fast = storage.keeper(), storage.keeper()
    steps = slow.steps()
    while next(steps) != "judged":
        pass
    storage.store(late)
    a_round(fast)
    assert storage.rows()[CODE] == a_row([*early, *late])
    list(steps)
    assert storage.rows()[CODE] == a_row([*early, *late])
    storage.clickhouse.command("test", "OPTIMIZE TABLE dossiers FINAL")
    assert storage.rows()[CODE] == a_row([*early, *late])
    a_round(fast)
    a_round(slow)
    assert storage.waiting() == 0


def test_what_was_never_noted_is_found(embedded):
    """A worker ended between index and note, a row is deleted, an index lost messages: the comparison finds each of them."""
    storage = Storage(embedded)
    messages = {f"H17.1-240102-{number:04d}": events_of(2, dossier_code=f"H17.1-240102-{number:04d}") for number in range(5)}
    for events in messages.values():
        storage.store(events)
    storage.store([messages["H17.1-240102-0001"][0]])
    keeper = storage.keeper()
    a_round(keeper)
    storage.clickhouse.command("test", "TRUNCATE TABLE dossier_changes")
    more = events_of(1, status=9)
    storage.store(more, noted=False)
    messages[CODE] += more
    storage.clickhouse.command("test", "DELETE FROM dossiers WHERE dossier_code = 'H17.1-240102-0002'")
    lost = messages["H17.1-240102-0003"].pop()
    storage.clickhouse.command("test", f"DELETE FROM dossier_index WHERE event_id = '{lost.event_id}'")
    a_round(keeper)
    assert (storage.changes(), storage.waiting()) == (3, 3)
    a_round(keeper)
    assert storage.rows() == {code: a_row(events, code=code) for code, events in messages.items()}
    assert storage.changes() == 3
    a_round(keeper)
    assert storage.changes() == 3


def test_a_row_that_knows_all_and_says_something_else_is_found(embedded):
    """A few rows are judged again in each round; a wrong one is replaced, although its version says that it is right."""
    storage = Storage(embedded)
    codes = [f"H17.1-240102-{number:04d}" for number in range(6)]
    messages = {code: events_of(2, dossier_code=code) for code in codes}
    storage.store([event for events in messages.values() for event in events])
    keeper = storage.keeper(sample=2, choose=lambda count: count - 1)
    a_round(keeper)
    a_round(keeper)
    right = storage.rows()
    assert right == {code: a_row(events, code=code) for code, events in messages.items()}
    storage.clickhouse.command("test", "CREATE TABLE damaged AS dossiers ENGINE = Memory")
    storage.clickhouse.command(
        "test", "INSERT INTO damaged SELECT * REPLACE (submitted_unit || 'x' AS submitted_unit) FROM dossiers"
    )
    storage.clickhouse.command("test", "TRUNCATE TABLE dossiers")
    storage.clickhouse.command("test", "INSERT INTO dossiers SELECT * FROM damaged")
    storage.clickhouse.command("test", "DROP TABLE damaged")
    a_round(keeper)
    a_round(keeper)
    repaired = [code for code, row in storage.rows().items() if row == right[code]]
    assert len(repaired) == 2
    keeper.sample = 6
    a_round(keeper)
    a_round(keeper)
    assert storage.rows() == right


def test_changes_are_dropped_when_nothing_waits_for_them(embedded):
    """A period that ended more than an hour ago is dropped, but never before its dossiers are judged."""
    storage = Storage(embedded)
    storage.store(events_of(1))
    storage.age(dt.timedelta(hours=2))
    storage.store(events_of(1, dossier_code="H17.1-240102-0002"))
    keeper = storage.keeper()
    steps = keeper.steps()
    while (step := next(steps)) != "written":
        assert step != "dropped"
    assert storage.changes() == 2
    list(steps)
    a_round(keeper)
    assert storage.changes() == 1
    assert (storage.waiting(), len(storage.rows())) == (0, 2)
    assert a_round(keeper) == ["looked", "compared"]


def test_a_late_note_is_judged_before_its_period_is_dropped(embedded):
    """A keeper does not look for a note that becomes visible long after its time; but it waits, and is judged before the drop."""
    storage = Storage(embedded)
    keeper = storage.keeper()
    a_round(keeper)
    a_round(keeper)
    storage.store(events_of(1))
    storage.age(dt.timedelta(hours=2))
    assert storage.waiting() == 1
    assert a_round(keeper) == ["looked", "judged", "written", "compared"]
    assert (storage.waiting(), storage.changes()) == (0, 1)
    assert a_round(keeper) == ["looked", "dropped", "compared"]


def test_the_table_is_filled_from_an_index_that_was_there_before(embedded):
    """The step of the migration notes every dossier, and may be repeated; keepers go on where others ended."""
    storage = Storage(embedded, page=3, marked=1)
    codes = [f"H17.1-240102-{number:04d}" for number in range(10)]
    events = [an_event(dossier_code=code, event_id=uuid.UUID(int=number)) for number, code in enumerate(codes)]
    storage.store(events, noted=False)
    assert storage.waiting() == 0
    note_every_dossier(storage.clickhouse, at_once=4)
    note_every_dossier(storage.clickhouse, at_once=5)
    assert storage.waiting() == len(codes)
    storage.age(dt.timedelta(hours=3))
    first = storage.keeper(piece=2, backlog=2)
    a_round(first)
    assert len(storage.rows()) == 4
    assert first.metrics.dossiers_waiting._value.get() == len(codes)
    assert first.metrics.dossiers_waiting_age._value.get() >= 3 * 3600
    second = storage.keeper()
    for _ in range(6):
        a_round(second)
    assert storage.rows() == {code: a_row([event], code=code) for code, event in zip(codes, events, strict=True)}
    assert (storage.waiting(), storage.changes()) == (0, 0)


def test_what_waits_is_found_by_parts(clickhouse):
    """Marks divide what waits, about evenly; of each part all that waits is found, in order, and nothing else."""
    table = storage_of(clickhouse).dossier_table()
    numbers = [pow(number, 30, 2**128 - 159) for number in range(1, 4_301)]  # over all of the range, not evenly
    noted = {number.to_bytes(16, "little") for number in numbers}
    table.note(pa.table({"dossier": pa.array(noted, pa.binary(16))}))
    known = {number.to_bytes(16, "little") for number in numbers[::7]}
    row = without_messages(CODE, seen=1)
    table.write(rows_of_dossiers(dict.fromkeys(known, row), judged_at=table.now() + dt.timedelta(hours=1)))
    waiting = sorted(noted - known, key=lambda number: int.from_bytes(number, "little"))
    total = table.waiting_total(Noted())
    assert total.dossiers == len(waiting)
    assert list(total.marks) == [mark for mark in waiting if mark in set(total.marks)]
    assert 3 <= len(total.marks) <= 4  # every thousandth of each shard
    found = [
        table.waiting(Noted(), after=after, until=until).dossiers.column("dossier").to_pylist()
        for after, until in zip([None, *total.marks], [*total.marks, None], strict=True)
    ]
    assert [number for part in found for number in part] == waiting
    assert max(map(len, found)) <= 1_100


@pytest.mark.parametrize("page", [1, 4, 5, 100])
def test_marks_and_parts_go_over_pages(embedded, page):
    """However many changes are looked up at once, every third dossier that waits is a mark, and a part ends at its end."""
    storage = Storage(embedded, page=page, marked=3)
    numbers = [number.to_bytes(16, "little") for number in range(1_000, 1_020)]
    storage.table.note(pa.table({"dossier": pa.array(numbers, pa.binary(16))}))
    judged = dict.fromkeys(numbers[4:9], without_messages(CODE, seen=1))
    storage.table.write(rows_of_dossiers(judged, judged_at=storage.table.now() + dt.timedelta(hours=1)))
    left = numbers[:4] + numbers[9:]
    assert list(storage.table.waiting_total(Noted()).marks) == left[2::3]
    found, after, until = [], left[1], left[9]
    while True:
        part = storage.table.waiting(Noted(), after=after, until=until)
        found += part.dossiers.column("dossier").to_pylist()
        if part.last is None:
            break
        after = part.last
    assert found == left[2:10]


def test_keepers_that_run_at_once_share_the_work(embedded):
    """Two keepers judge all, each about a half, and few dossiers are judged by both; so with what waited when they started."""
    storage = Storage(embedded, marked=1)
    codes = [f"H17.1-240102-{number:04d}" for number in range(40)]
    events = [an_event(dossier_code=code) for code in codes]
    storage.store(events[:20])
    storage.age(dt.timedelta(minutes=5))
    storage.store(events[20:])
    source = random.Random(2)
    keepers = [storage.keeper(choose=source.randrange) for _ in range(2)]
    rounds = [keeper.steps() for keeper in keepers]
    while rounds:
        steps = source.choice(rounds)
        if next(steps, None) is None:
            rounds.remove(steps)
    written = [keeper.metrics.dossier_rows._value.get() for keeper in keepers]
    assert sum(written) <= len(codes) + 4 * 2  # a part has two dossiers
    assert max(written) <= 28
    assert storage.rows() == {code: a_row([event], code=code) for code, event in zip(codes, events, strict=True)}


@pytest.mark.parametrize("count", [2, 70])
def test_an_index_that_was_emptied_leaves_no_milestones(embedded, count):
    """When all messages of a dossier are gone its row says so, and it does not wait for ever."""
    storage = Storage(embedded)
    storage.store(events_of(count))
    keeper = storage.keeper()
    a_round(keeper)
    storage.clickhouse.command("test", "TRUNCATE TABLE dossier_index")
    storage.clickhouse.command("test", "TRUNCATE TABLE dossier_changes")
    a_round(keeper)
    a_round(keeper)
    (row,) = storage.rows().values()
    assert (row["state"], row["seen"], storage.waiting()) == ("no_messages", 0, 0)
