"""Settled dossiers without a level are counted with that of the catalogue, whenever it is loaded and whatever breaks off."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.periods import Period, civil_day
from pipeline.audit.dossier_check import DossierFault, check_share
from pipeline.audit.dossier_repair import DossierRepair
from pipeline.audit.in_hand import InHand
from pipeline.catalogue.json_format import entry_as_dict
from pipeline.catalogue.recount import CatalogueRecount, LevelChanges, recount_all
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.report.request import read_request
from pipeline.report.verification.groups import COUNTS
from pipeline.settings import load_settings
from pipeline.wiring.features import catalogue_service, dossier_service, verification_service
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.tallies import Days, Span
from tests.contract.clustered import storage_of
from tests.contract.dossier_model import expected, tallied
from tests.contract.test_dossier_table import Storage as TableStorage
from tests.contract.test_dossier_table import a_round
from tests.factories import MORNING, an_event, rows_of

FIRST, DAY = dt.date(2018, 1, 1), dt.timedelta(days=1)
TODAY = civil_day(MORNING)
ALL, NOW = DossierSelection(HashShard(0, 1)), dt.timedelta(0)
_codes = itertools.count(1)


def an_entry(level, *, agency="H17", procedure="1.000001", start=FIRST):
    """An entry of one service."""
    return CatalogueEntry(agency, procedure, start, service_level=level)


def a_dossier(*statuses, agency="H17", at=MORNING, **changes):
    """An online dossier without levels, an hour between two events."""
    code = f"{agency}-240102-{next(_codes):06d}"
    return [
        an_event(
            event_id=uuid.uuid4(),
            dossier_code=code,
            agency=agency,
            status=status,
            occurred_at=at + hour * dt.timedelta(hours=1),
            **{"service_level": "", "channel": 2, "procedure_code": "1.000001"} | changes,
        )
        for hour, status in enumerate(statuses)
    ]


@dataclass
class Storage:
    """A storage, a worker, and the command that loads a catalogue."""

    clickhouse: ClickHouse
    index: ClickHouseDossierIndex

    def steps(self, messages, index=None):
        """The work of a worker, a step at a time."""
        rows = rows_of(messages)
        storage_of(self.clickhouse).events().insert_events(rows)
        resolver = DossierResolver(index or self.index)
        indexed = resolver.add(rows)
        yield "indexed"
        corrected = yield from resolver.steps(indexed)
        instants = [message.occurred_at for message in messages]
        instants += [dt.datetime.fromtimestamp(int(at) / 1000, dt.UTC) for at in corrected.instants]
        for day in sorted(set(map(civil_day, instants))):
            self.recount(day, ())
        if corrected.claims.num_rows:
            resolver.confirm(corrected)

    def take(self, messages, index=None):
        """The whole work of a worker; returns its steps."""
        return list(self.steps(messages, index))

    def recount(self, day, _agencies):
        store = storage_of(self.clickhouse).events()
        store.recount_minutes(Span(*Period(day, day).instants()))
        store.roll_up_days(Days((day,)))
        store.recount_procedures(Days((day,)))

    @cached_property
    def recounting(self):
        """One for all loads, as in a process: what it remembers must not outlive a load."""
        return CatalogueRecount(storage_of(self.clickhouse).catalogue_recounts(), index=self.index, recount=self.recount)

    def load(self, *entries) -> LevelChanges:
        storage_of(self.clickhouse).catalogue().load(entries)
        return recount_all(self.recounting, {entry.agency for entry in entries})

    def is_right(self, messages) -> bool:
        levels = Catalogue(storage_of(self.clickhouse).catalogue().entries()).level
        return expected(messages, levels=levels) == tallied(self.clickhouse)

    def faults(self) -> dict[DossierFault, int]:
        found = check_share(storage_of(self.clickhouse).dossier_audit(), ALL, settle=NOW, in_hand=InHand())
        return {fault: count for fault, count in found.faults.items() if count}


@pytest.fixture
def storage(embedded):
    """An empty storage."""
    return Storage(embedded, storage_of(embedded).dossier_index())


@pytest.mark.long
def test_a_day_costs_no_search_of_the_catalogue(storage, monkeypatch):
    """The catalogue is searched once a load, and read once a load, however many days are counted again."""
    messages = [event for number in range(5) for event in a_dossier(1, 9, at=MORNING - number * DAY)]
    storage.take(messages)
    storage.load(an_entry("mot_phan"))
    asked, rows = Counter(), ClickHouse.counted_rows

    def counted(clickhouse, operation, *more, **settings):
        asked[operation] += 1
        return rows(clickhouse, operation, *more, **settings)

    monkeypatch.setattr(ClickHouse, "counted_rows", counted)
    changed = storage.load(an_entry("toan_trinh"))
    assert sum(changed.to_full.values()) == 5
    assert asked["find_changed_services"] == 1
    assert asked["read_catalogue_levels"] == 3  # those before and after the load, and those of the index
    monkeypatch.undo()
    assert storage.is_right(messages)


def test_a_load_counts_stored_dossiers_again_and_says_which(storage):
    """Before, between and after loads the tallies are right; a load tells how many became or ceased to be full, and where."""
    month_ago = MORNING - 31 * DAY
    messages = [*a_dossier(1, 9), *a_dossier(1, 10), *a_dossier(2, 9, channel=1), *a_dossier(1, 9, at=month_ago)]
    messages += [*a_dossier(1, 9, 10), *a_dossier(1, 9, service_level="mot_phan"), *a_dossier(1, 9, agency="H18")]
    assert "noted" not in storage.take(messages)
    assert storage.is_right(messages)
    changed = storage.load(an_entry("toan_trinh"), an_entry("toan_trinh", procedure="1.000002"))
    january, december = TODAY.replace(day=1), civil_day(month_ago).replace(day=1)
    assert (dict(changed.to_full), dict(changed.from_full)) == ({("H17", january): 3, ("H17", december): 1}, {})
    assert storage.is_right(messages)
    more = a_dossier(1, 9)
    storage.take(more)
    messages += more
    assert storage.is_right(messages)
    assert storage.take(more) == ["indexed", "looked", "judged"]  # confirmed: nothing is written again
    changed = storage.load(an_entry("toan_trinh", start=TODAY - DAY))
    assert (dict(changed.to_full), dict(changed.from_full)) == ({}, {("H17", december): 1})
    assert storage.is_right(messages)
    changed = storage.load(an_entry("mot_phan", start=TODAY - DAY))
    assert (dict(changed.to_full), dict(changed.from_full)) == ({}, {("H17", january): 4})
    assert storage.is_right(messages)
    assert storage.load(an_entry("mot_phan", start=TODAY - DAY)) == LevelChanges()
    assert storage.faults() == {}


def test_the_row_of_a_dossier_follows_the_catalogue(storage):
    """A load that changes a dossier makes it wait, and its row has the level with which it is counted, and its code."""
    table, keeper = TableStorage(storage.clickhouse), TableStorage(storage.clickhouse).keeper()
    messages = a_dossier(1, 9)
    storage.take(messages)
    for level, full in ((None, False), ("toan_trinh", True), ("mot_phan", False), ("toan_trinh", True)):
        if level:
            storage.load(an_entry(level))
        assert table.waiting() == 1
        a_round(keeper)
        assert table.waiting() == 0
        (row,) = table.rows().values()
        assert (row["dossier_code"], row["settled_full"], row["settled_full_any_return"]) == (
            messages[0].dossier_code,
            full,
            full,
        )
        table.age(dt.timedelta(minutes=5))  # the next look begins two minutes before the last


def test_a_load_that_broke_off_is_finished_by_the_same_load(storage):
    """Until then the audit takes the levels by which dossiers were counted; the second load reports and counts everything."""
    messages = [*a_dossier(1, 9), *a_dossier(1, 9, at=MORNING + DAY)]
    storage.take(messages)
    entry = an_entry("toan_trinh")
    storage_of(storage.clickhouse).catalogue().load([entry])
    steps = storage.recounting
    told = []

    def advance(done, total):
        told.append((done, total))
        if done:
            raise KeyboardInterrupt  # after the first day

    with pytest.raises(KeyboardInterrupt):
        recount_all(steps, ["H17"], advance=advance)
    assert told == [(0, 2), (1, 2)]
    assert (steps.unfinished(), storage.is_right(messages), storage.faults()) == (["H17"], False, {})
    assert sum(storage.load(entry).to_full.values()) == 2
    assert (steps.unfinished(), storage.is_right(messages), storage.faults()) == ([], True, {})
    assert not steps.plan(["H17"]).loads


def test_loads_that_broke_off_are_made_good_by_a_later_one(storage):
    """A dossier that was counted with a load that broke off is counted again, also when the last load is as the first."""
    first, second, third = (an_entry(level) for level in ("mot_phan", "toan_trinh", "mot_phan"))
    storage.load(first)
    storage_of(storage.clickhouse).catalogue().load([second])
    messages = a_dossier(1, 9)
    storage.take(messages)
    for _ in range(2):
        storage_of(storage.clickhouse).catalogue().load([replace(third, name="another name")])
        storage_of(storage.clickhouse).catalogue().load([third])
    assert not storage.is_right(messages)
    storage.load(third)
    assert storage.is_right(messages)
    assert storage.faults() == {}


def test_a_correction_counts_the_level_note(storage):
    """A dossier is corrected after a look that saw its note, so that its correction wins over those of all looks that did not."""
    messages = a_dossier(1, 9)
    storage.take(messages)
    for number, level in enumerate(("toan_trinh", "mot_phan", "toan_trinh"), 1):
        storage.load(an_entry(level))
        seen = storage.clickhouse.rows("test", "SELECT seen FROM dossier_corrections FINAL")
        assert seen == [(len(messages) + number,)]
    assert storage.is_right(messages)


def test_a_worker_asks_for_the_catalogue_after_its_messages_are_indexed(storage):
    """A load whose recount comes just before a worker indexes its messages does not see them, so the worker must see the load."""
    storage.take(a_dossier(4))

    class Loading(ClickHouseDossierIndex):
        def add(self, messages):
            storage.load(an_entry("toan_trinh"))
            super().add(messages)

    messages = a_dossier(1, 9)
    storage.take(messages, Loading(storage.clickhouse))
    assert storage.clickhouse.rows("test", "SELECT sum(settled_full) FROM agency_day FINAL") == [(1,)]


def test_a_load_comes_before_its_recount(storage):
    """A worker that asked for the catalogue before a load indexed its messages before, so the recount corrects them."""
    storage.load(an_entry("mot_phan"))
    messages = a_dossier(1, 9)

    class Loading(ClickHouseDossierIndex):
        def levels(self, agencies):
            known = super().levels(agencies)
            if agencies:
                storage.load(an_entry("toan_trinh"))
            return known

    storage.take(messages, Loading(storage.clickhouse))
    assert storage.is_right(messages)
    assert storage.clickhouse.rows("test", "SELECT sum(settled_full) FROM agency_day FINAL") == [(1,)]


def test_a_worker_with_an_older_catalogue_changes_nothing(storage):
    """What it notes after another worker has counted a dossier with the newer catalogue is older, and does not hold."""
    storage.load(an_entry("toan_trinh"))
    old = storage.index.levels(["H17"])
    storage.load(an_entry("mot_phan"))

    class Old(ClickHouseDossierIndex):
        def levels(self, _agencies):
            return old

    messages = a_dossier(1, 9)
    frozen = storage.steps(messages, Old(storage.clickhouse))
    while next(frozen) != "judged":  # it is going to note and claim what the old catalogue says
        pass
    storage.take(messages)
    assert list(frozen)
    assert storage.is_right(messages)
    assert storage.faults() == {}


def test_the_repair_writes_levels_again(storage):
    """A dossier whose corrections and notes are lost, or whose note contradicts the catalogue, is found and repaired."""
    messages = [*a_dossier(1, 9), *a_dossier(1, 9)]
    storage.take(messages)
    storage.load(an_entry("toan_trinh"), an_entry("toan_trinh", procedure="1.000002"))
    lost = storage.index.suspects(rows_of(messages[:1]).select(["dossier_code"])).column("dossier").to_pylist()
    audit = storage_of(storage.clickhouse).dossier_audit()
    audit.forget(lost)
    assert set(storage.faults()) == {DossierFault.UNINDEXED, DossierFault.MISSING}
    repair = DossierRepair(audit, storage.index)
    assert repair(ALL, settle=NOW, in_hand=InHand()).dossiers == 1
    assert storage.faults() == {}
    storage.load(an_entry("mot_phan"), an_entry("toan_trinh", procedure="1.000002"))
    storage.clickhouse.command(
        "test",
        "INSERT INTO dossier_index (dossier, occurred_at, event_id, agency, procedure_code, due_at, facts, flags) "
        "SELECT dossier, occurred_at, event_id, agency, procedure_code, due_at, bitOr(facts, 3 * 64), flags FROM dossier_index "
        "WHERE bitAnd(facts, 16384) != 0",
    )
    storage.take(messages)  # it believes the notes
    assert set(storage.faults()) == {DossierFault.SURPLUS}
    assert repair(ALL, settle=NOW, in_hand=InHand()).deleted
    assert storage.faults() == {}


def test_every_part_takes_the_level_of_the_catalogue(storage):
    """As a process wires them: the load, the explanation of a dossier, the findings and the verification of a report agree."""
    settings, clickhouse = load_settings(), storage.clickhouse
    messages = a_dossier(1, 9)
    storage.take(messages)
    catalogue = catalogue_service(settings, storage_of(clickhouse))
    catalogue.load([entry_as_dict(an_entry("toan_trinh"))])
    assert catalogue.show(day=TODAY)["not_recounted"] == ["H17"]
    changed = recount_all(catalogue.recount, ["H17"]).as_list()
    assert changed == [{"month": f"{TODAY:%Y-%m}", "agency_code": "H17", "to_full": 1, "from_full": 0}]
    assert (storage.is_right(messages), catalogue.show(day=TODAY)["not_recounted"]) == (True, [])
    explained = dossier_service(settings, storage_of(clickhouse)).explain(messages[0].dossier_code)
    assert (explained["level"], explained["level_from"], explained["settled_full"]) == ("toan_trinh", "catalogue", True)
    assert [finding["kind"] for finding in explained["findings"]] == ["no_level"]
    asked = {"from": TODAY.isoformat(), "to": (TODAY + DAY).isoformat()}
    request = read_request(asked, registry=AgencyRegistry.packaged(), today=TODAY + 400 * DAY)
    verification = verification_service(settings, storage_of(clickhouse))
    found = verification.recomputed(request, HashShard(0, 1), today=TODAY + 400 * DAY)
    assert found.periods[0].dossiers[COUNTS, "H17", "", "settled_full"] == 1
