"""Specific to ClickHouse: migrations, errors by consequence, the lock on the folder."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from deploy.native.ports import free_port
from domain.agencies import Agency
from domain.registry_file import COLUMNS
from pipeline.settings import load_settings
from pipeline.wiring.storage import migrate_storage
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import Migration, applied_migrations, migrate, packaged_migrations
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.registry_writer import write_agencies
from sinks.clickhouse.server_state import read_schema
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.contract.tallies import Days, Span
from sinks.errors import Fatal, RefusedRows, Retryable
from sinks.tables import AGENCIES, EPOCH
from tests.contract.clustered import home_of
from tests.factories import MORNING, an_event, rows_of

MINUTE = dt.timedelta(minutes=1)


# ---- migrations


def test_migrations_are_applied_once(one_clickhouse):
    """What is applied is recorded and not applied again."""
    assert migrate(one_clickhouse) == ()
    recorded = one_clickhouse.rows("test", "SELECT number, name, sha256 FROM schema_migrations ORDER BY number")
    assert [tuple(row) for row in recorded] == [(m.number, m.name, m.sha256) for m in packaged_migrations()]


def test_migrations_are_numbered_without_gaps():
    """The files count up from 1, so that two branches cannot both add the next one unnoticed."""
    assert [migration.number for migration in packaged_migrations()] == list(range(1, len(packaged_migrations()) + 1))


def test_an_edited_migration_is_refused(one_clickhouse):
    """A file that was changed after it was applied stops the start, and names itself."""
    first, *others = packaged_migrations()
    edited = dataclasses.replace(first, text=first.text + "-- changed\n")
    with pytest.raises(Fatal, match="0001_create_dossier_events was edited"):
        migrate(one_clickhouse, (edited, *others))


def test_a_comment_that_was_reworded_is_no_edit(one_clickhouse):
    """A database that recorded the fingerprint of the earlier comment is accepted, and called unchanged."""
    former = "addac025895589a40208ed5deb9ae476da6b9ffafaa3742448c6622b15b00012"
    update = f"ALTER TABLE schema_migrations UPDATE sha256 = '{former}' WHERE number = 2 SETTINGS mutations_sync = 1"
    one_clickhouse.command("test", update)
    assert migrate(one_clickhouse) == ()
    assert applied_migrations(one_clickhouse)[2] == packaged_migrations()[1].sha256
    assert read_schema(one_clickhouse).edited == ()


def test_a_newer_database_is_refused(one_clickhouse):
    """A program older than its database does not change it."""
    *older, newest = packaged_migrations()
    with pytest.raises(Fatal, match=f"has migration {newest.number:04d}, this program knows none above {newest.number - 1:04d}"):
        migrate(one_clickhouse, tuple(older))


def test_a_missing_migration_is_added(one_clickhouse):
    """A database that is behind gets what it lacks, and only that."""
    number = packaged_migrations()[-1].number + 1
    added = Migration(number, "another", "CREATE TABLE another (a UInt8) ENGINE = Log;\n")
    assert migrate(one_clickhouse, (*packaged_migrations(), added)) == (added,)
    assert one_clickhouse.rows("test", "SELECT count() FROM another")[0][0] == 0


def _migrate_at(url, begin, answers):
    clickhouse = ClickHouse(Target.parse(url, timeout=60))
    begin.wait()
    try:
        answers.put(len(migrate(clickhouse)))
    except BaseException as error:  # noqa: BLE001 - the parent reports any error
        answers.put(repr(error))
    clickhouse.close()


def test_two_processes_migrate_at_the_same_time(empty_url):
    """Workers that start together on an empty database all succeed, and it is complete and usable afterwards."""
    context = multiprocessing.get_context("spawn")
    begin, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_migrate_at, args=(empty_url, begin, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    applied = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    assert all(isinstance(number, int) for number in applied), applied
    clickhouse = ClickHouse(Target.parse(empty_url, timeout=60))
    assert migrate(clickhouse) == ()
    ClickHouseStore(clickhouse).insert_events(rows_of([an_event()]))
    clickhouse.close()


def _registry_rows(clickhouse):
    """The stored registry."""
    columns = "code, valid_to, name_vi, name_en, official_name_vi, successor_code, reports_from"
    return [tuple(row) for row in clickhouse.rows("test", f"SELECT {columns} FROM {AGENCIES} FINAL ORDER BY code, valid_from")]


_START, _END = dt.date(2016, 4, 1), dt.date(2025, 6, 30)
_DA_NANG = Agency("H17", "Đà Nẵng", "Da Nang", "Đà Nẵng", "Thành phố Đà Nẵng", "province", _START, None, None, _START)
_QUANG_NAM = Agency("H47", "Quảng Nam", "Quang Nam", "Quảng Nam", "Tỉnh Quảng Nam", "province", _START, _END, "H17", None)


def test_the_registry_is_written_once(clickhouse):
    """The same registry again changes nothing, a corrected row replaces the old one."""
    for _ in range(2):
        write_agencies(home_of(clickhouse), [_DA_NANG, _QUANG_NAM])
    time.sleep(0.002)  # written_at has whole milliseconds and decides which row is the newer
    write_agencies(home_of(clickhouse), [dataclasses.replace(_DA_NANG, name_en="Danang"), _QUANG_NAM])
    assert _registry_rows(clickhouse) == [
        ("H17", None, "Đà Nẵng", "Danang", "Thành phố Đà Nẵng", "", _START),
        ("H47", _END, "Quảng Nam", "Quang Nam", "Tỉnh Quảng Nam", "H17", None),
    ]


def test_another_registry_replaces_the_stored_one(clickhouse):
    """Rows that the registry in force does not have are not left behind, and a registry may lack every optional day."""
    write_agencies(home_of(clickhouse), [_DA_NANG, _QUANG_NAM])
    later = dataclasses.replace(_QUANG_NAM, valid_from=dt.date(2020, 1, 1), valid_to=None, successor_code=None)
    write_agencies(home_of(clickhouse), [later])
    assert _registry_rows(clickhouse) == [("H47", None, "Quảng Nam", "Quang Nam", "Tỉnh Quảng Nam", "", None)]


def test_the_packaged_registry_is_stored_whole(clickhouse, registry):
    """Every row of the packaged registry is stored, in the order of codes and days."""
    write_agencies(home_of(clickhouse), registry)
    assert _registry_rows(clickhouse) == [
        (
            *(agency.code, agency.valid_to, agency.name_vi, agency.name_en, agency.official_name_vi),
            *(agency.successor_code or "", agency.reports_from),
        )
        for agency in registry
    ]


@pytest.mark.integration
def test_migrate_stores_the_registry_of_the_settings(empty_url, tmp_path):
    """The file that replaces the packaged registry is what the table of agencies holds after `portalpulse migrate`."""
    file = tmp_path / "units.csv"
    file.write_text(",".join(COLUMNS) + "\nA01,An,An,An,Tỉnh An,province,2016-04-01,,,\n", encoding="utf-8")
    settings = {"clickhouse": {"url": empty_url}}
    migrate_storage(load_settings(**settings))
    migrate_storage(load_settings(registry_file=str(file), **settings))
    clickhouse = ClickHouse(Target.parse(empty_url, timeout=60))
    assert _registry_rows(clickhouse) == [("A01", None, "An", "An", "Tỉnh An", "", None)]
    clickhouse.close()


def test_events_by_day_are_those_of_the_newest_tally(one_clickhouse):
    """Of several tallies of one day that are not merged yet the one with the greatest version says how many events there are."""
    store = ClickHouseStore(one_clickhouse)
    store.insert_events(rows_of([an_event(), an_event(), an_event()]))
    store.recount_minutes(Span(MORNING, MORNING + MINUTE))
    older = f"INSERT INTO agency_day (agency, day, events, version) VALUES ('H17', '{MORNING.date()}', 1, 1)"
    one_clickhouse.command("test", "SYSTEM STOP MERGES agency_day")
    try:
        one_clickhouse.command("test", older)
        store.roll_up_days(Days((MORNING.date(),)))
        one_clickhouse.command("test", older)
        assert ClickHouseReader(one_clickhouse).events_by_day() == {("H17", MORNING.date()): 3}
    finally:
        one_clickhouse.command("test", "SYSTEM START MERGES agency_day")


def test_a_raised_epoch_beats_every_older_count(one_clickhouse):
    """After a deliberate purge the new epoch's smaller counts win over the old ones."""
    store = ClickHouseStore(one_clickhouse)
    events = [an_event(), an_event(), an_event()]
    store.insert_events(rows_of(events))
    store.recount_minutes(Span(MORNING, MORNING + MINUTE))
    one_clickhouse.command("test", "TRUNCATE TABLE dossier_messages")
    one_clickhouse.command("test", "INSERT INTO tally_epochs (epoch, reason) VALUES (1, 'test')")
    again = ClickHouseStore(one_clickhouse)
    again.insert_events(rows_of(events[:1]))
    again.recount_minutes(Span(MORNING, MORNING + MINUTE))
    again.roll_up_days(Days((MORNING.date(),)))
    rows = one_clickhouse.rows("test", "SELECT events, version FROM agency_minute FINAL")
    assert [tuple(map(int, row)) for row in rows] == [(1, EPOCH + 1)]
    assert ClickHouseReader(one_clickhouse).counts_of_days(MORNING.date(), MORNING.date())["H17"].events == 1


