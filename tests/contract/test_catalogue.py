"""The service catalogue on every implementation: replaced as a whole, added to, and whole for every reader."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import CatalogueEntry, OverlapError
from domain.catalogue_changes import ChangeKind
from domain.periods import Period
from pipeline.catalogue.files import read_catalogue
from pipeline.catalogue.json_format import entry_as_dict
from pipeline.settings import load_settings
from pipeline.wiring.features import catalogue_service
from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate, packaged_migrations
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, Retryable
from tests.cases import FOLDER
from tests.contract.clustered import home_of, storage_of
from tests.fakes import MemoryCatalogue

FIRST = dt.date(2018, 1, 1)
DAY = dt.timedelta(days=1)


def an_entry(procedure="1.000001", agency="H55", **changed) -> CatalogueEntry:
    """An entry since 2018, with a name that SQL could misread."""
    entry = CatalogueEntry(
        agency, procedure, FIRST, name="Cấp \"đất\" \\n 'x' {a:String} %s", service_level="toan_trinh", legacy_level=4
    )
    return replace(entry, **changed)


@pytest.fixture(params=["memory", "embedded", pytest.param("served", marks=pytest.mark.integration)])
def store(request):
    """Each implementation, empty."""
    return MemoryCatalogue() if request.param == "memory" else ClickHouseCatalogue(request.getfixturevalue(request.param))


@pytest.fixture
def other(clickhouse):
    """A second process on the storage of ``clickhouse``, and the first."""
    return storage_of(clickhouse).catalogue(), storage_of(clickhouse).catalogue()


def kinds(load):
    """What a load changed, in short."""
    return [(change.kind, change.entry.agency, change.entry.procedure_code) for change in load.changes]


def test_entries_come_back_as_they_were_loaded(store):
    """Every field, missing values too; in the order of agency, procedure and day."""
    entries = [
        an_entry("2", eligible=True, longest_days=15, valid_to=FIRST + DAY),
        an_entry("2", eligible=False, longest_days=0, valid_from=FIRST + 2 * DAY, service_level="", legacy_level=0),
        an_entry("1", name="", service_level="mot_phan", legacy_level=1),
        an_entry("1", agency="G01", valid_from=dt.date(1976, 1, 1), valid_to=dt.date(2106, 2, 6)),
        an_entry("3", service_level="cung_cap_thong_tin"),
    ]
    load = store.load(entries, source="a 'file'.csv")
    assert (load.entries, load.overtaken, len(load.changes)) == (5, (), 5)
    assert list(store.entries()) == [entries[3], entries[2], entries[0], entries[1], entries[4]]


def test_a_load_replaces_the_agencies_that_occur_in_it(store):
    """Rows that the new file lacks are closed; agencies that it lacks keep theirs."""
    store.load([an_entry("1"), an_entry("2"), an_entry("1", agency="H17")])
    load = store.load([an_entry("2", legacy_level=3), an_entry("3")])
    assert kinds(load) == [(ChangeKind.CLOSED, "H55", "1"), (ChangeKind.CHANGED, "H55", "2"), (ChangeKind.OPENED, "H55", "3")]
    assert load.changes[1].fields == {"legacy_level": (4, 3)}
    assert [entry.service for entry in store.entries()] == [("H17", "1"), ("H55", "2"), ("H55", "3")]


def test_added_rows_leave_the_others(store):
    """With ``add`` only the rows given change; one with the same first day is replaced."""
    store.load([an_entry("1"), an_entry("2")])
    load = store.load([an_entry("2", valid_to=FIRST + DAY), an_entry("3"), an_entry("1", agency="G01")], add=True)
    assert kinds(load) == [(ChangeKind.OPENED, "G01", "1"), (ChangeKind.CLOSED, "H55", "2"), (ChangeKind.OPENED, "H55", "3")]
    assert load.entries == 4
    assert [entry.service for entry in store.entries()] == [("G01", "1"), ("H55", "1"), ("H55", "2"), ("H55", "3")]


def test_the_same_file_again_changes_nothing(store):
    """Neither replaced nor added, in whatever order: there are no changes."""
    entries = [an_entry("1"), an_entry("2"), an_entry("1", agency="G01")]
    store.load(entries)
    for add in (False, True):
        assert store.load(entries[::-1], add=add).changes == ()
    assert store.load(entries[1:2], add=True).changes == ()
    assert len(store.entries()) == 3


def test_an_added_row_that_contradicts_a_known_one_changes_nothing(store):
    """Two entries of a service would share a day: nothing is stored, also not the other rows."""
    store.load([an_entry("1")])
    with pytest.raises(OverlapError, match="H55 has two entries for the procedure 1 on 2018-01-02"):
        store.load([an_entry("1", valid_from=FIRST + DAY), an_entry("2")], add=True)
    assert list(store.entries()) == [an_entry("1")]
    ended = [an_entry("1", valid_to=FIRST), an_entry("1", valid_from=FIRST + DAY)]
    assert len(store.load(ended, add=True).changes) == 2


def test_entries_are_read_by_days_and_agencies(store):
    """Those in force on a day of the period, both ends included; of the agencies that are asked for."""
    entries = [
        an_entry("1", valid_to=FIRST + 9 * DAY),
        an_entry("2", valid_from=FIRST + 10 * DAY),
        an_entry("3", agency="G01", valid_from=FIRST + 20 * DAY),
    ]
    store.load(entries)

    def found(first, last, **chosen):
        return [entry.procedure_code for entry in store.entries(Period(FIRST + first * DAY, FIRST + last * DAY), **chosen)]

    assert (found(9, 9), found(9, 10), found(10, 19), found(0, 20)) == (["1"], ["1", "2"], ["2"], ["3", "1", "2"])
    assert found(0, 20, agencies=["H55", "H17"]) == ["1", "2"]
    assert list(store.entries(agencies=[])) == []


# ---- the real storage


def test_loading_what_is_there_writes_nothing(clickhouse):
    """The tables do not grow when a file is loaded again, by another process too."""

    def rows():
        return [
            clickhouse.rows("test", f"SELECT count() FROM {table}")[0][0] for table in ("catalogue_loads", "catalogue_entries")
        ]

    storage_of(clickhouse).catalogue().load([an_entry("1"), an_entry("2")])
    assert rows() == [1, 2]
    storage_of(clickhouse).catalogue().load([an_entry("2"), an_entry("1")])
    assert rows() == [1, 2]


def test_the_catalogue_is_that_of_the_last_complete_load(clickhouse):
    """A load that ends before its last step is invisible, in part too, and a later load works."""
    store = storage_of(clickhouse).catalogue()
    store.load([an_entry("1")])

    class Broken(ClickHouseCatalogue):
        def _complete(self, *_):
            raise Retryable("away")

    with pytest.raises(Retryable):
        Broken(home_of(clickhouse)).load([an_entry("2"), an_entry("2", agency="G01")])
    assert list(store.entries()) == [an_entry("1")]
    store.load([an_entry("3")])
    assert list(storage_of(clickhouse).catalogue().entries()) == [an_entry("3")]


def test_readers_see_whole_loads_only(other):
    """While one process loads, another sees each agency wholly as before or wholly as after."""
    writer, reader = other
    versions = [
        [an_entry(f"{number}", agency, legacy_level=level) for agency in ("H55", "H17") for number in range(40)]
        for level in (1, 2, 3)
    ]
    writer.load(versions[0])
    done = threading.Event()
    seen = set()

    def read():
        while not done.is_set():
            found = reader.entries()
            levels = {entry.legacy_level for entry in found}
            seen.add((len(found), len(levels)))

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read)
        for number in range(12):
            writer.load(versions[number % 3])
        done.set()
        reading.result(timeout=60)
    assert seen == {(80, 1)}


def test_of_two_loads_at_once_the_later_one_wins_as_a_whole(clickhouse):
    """Two processes load other rows of the same agencies: the result is that of one of them, and one of them says so."""
    levels = range(1, 5)
    barrier = threading.Barrier(len(levels), timeout=60)

    class Slow(ClickHouseCatalogue):
        def _insert(self, *arguments):
            barrier.wait()  # all of them have read what was there before
            super()._insert(*arguments)

    def load(level):
        entries = [an_entry(f"{level}", agency, legacy_level=level) for agency in ("G01", "H17", "H55")]
        return Slow(home_of(clickhouse)).load(entries)

    with ThreadPoolExecutor(len(levels)) as threads:
        loads = list(threads.map(load, levels))
    found = storage_of(clickhouse).catalogue().entries()
    assert len(found) == 3
    assert len({entry.legacy_level for entry in found}) == 1
    assert sum(load.overtaken == ("G01", "H17", "H55") for load in loads) >= len(levels) - 1


def test_a_load_after_another_is_not_overtaken(other):
    """One that knows the load before it is not, and neither is the one before when it looks again later."""
    one, two = other
    assert one.load([an_entry("1")]).overtaken == ()
    assert two.load([an_entry("2")], add=True).overtaken == ()
    assert one.load([an_entry("3")], add=True).overtaken == ()
    assert len(two.entries()) == 3


def test_a_clock_that_is_set_back_does_not_undo_a_load(clickhouse):
    """A load is later than the one before it, whatever the clock of the server says."""
    store = storage_of(clickhouse).catalogue()
    store.load([an_entry("1")])
    clickhouse.command(
        "test",
        "INSERT INTO catalogue_loads SELECT agency, toDateTime64('2099-01-01 00:00:00', 3, 'UTC'), load_id, based_on, entries, "
        "source FROM catalogue_loads",
    )
    store.load([an_entry("2")])
    assert list(store.entries()) == [an_entry("2")]


def test_missing_rows_of_a_load_are_an_error(clickhouse):
    """Entries that somebody deleted are not taken for a smaller catalogue."""
    storage_of(clickhouse).catalogue().load([an_entry("1"), an_entry("2")])
    clickhouse.command("test", "DELETE FROM catalogue_entries WHERE procedure_code = '1'")
    with pytest.raises(Fatal, match="of 2 entries of the catalogue of H55 only 1 are in catalogue_entries"):
        storage_of(clickhouse).catalogue().entries()


def test_ids_of_loads_may_be_in_any_order(clickhouse):
    """The time decides; ids are compared only at equal times."""
    ids = iter([uuid.UUID(int=9), uuid.UUID(int=1)])
    store = ClickHouseCatalogue(home_of(clickhouse), new_id=lambda: next(ids))
    store.load([an_entry("1")])
    store.load([an_entry("2")])
    assert list(store.entries()) == [an_entry("2")]


def test_every_agency_fits_into_one_load(clickhouse):
    """A national catalogue is loaded and read in one go."""
    codes = [f"H{number:02}" for number in range(99)]
    entries = [an_entry(f"1.{number:06}", code) for code in codes for number in range(100)]
    store = storage_of(clickhouse).catalogue()
    assert store.load(entries).entries == 9_900
    assert len(storage_of(clickhouse).catalogue().entries()) == 9_900


def test_the_recorded_catalogue_is_loaded_by_the_service(clickhouse):
    """As a process wires it: 261 of the services of Thái Nguyên are online on the last day of 2018, 169 of them toàn trình."""
    service = catalogue_service(load_settings(), storage_of(clickhouse))
    file = read_catalogue(FOLDER / "02_thai_nguyen_catalogue.csv.gz", AgencyRegistry.packaged())
    load = service.load([entry_as_dict(entry) for entry in file.entries], source=file.name)
    assert (load["changed"], load["agencies"]) == (True, [{"agency_code": "H55", "opened": 1_756, "closed": 0, "changed": 0}])
    counts = service.show(day=dt.date(2018, 12, 31))["counts"]
    assert (counts["services"], counts["toan_trinh"], counts["mot_phan"]) == (1_756, 169, 261 - 169)


@pytest.mark.integration
def test_the_unused_table_is_replaced(empty_url):
    """Migration 0015 drops the table of 0004, and nothing else is lost when it runs again."""
    clickhouse = ClickHouse(Target.parse(empty_url, timeout=60))
    *older, newest = [migration for migration in packaged_migrations() if migration.number <= 15]
    migrate(clickhouse, tuple(older))
    assert clickhouse.rows("test", "EXISTS TABLE service_catalogue")[0][0] == 1
    migrate(clickhouse, (*older, newest))
    storage_of(clickhouse).catalogue().load([an_entry("1")])
    for statement in newest.statements:
        clickhouse.command("test", statement)
    assert clickhouse.rows("test", "EXISTS TABLE service_catalogue")[0][0] == 0
    assert list(storage_of(clickhouse).catalogue().entries()) == [an_entry("1")]
    clickhouse.close()