# ---- errors


def seen_calls(clickhouse):
    """The (operation, outcome) pairs that the observer receives from now on."""
    seen = []
    clickhouse._observer = lambda operation, outcome, seconds: seen.append((operation, outcome, seconds >= 0))
    return seen


def test_a_malformed_id_is_the_rows_fault(one_clickhouse):
    """A bad UUID is RefusedRows."""
    seen = seen_calls(one_clickhouse)
    rows = rows_of([an_event()])
    broken = rows.set_column(rows.column_names.index("event_id"), "event_id", [["no-uuid"]])
    with pytest.raises(RefusedRows):
        ClickHouseStore(one_clickhouse).insert_events(broken)
    assert seen[-1] == ("insert_events", "refused", True)


def test_an_unknown_table_stops_the_worker(one_clickhouse):
    """A missing table is neither an error of the rows nor temporary: Fatal."""
    store = ClickHouseStore(one_clickhouse)
    seen = seen_calls(one_clickhouse)
    one_clickhouse.command("test", "DROP TABLE dossier_messages SYNC")
    for action in (
        lambda: store.insert_events(rows_of([an_event()])),
        lambda: store.recount_minutes(Span(MORNING, MORNING + MINUTE)),
        lambda: ClickHouseReader(one_clickhouse).last_events(MORNING),
    ):
        with pytest.raises(Fatal):
            action()
        assert seen[-1][1] == "unknown"


def test_an_unknown_column_stops_the_worker(one_clickhouse):
    """A schema that does not match is not an error of the rows: nothing is dead-lettered, and the worker stops."""
    rows = rows_of([an_event()])
    with pytest.raises(Fatal):
        ClickHouseStore(one_clickhouse).insert_events(rows.append_column("surprise", [["x"]]))


def test_a_syntax_error_stops_the_worker(clickhouse):
    """A statement that ClickHouse cannot parse is an error of the program, never of the rows."""
    with pytest.raises(Fatal):
        clickhouse.command("test", "SELEKT 1")


def test_a_query_over_its_limit_may_be_tried_again(clickhouse):
    """A query that is temporarily too slow or too large is Retryable, with the pause of its code."""
    with pytest.raises(Retryable) as slow:
        clickhouse.rows("test", "SELECT sum(cityHash64(number)) FROM numbers(100000000000)", max_execution_time=0.2)
    assert slow.value.retry_after == 2.0
    with pytest.raises(Retryable):
        clickhouse.rows("test", "SELECT groupArray(number) FROM numbers(50000000)", max_memory_usage=20_000_000)


def test_a_server_that_is_down():
    """A server that is down is Retryable at once, not after the timeout."""
    seen = []
    clickhouse = ClickHouse(
        Target.parse(f"http://127.0.0.1:{free_port()}", timeout=200), observer=lambda *call: seen.append(call[:2])
    )
    began = time.monotonic()
    with pytest.raises(Retryable, match=r"ClickHouse at 127\.0\.0\.1"):
        clickhouse.rows("ping", "SELECT 1")
    assert time.monotonic() - began < 100
    assert seen == [("ping", "retryable")]
    clickhouse.close()


def test_a_server_that_never_answers():
    """A server that accepts the connection and never answers is Retryable after the timeout, and gets one request."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        clickhouse = ClickHouse(Target.parse(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1))
        with pytest.raises(Retryable):
            clickhouse.rows("ping", "SELECT 1")
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
        clickhouse.close()


def test_a_server_that_ends_in_mid_answer():
    """A connection that breaks off is Retryable."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as broken:

        def break_off():
            while True:
                try:
                    connection, _ = broken.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

        thread = threading.Thread(target=break_off, daemon=True)
        thread.start()
        clickhouse = ClickHouse(Target.parse(f"http://127.0.0.1:{broken.getsockname()[1]}", timeout=5))
        with pytest.raises(Retryable):
            clickhouse.rows("ping", "SELECT 1")
        clickhouse.close()


def test_a_wrong_password_stops_and_is_not_shown(clickhouse_server):
    """Rejected credentials are Fatal; the message names the server, never the password."""
    url = clickhouse_server.url().replace("default:@", "nobody:s3cret@")
    clickhouse = ClickHouse(Target.parse(url, timeout=5))
    with pytest.raises(Fatal) as refused:
        clickhouse.rows("ping", "SELECT 1")
    assert "s3cret" not in str(refused.value)
    clickhouse.close()


def retried(action):
    """Call until the error is no longer retryable."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return action()
        except Retryable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_killed_server_comes_back(clickhouse_server, served):
    """A server that was killed and restarted has everything it acknowledged, and the same client continues."""
    store, reader = ClickHouseStore(served), ClickHouseReader(served)
    events = [an_event(), an_event()]
    store.insert_events(rows_of(events))
    clickhouse_server.kill()
    with pytest.raises(Retryable):
        store.insert_events(rows_of(events))
    clickhouse_server.restart()
    retried(lambda: store.insert_events(rows_of(events)))
    store.recount_minutes(Span(MORNING, MORNING + MINUTE))
    assert reader.counts_between(MORNING, MORNING + MINUTE)["H17"].events == 2


def test_an_insert_over_a_dead_connection_is_whole_or_an_error(clickhouse_server, served):
    """The first insert after the server was replaced under an open connection stores every row or fails."""
    store, reader = ClickHouseStore(served), ClickHouseReader(served)
    store.insert_events(rows_of([an_event(agency="G01")]))
    clickhouse_server.kill()
    clickhouse_server.restart()
    events = [an_event() for _ in range(50_000)]
    retried(lambda: store.insert_events(rows_of(events)))
    retried(lambda: store.recount_minutes(Span(MORNING, MORNING + MINUTE)))
    found = reader.counts_between(MORNING, MORNING + MINUTE)
    assert {agency: counts.events for agency, counts in found.items()} == {"G01": 1, "H17": 50_000}


def test_readers_in_passing_threads_leave_nothing_behind(one_clickhouse):
    """A thread that made a request and ended keeps no connection, so that connections do not accumulate for days."""
    store, reader = ClickHouseStore(one_clickhouse), ClickHouseReader(one_clickhouse)
    store.insert_events(rows_of([an_event()]))

    def ask():
        b"".join(reader.events(MORNING.date(), MORNING.date(), None))

    def in_a_thread():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(30)

    in_a_thread()
    before = len(one_clickhouse._clients)
    for _ in range(20):
        in_a_thread()
    gc.collect()
    assert len(one_clickhouse._clients) <= before + 1


# ---- the folder


_OPEN_A_FOLDER = """
import sys
from pathlib import Path
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.target import Target
ClickHouse(Target(timeout=5, folder=Path(sys.argv[1])))
"""


def test_a_folder_has_one_owner(embedded, embedded_folder):
    """Opening a folder in use, in this process or another, names the process that uses it."""
    with pytest.raises(Fatal, match=f"in use by process {os.getpid()}"):
        ClickHouse(Target(timeout=5, folder=embedded_folder))
    other = subprocess.run(
        [
            *(sys.executable, "-c", _OPEN_A_FOLDER),
            str(embedded_folder),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"is in use by process {os.getpid()}" in other.stderr


def test_a_closed_folder_is_free_again(embedded_folder):
    """Closing releases the folder."""
    for _ in range(2):
        clickhouse = ClickHouse(Target(timeout=5, folder=embedded_folder))
        clickhouse.close()


@pytest.mark.parametrize("form", ["embedded", pytest.param("served", marks=pytest.mark.integration)])
def test_a_late_thread_opens_nothing(request, embedded_folder, form):
    """A call after close is refused; it opens no connection, and no folder that another process may use by then."""
    if form == "embedded":
        target = Target(timeout=5, folder=embedded_folder)
    else:
        target = Target.parse(request.getfixturevalue("clickhouse_server").url("default"), timeout=5)
    clickhouse, closed, seen = ClickHouse(target), threading.Event(), []

    def call_late():
        closed.wait(30)
        for _ in range(2):
            try:
                clickhouse.rows("late", "SELECT 1")
            except Fatal as error:
                seen.append(str(error))

    late = threading.Thread(target=call_late)
    late.start()
    clickhouse.close()
    closed.set()
    late.join(60)
    assert [text.endswith("was closed.") for text in seen] == [True, True]
    assert not clickhouse._clients


def test_a_folder_that_cannot_be_made(tmp_path):
    """A folder below a file is refused with its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="cannot be written"):
        ClickHouse(Target(timeout=5, folder=tmp_path / "file" / "clickhouse"))
