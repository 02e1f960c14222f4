"""Row policies: no table may hide rows from the database user, at the start or later, from a reader, a command or a worker.

Nothing here names the tables of a reader. What a call reads is taken from the statements that it sends, and what there is to
read and to call from the database and the modules. So a new table, and a new call that reads one, are tested by themselves.
"""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import logging
import pkgutil
import re
import sys
import uuid
from contextlib import ExitStack, closing

import pyarrow as pa
import pytest
import structlog

import sinks.clickhouse
from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.agencies import AgencyRegistry
from domain.catalogue import CatalogueEntry
from domain.dossier_milestones import milestones_of
from domain.dossiers import judge
from domain.errors import UnavailableError
from domain.figure_groups import GROUPS
from domain.periods import Period, civil_day
from domain.tiers import Tier
from pipeline.cli import main as cli
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.settings import load_settings
from pipeline.wiring.recount_dossiers import recount_dossiers
from pipeline.wiring.storage import migrated_storage, opened_storage
from sinks.clickhouse import dead_letter_tallies
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.catalogue_levels import ClickHouseCatalogueLevels
from sinks.clickhouse.catalogue_recounts import ClickHouseCatalogueRecounts as _Recounts
from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.dossier_figures import ClickHouseDossierFigures
from sinks.clickhouse.dossier_histories import ClickHouseDossierHistories
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.dossier_statements import delete_dossiers
from sinks.clickhouse.dossier_table import ClickHouseDossierTable
from sinks.clickhouse.exclusions import ClickHouseExclusions
from sinks.clickhouse.expired_range import refuse_expired
from sinks.clickhouse.expiry import ClickHouseMessageExpiry
from sinks.clickhouse.expiry_runs import ExpiryRuns
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.clickhouse.first_notes import note_every_dossier
from sinks.clickhouse.migrate import applied_migrations, migrate, missing_migrations
from sinks.clickhouse.monthly_totals import MonthlyTotals
from sinks.clickhouse.old_events import OldEvents
from sinks.clickhouse.raw_messages import ClickHouseRawMessages
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.received_bytes import ClickHouseReceivedBytes
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.server_state import read_schema
from sinks.clickhouse.storage import ClickHouseStorage
from sinks.clickhouse.storage_ids import storage_ids
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.contract.audit import HashShard
from sinks.contract.dead_letters import DeadLetter, DeadLetterCheckpoint, DeadLetterFilter
from sinks.contract.dossier_audit import DossierSelection, Finished
from sinks.contract.dossier_figures import FigureQuestion
from sinks.contract.dossier_table import Noted
from sinks.contract.dossier_table import rows_of as dossier_rows
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.findings import FindingScope
from sinks.contract.tallies import Days, Span
from sinks.errors import Fatal
from sinks.tables import (
    COPIED_MONTHS,
    DOSSIERS,
    OLD_EVENTS,
    OTHER_TABLES,
    SCHEMA_MIGRATIONS,
    SHARD_POSITION,
    STORAGE_IDS,
    WHOLE_TABLES,
)
from tests.contract.one_message import stored_message
from tests.factories import MORNING, TOPIC, an_event, rows_of

pytestmark = pytest.mark.integration  # a server with users of its own

DAY = civil_day(MORNING)
CODE = "000.00.12.H17-240610-0042"
#: A dossier with corrections: it is settled several times.
EVENTS = [
    an_event(agency="H17", dossier_code=CODE, status=status, occurred_at=MORNING + dt.timedelta(minutes=minute))
    for minute, status in enumerate((1, 9, 9, 9))
]
LETTERS = [DeadLetter(TOPIC, 0, offset, b"k", b"\xff", "reason", "e") for offset in range(3)]
ENTRY = CatalogueEntry("H17", "1.000001", DAY, service_level="toan_trinh")
SPAN, DAYS = Span(MORNING, MORNING + dt.timedelta(minutes=9)), Days((DAY,))
SCOPE, SHARD = FindingScope(Period(DAY, DAY)), HashShard(0, 1)
NONE = DeadLetterFilter(reasons=("none of them",))
MESSAGES = pa.table(
    {
        "topic": [TOPIC],
        "partition": [7],
        "offset": [5],
        "agency": ["H17"],
        "occurred_at": pa.array([MORNING], pa.timestamp("ms", "UTC")),
        "event_id": [str(uuid.UUID(int=9))],
    }
)
_Bytes, LONG_AGO = ClickHouseReceivedBytes, dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_Store, _Reader, _Audit, _Letters = ClickHouseStore, ClickHouseReader, ClickHouseAudit, ClickHouseDeadLetters
_Limits, _Dossiers, _Findings, _Index = (
    *(ClickHouseDeadLetterLimits, ClickHouseDossierAudit, ClickHouseFindingReader),
    ClickHouseDossierIndex,
)
_Table, _Histories = ClickHouseDossierTable, ClickHouseDossierHistories
NUMBER = pa.table({"dossier": pa.array([b"\1" * 16], pa.binary(16))})
CODES = NUMBER.append_column("agency", pa.array(["H17"])).append_column("occurred_at", MESSAGES.column("occurred_at"))
CODES = CODES.append_column("event_id", MESSAGES.column("event_id"))


#: What is recorded of an expired message of the dossier ``NUMBER``, long before the others.
RECORD = pa.table(
    {
        "dossier": NUMBER.column("dossier"),
        "occurred_at": pa.array([LONG_AGO], pa.timestamp("ms", "UTC")),
        "event_id": MESSAGES.column("event_id"),
        "agency": ["H17"],
        "procedure_code": ["1.000001"],
        "status": pa.array([9], pa.uint8()),
        "number": pa.array([0], pa.uint32()),
        "counts_as": pa.array([4], pa.uint16()),
        "weight": pa.array([20], pa.uint32()),
    }
)
FINISHED = DossierSelection(HashShard(0, 1), finished=Finished(LONG_AGO, LONG_AGO))


def _expiry(clickhouse):
    return ClickHouseMessageExpiry(clickhouse, grace=0.0)


def _suspects(clickhouse):
    return _Index(clickhouse).suspects(pa.table({"dossier_code": [CODE]}))


#: Every call that reads tables, by its name in the code. It must refuse a row policy on any table that it reads.
def _catalogue_loads(clickhouse):
    known = ClickHouseCatalogueLevels(clickhouse).of(["H17"])
    return {agency: levels.generation for agency, levels in known.agencies.items()}


CALLS = {
    "storage_ids": storage_ids,
    "TallyComparison.civil_days": lambda c: _Audit(c).civil_days(),
    "TallyComparison.recently_stored_days": lambda c: _Audit(c).recently_stored_days(dt.timedelta(hours=1)),
    "TallyComparison.compare": lambda c: [_Audit(c).compare(tier, DAY, settle=dt.timedelta(0), limit=9) for tier in Tier],
    "RepeatSearch.contradictions": lambda c: _Audit(c).contradictions(DAY, limit=5),
    "RepeatSearch.reused_event_ids": lambda c: _Audit(c).reused_event_ids(None, SHARD, limit=5),
    "KeptOffsets.newest_positions": lambda c: _Audit(c).newest_positions(TOPIC),
    "KeptOffsets.unread": lambda c: _Audit(c).unread(TOPIC),
    "KeptOffsets.kept_within": lambda c: _Audit(c).kept_within(TOPIC, [(0, 0, 9)]),
    "KeptOffsets.missing": lambda c: _Audit(c).missing(MESSAGES),
    "ClickHouseReader.counts_between": lambda c: _Reader(c).counts_between(SPAN.start, SPAN.end),
    "ClickHouseReader.counts_of_days": lambda c: _Reader(c).counts_of_days(DAY, DAY),
    "ClickHouseReader.counts_by_step": lambda c: _Reader(c).counts_by_step(DAY, DAY, 3_600),
    "ClickHouseReader.counts_by_day": lambda c: _Reader(c).counts_by_day(DAY, DAY),
    "ClickHouseReader.counts_of_procedures": lambda c: _Reader(c).counts_of_procedures(["H17"], DAY, DAY),
    "ClickHouseReader.services_with_dossiers": lambda c: _Reader(c).services_with_dossiers(DAY, DAY),
    "ClickHouseReader.active_days": lambda c: _Reader(c).active_days(DAY, DAY),
    "ClickHouseReader.events_by_day": lambda c: _Reader(c).events_by_day(),
    "ClickHouseReader.last_events": lambda c: _Reader(c).last_events(SPAN.end),
    "ClickHouseReader.totals": lambda c: _Reader(c).totals(),
    "ClickHouseReader.dead_letters_by_reason": lambda c: _Reader(c).dead_letters_by_reason(),
    "ClickHouseReader.dead_letter_agencies": lambda c: _Reader(c).dead_letter_agencies(dt.timedelta(hours=1)),
    "ClickHouseReader.arrivals": lambda c: _Reader(c).arrivals(dt.timedelta(hours=1)),
    "ClickHouseReader.events": lambda c: list(_Reader(c).events(DAY, DAY, None)),
    "ClickHouseDeadLetters.counts": lambda c: _Letters(c).counts(DeadLetterFilter()),
    "ClickHouseDeadLetters.entries": lambda c: _Letters(c).entries(DeadLetterFilter(), limit=9),
    "ClickHouseDeadLetters.dead_letters": lambda c: _Letters(c).dead_letters(DeadLetterFilter(), limit=9),
    "ClickHouseDeadLetters.find": lambda c: _Letters(c).find((TOPIC, 0, 0)),
    "ClickHouseDeadLetters.latest_offset": lambda c: _Letters(c).latest_offset(TOPIC, 0),
    "ClickHouseDeadLetters.mark_replayed": lambda c: _Letters(c).mark_replayed(LETTERS[:1]),
    "ClickHouseDeadLetters.drop": lambda c: _Letters(c).drop(NONE),
    "ClickHouseReceivedBytes.has_any": lambda c: _Bytes(c).has_any(LONG_AGO),
    "ClickHouseReceivedBytes.page": lambda c: _Bytes(c).page(LONG_AGO, limit=9),
    "ClickHouseReceivedBytes.keep_fields": lambda c: _Bytes(c).keep_fields(LETTERS[:1]),
    "ClickHouseReceivedBytes.remove": lambda c: _Bytes(c).remove(LONG_AGO, at=LONG_AGO),
    "ClickHouseDeadLetterLimits.limit_state": lambda c: _Limits(c).limit_state(TOPIC, 0, before=9),
    "ClickHouseDeadLetterLimits.accept": lambda c: _Limits(c).accept(TOPIC, 0, 1),
    "ClickHouseDossierAudit.stored_dossiers": lambda c: list(
        _Dossiers(c).stored_dossiers(DossierSelection(SHARD, (DAY, DAY)), settle=dt.timedelta(0))
    ),
    "ClickHouseDossierAudit.stored_messages": lambda c: _Dossiers(c).stored_messages([b"\1" * 16]),
    "ClickHouseDossierAudit.codes": lambda c: _Dossiers(c).codes([b"\1" * 16]),
    "ClickHouseDossierAudit.forget": lambda c: _Dossiers(c).forget([b"\1" * 16]),
    "ClickHouseDossierFigures.counts": lambda c: [
        ClickHouseDossierFigures(c).counts(group, FigureQuestion(SCOPE.period, DAY)) for group in GROUPS
    ],
    "ClickHouseDossierReader.messages": lambda c: ClickHouseDossierReader(c).messages(CODE),
    "ClickHouseDossierReader.messages_of": lambda c: ClickHouseDossierReader(c).messages_of([CODE]),
    "ClickHouseDossierHistories.histories": lambda c: _Histories(c).histories(NUMBER),
    "ClickHouseDossierHistories.long_history": lambda c: list(_Histories(c).long_history(b"\1" * 16).rows),
    "ClickHouseDossierHistories.codes": lambda c: _Histories(c).codes(CODES),
    "delete_dossiers": lambda c: delete_dossiers(c, "test", (DOSSIERS,), [b"\2" * 16]),
    "ClickHouseDossierTable.keep": lambda c: _Table(c).keep(pa.table({"dossier": pa.array([b"\2" * 16], pa.binary(16))})),
    "ClickHouseDossierTable.forget": lambda c: _Table(c).forget(pa.table({"dossier": pa.array([b"\2" * 16], pa.binary(16))})),
    "ClickHouseDossierTable.rows": lambda c: _Table(c).rows(b"\0" * 16, b"\xff" * 16),
    "ClickHouseDossierTable.waiting": lambda c: _Table(c).waiting(Noted()),
    "ClickHouseDossierTable.waiting_total": lambda c: _Table(c).waiting_total(Noted()),
    "ClickHouseDossierTable.waiting_since": lambda c: _Table(c).waiting_since(_Table(c).now()),
    "ClickHouseDossierTable.periods_of_changes": lambda c: _Table(c).periods_of_changes(_Table(c).now()),
    "ClickHouseDossierTable.compare_with_index": lambda c: _Table(c).compare_with_index(),
    "ExpiryRuns.states": lambda c: ExpiryRuns(c).states(),
    "ClickHouseMessageExpiry.begin": lambda c: _expiry(c).give_up(_expiry(c).begin(LONG_AGO)),
    "ClickHouseMessageExpiry.waiting": lambda c: _expiry(c).waiting(FINISHED.finished),
    "ClickHouseMessageExpiry.candidates": lambda c: _expiry(c).candidates(FINISHED),
    "ClickHouseMessageExpiry.switch": lambda c: _expiry(c).switch(_expiry(c).begin(LONG_AGO)),
    "ClickHouseMessageExpiry.entomb": lambda c: _expiry(c).entomb(7),
    "ClickHouseMessageExpiry.late": lambda c: _expiry(c).late(1),
    "ClickHouseMessageExpiry.remove": lambda c: _expiry(c).remove([1]),
    "ClickHouseMessageExpiry.runs": lambda c: _expiry(c).runs(),
    "ClickHouseMessageExpiry.give_up": lambda c: _expiry(c).give_up(99),
    "ClickHouseMessageExpiry.total": lambda c: _expiry(c).total(),
    "ClickHouseExclusions.decide": lambda c: ClickHouseExclusions(c).decide("X-1", excluded=True, reason="r", name="n"),
    "ClickHouseExclusions.decisions": lambda c: ClickHouseExclusions(c).decisions(CODE),
    "ClickHouseExclusions.excluded": lambda c: ClickHouseExclusions(c).excluded(),
    "ClickHouseFindingReader.messages_within": lambda c: _Findings(c).messages_within(SCOPE),
    "ClickHouseFindingReader.histories": lambda c: list(_Findings(c).histories(SCOPE, SHARD)),
    "ClickHouseFindingReader.codes_of": lambda c: _Findings(c).codes_of({b"\1" * 16: EVENTS[0]}),
    "ClickHouseRawMessages.messages_within": lambda c: ClickHouseRawMessages(c).messages_within([SCOPE.period]),
    "ClickHouseRawMessages.late_codes": lambda c: ClickHouseRawMessages(c).late_codes(),
    "refuse_expired": lambda c: refuse_expired(c, DAY),
    "ClickHouseDossierReader.expired_at": lambda c: ClickHouseDossierReader(c).expired_at(CODE),
    "ClickHouseRawMessages.by_dossier": lambda c: list(ClickHouseRawMessages(c).by_dossier([SCOPE.period], SHARD)),
    "ClickHouseCatalogue.entries": lambda c: ClickHouseCatalogue(c).entries(),
    "ClickHouseCatalogue.load": lambda c: ClickHouseCatalogue(c).load([ENTRY], add=True),
    "ClickHouseCatalogueLevels.of": lambda c: ClickHouseCatalogueLevels(c).of(["H17"]),
    "ClickHouseCatalogueLevels.read": lambda c: ClickHouseCatalogueLevels(c).read(_catalogue_loads(c)),
    "ClickHouseDossierIndex.levels": lambda c: _Index(c).levels(["H17"]),
    "ClickHouseDossierAudit.levels": lambda c: ClickHouseDossierAudit(c).levels(["H17"]),
    "ClickHouseCatalogueRecounts.levels": lambda c: _Recounts(c).levels(["H17"]),
    "ClickHouseCatalogueRecounts.levels_before": lambda c: _Recounts(c).levels_before(["H17"]),
    "ClickHouseCatalogueRecounts.unfinished": lambda c: _Recounts(c).unfinished(),
    "ClickHouseCatalogueRecounts.days": lambda c: _Recounts(c).days(["H17"]),
    "ClickHouseCatalogueRecounts.dossiers": lambda c: list(_Recounts(c).dossiers(["H17"], DAY)),
    "ClickHouseStore.insert_dead_letters": lambda c: _Store(c).insert_dead_letters(LETTERS),
    "ClickHouseRepair.highest_epoch": lambda c: ClickHouseRepair(c).highest_epoch(),
    "ClickHouseRepair.raise_epoch": lambda c: ClickHouseRepair(c).raise_epoch("test"),
    "OldEvents.months": lambda c: OldEvents(c).months(),
    "OldEvents.messages": lambda c: list(OldEvents(c).messages(DAY.year * 100 + DAY.month)),
    "note_every_dossier": note_every_dossier,
    "migrate": migrate,
    "read_schema": read_schema,
    "missing_migrations": missing_migrations,
    "applied_migrations": applied_migrations,
    "dead_letters_by_reason": dead_letter_tallies.dead_letters_by_reason,
    "dead_letter_agencies": lambda c: dead_letter_tallies.dead_letter_agencies(c, dt.timedelta(hours=1)),
    "recount_dead_letters": lambda c: dead_letter_tallies.recount_dead_letters(c, [(TOPIC, 0, 0)], {}),
}
#: Calls that read tables, and after which ``check_tables`` is called before what they found or counted is relied on.
CHECKED_AFTERWARDS = {
    "ClickHouseDossierIndex.suspects": _suspects,
    "ClickHouseDossierIndex.histories": lambda c: _Index(c).histories(_suspects(c).select(["dossier"])),
    "ClickHouseStore.recount_minutes": lambda c: _Store(c).recount_minutes(SPAN),
    "ClickHouseStore.roll_up_days": lambda c: _Store(c).roll_up_days(DAYS),
    "ClickHouseStore.recount_procedures": lambda c: _Store(c).recount_procedures(DAYS),
    "ClickHouseRepair.clear_orphans": lambda c: [ClickHouseRepair(c).clear_orphans(tier, DAY) for tier in Tier],
    # Its only caller, ``ClickHouseReader.totals``, checks.
    "MonthlyTotals.read": lambda c: MonthlyTotals(c).read(),
}
#: Calls that read no table.
READ_NOTHING = {
    "ExpiryRuns.note",
    *("ClickHouseStore.insert_events", "ClickHouseStore.insert_unread", "ClickHouseDeadLetterLimits.insert_checkpoints"),
    *(f"ClickHouseDossierIndex.{name}" for name in ("add", "note", "claim", "confirm", "correct")),
    *(
        "ClickHouseReader.ping",
        "ClickHouseReader.free_space",
        "ClickHouseDeadLetters.now",
        "ClickHouseReceivedBytes.now",
        "TallyComparison.now",
        *(f"ClickHouseDossierTable.{name}" for name in ("now", "write", "note", "drop_changes")),
        "OldEvents.copied",
        "write_agencies",
        "ClickHouseCatalogueRecounts.finish",
        *(f"ClickHouseMessageExpiry.{name}" for name in ("record", "finish", "sizes")),
    ),
    *(f"ClickHouseStorage.{name}" for name in vars(ClickHouseStorage) if not name.startswith("_") and name != "display_name"),
    *("read_identity", "missing_rights", "read_disks", "read_replicas", "read_cluster"),
    *("record", "ClickHouseRepair.write_epoch", "ClickHouseRepair.purge_superseded", "ClickHouseStore.check_tables"),
    *("refuse_hidden_rows", "refuse_expiring_rows", "whole"),
}


class Recording(ClickHouse):
    """A client that keeps the names of the tables that its statements read."""

    def __init__(self, target, tables):
        super().__init__(target)
        self.read = set()
        self._table_name = re.compile(rf"\b(?:FROM|JOIN|IN|TABLE)\s+({'|'.join(tables)})\b")

    def _saw(self, sql):
        if not sql.startswith("EXPLAIN"):
            self.read.update(self._table_name.findall(sql))

    def command(self, operation, sql, *more, **settings):
        """As in ``ClickHouse``."""
        self._saw(sql)
        return super().command(operation, sql, *more, **settings)

    def rows(self, operation, sql, *more, **settings):
        """As in ``ClickHouse``."""
        self._saw(sql)
        return super().rows(operation, sql, *more, **settings)

    def stream(self, operation, sql, *more, **settings):
        """As in ``ClickHouse``."""
        self._saw(sql)
        return super().stream(operation, sql, *more, **settings)

    def table(self, operation, sql, *more, **settings):
        """As in ``ClickHouse``."""
        self._saw(sql)
        return super().table(operation, sql, *more, **settings)


class Place:
    """A server with a database of which every table has rows, and for each table a user from whom a policy hides all of them."""

    def __init__(self, folder):
        self._users = folder / "users.xml"
        config = folder / "config.xml"
        config.write_text(f"<clickhouse><users_config>{self._users}</users_config></clickhouse>", encoding="utf-8")
        self.server = ClickHouseServer(data_dir=folder / "data", log_dir=folder, options=[f"--config-file={config}"])
        self._describe(())
        self.server.start()
        with self.client("default") as clickhouse:
            migrate(clickhouse)
            fill(clickhouse)
        #: Every table that the migrations make, and their rows.
        self.rows = {
            name: int(rows)
            for name, rows in (
                line.split("\t")
                for line in self.server.query("SELECT name, total_rows FROM system.tables WHERE database = 'all'").splitlines()
            )
        }
        self.server.stop()
        self._describe(self.rows)
        self.server.start()

    def url(self, user, database="all"):
        """The address of a database for a user."""
        return f"http://{user}@127.0.0.1:{self.server.http_port}/{database}"

    def client(self, user, database="all"):
        """A client of a user, closed at the end."""
        return closing(Recording(Target.parse(self.url(user, database), timeout=60), getattr(self, "rows", ["none"])))

    def _describe(self, tables):
        policies = {"default": ""} | {
            f"no_{table}": "<databases>"
            + "".join(f"<{name}><{table}><filter>0</filter></{table}></{name}>" for name in ("all", "late"))
            + "</databases>"
            for table in tables
        }
        users = "".join(
            f"<{user}><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>"
            f"{policy}</{user}>"
            for user, policy in policies.items()
        )
        self._users.write_text(
            f"<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>{users}</users></clickhouse>",
            encoding="utf-8",
        )


def fill(clickhouse):
    """Put rows into every table, as workers and operators do."""
    store, resolver = _Store(clickhouse), DossierResolver(_Index(clickhouse))
    for offset, event in enumerate(EVENTS):
        rows = rows_of([event], offset=offset)
        store.insert_events(rows)
        resolver.confirm(resolver.resolve(resolver.add(rows)))
    store.recount_minutes(SPAN)
    store.roll_up_days(DAYS)
    store.recount_procedures(DAYS)
    store.insert_dead_letters(LETTERS)
    store.insert_unread([UnreadRange(TOPIC, 0, 0, 5, "group", UnreadCause.DELETED)])
    _Letters(clickhouse).mark_replayed(LETTERS)
    row = milestones_of(judge(EVENTS), seen=len(EVENTS))
    _Table(clickhouse).write(dossier_rows({b"\1" * 16: row}, judged_at=MORNING))
    _Limits(clickhouse).insert_checkpoints([DeadLetterCheckpoint(TOPIC, 0, 5, 1, ((1, 1),))])
    _Limits(clickhouse).accept(TOPIC, 0, 5)
    ClickHouseRepair(clickhouse).raise_epoch("test")
    ClickHouseExclusions(clickhouse).decide("H17-240610-0001", excluded=True, reason="r", name="n")
    ClickHouseCatalogue(clickhouse).load([ENTRY])
    _Recounts(clickhouse).finish(_Recounts(clickhouse).unfinished())
    run = _expiry(clickhouse).begin(LONG_AGO)
    _expiry(clickhouse).record(run, RECORD, NUMBER.append_column("seen", pa.array([1], pa.uint64())))
    _expiry(clickhouse).switch(run)
    OldEvents(clickhouse).copied(202001, 1)
    clickhouse.command("test", f"INSERT INTO {SHARD_POSITION} (number, shards) VALUES (0, 1)")
    clickhouse.command("test", f"INSERT INTO {OLD_EVENTS} (agency, occurred_at) VALUES ('H17', '{DAY} 01:00:00')")
    for table in OTHER_TABLES:
        if table not in {OLD_EVENTS, COPIED_MONTHS}:
            clickhouse.command("test", f"INSERT INTO {table} (valid_from) VALUES ('2020-01-01')")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The server and its database."""
    place = Place(tmp_path_factory.mktemp("hidden"))
    yield place
    place.server.stop()


def test_every_table_is_in_one_of_the_two_lists(place):
    """A table of the newest schema must be whole, or says why not; and every table has rows here that a policy can hide."""
    assert sorted(place.rows) == sorted((*WHOLE_TABLES, *OTHER_TABLES)), "add the table to one of the lists in sinks/tables.py"
    assert [table for table, rows in place.rows.items() if not rows] == []


def _calls():
    """The public functions and methods of ``sinks.clickhouse`` that take a client."""
    for module in pkgutil.iter_modules(sinks.clickhouse.__path__):
        found = vars(importlib.import_module(f"sinks.clickhouse.{module.name}"))
        for name, value in found.items():
            if getattr(value, "__module__", "") != f"sinks.clickhouse.{module.name}" or name.startswith("_"):
                continue
            made = value.__init__ if inspect.isclass(value) else value
            if not (inspect.isfunction(made) and "ClickHouse" in made.__annotations__.values()):
                continue
            if inspect.isclass(value):
                yield from (
                    method.__qualname__
                    for each, method in inspect.getmembers(value, inspect.isfunction)
                    if not each.startswith("_")
                )
            else:
                yield name


def test_every_call_is_tested():
    """A new function or method that takes a client is called by this file, or said to read nothing."""
    assert set(_calls()) == CALLS.keys() | CHECKED_AFTERWARDS.keys() | READ_NOTHING


def refused(place, table, call):
    """The error of a call of the user from whom the rows of a table are hidden, or "" when there was none."""
    with place.client(f"no_{table}") as clickhouse:
        try:
            call(clickhouse)
        except Fatal as error:
            return str(error)
    return ""


@pytest.mark.parametrize("name", [*CALLS, "recount_dossiers"])
def test_a_call_refuses_hidden_rows_of_every_table_that_it_reads(place, name, pytestconfig):
    """A row policy on any table that one of its statements names is an error, also when it comes after the start.

    In the fast run each call has one of its tables, calls of the same tables in turn.
    """
    # The step of a migration is not recorded as done while a policy hides what it copies, resolves or counts.
    call = CALLS.get(name, lambda c: recount_dossiers(c, AgencyRegistry.packaged()))
    with place.client("default") as clickhouse:
        call(clickhouse)
        read = sorted(clickhouse.read)
    assert read
    if not pytestconfig.getoption("--long"):
        read = [read[[*CALLS, "recount_dossiers"].index(name) % len(read)]]
    assert [table for table in read if f"a row policy hides rows of the table {table} " not in refused(place, table, call)] == []


def test_what_is_checked_afterwards_is_what_the_check_covers(place):
    """``check_tables`` covers each table that a recount or the look at dossiers reads."""
    with place.client("default") as clickhouse:
        for call in CHECKED_AFTERWARDS.values():
            call(clickhouse)
        assert {"dossier_index", "dossier_corrections", "dossier_messages", "tally_epochs"} <= clickhouse.read <= {*WHOLE_TABLES}


def test_hidden_rows_of_any_table_refuse_the_start(place, monkeypatch, pytestconfig):
    """A process that writes and one that only reads name the table, whichever it is; in the fast run they take turns."""
    both = (migrated_storage, opened_storage)
    for number, table in enumerate(WHOLE_TABLES):
        monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", place.url(f"no_{table}"))
        for opened in both if pytestconfig.getoption("--long") else both[number % 2 :][:1]:
            with pytest.raises(UnavailableError, match=f"a row policy hides rows of the table {table} "), opened(load_settings()):
                raise AssertionError


def test_rows_that_come_after_the_start_are_not_hidden_either(place, monkeypatch):
    """ClickHouse names no policy of an empty table, so a process starts; when the table has rows, the next check names it."""
    with ExitStack() as stack:
        plain = stack.enter_context(place.client("default", "late"))
        migrate(plain)
        started = {}
        for table in set(WHOLE_TABLES) - {SCHEMA_MIGRATIONS, STORAGE_IDS}:  # a migration fills these
            monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", place.url(f"no_{table}", "late"))
            started[table] = stack.enter_context(opened_storage(load_settings()))
        fill(plain)
        for table, storage in started.items():
            with pytest.raises(Fatal, match=f"a row policy hides rows of the table {table} "):
                storage.events().check_tables()


class LatePolicy:
    """An ``EventStore`` of a user, and from the end of its last recount on of another user, from whom a row policy hides rows."""

    def __init__(self, before, after):
        self._current, self._after = _Store(before), _Store(after)

    def __getattr__(self, name):
        def call(*arguments):
            getattr(self._current, name)(*arguments)
            if name == "recount_procedures":
                self._current = self._after

        return call


@pytest.mark.parametrize(
    "table", [pytest.param(table, marks=pytest.mark.long if number % 3 else ()) for number, table in enumerate(WHOLE_TABLES)]
)
def test_a_worker_acknowledges_nothing_while_any_table_hides_rows(place, registry, table):
    """A policy that comes while a worker runs stops it before the acknowledgement, whichever table it is of."""
    acknowledged = []
    with place.client("default") as plain, place.client(f"no_{table}") as veiled:
        steps = stored_message(LatePolicy(plain, veiled), _Index(plain), registry, acknowledged.extend)
        steps.recounter.minutes_round()
        steps.recounter.days_round()
        with pytest.raises(Fatal, match=f"a row policy hides rows of the table {table} "):
            steps.recounter.procedures_round()
    assert acknowledged == []


def test_a_check_costs_three_requests_whatever_the_number_of_tables(place):
    """Workers check before every acknowledgement: whether messages expire, policies, and what deletes rows."""
    with place.client("default") as clickhouse:
        calls = []
        clickhouse._observer = lambda operation, *_: calls.append(operation)
        _Store(clickhouse).check_tables()
    assert calls == ["look_for_expiry", "row_policies", "expiring_rows"]


COMMANDS = {
    "audit": ("audit", "--settle", "0"),
    "dossier": ("dossier", CODE),
    "dossier --exclude": ("dossier", CODE, "--exclude", "a test", "--by", "tester"),
    "findings": ("findings", "--from", DAY.isoformat(), "--to", DAY.isoformat()),
    "dead-letters list": ("dead-letters", "list"),
    "migrate": ("migrate",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_the_table_that_hides_rows(  # noqa: PLR0917 - fixtures
    place, monkeypatch, capsys, tmp_path, command, pytestconfig
):
    """Every command on the storage ends with status 2 and names the table, before it prints anything.

    In the fast run the commands share the tables; each has some, and each table has one.
    """
    first, step = (0, 1) if pytestconfig.getoption("--long") else (list(COMMANDS).index(command), len(COMMANDS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["portalpulse", *COMMANDS[command]])
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        for table in sorted(WHOLE_TABLES)[first::step]:
            monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", place.url(f"no_{table}"))
            status = cli.run()
            output, errors = capsys.readouterr()
            assert (status, output) == (2, "")
            assert f"a row policy hides rows of the table {table} " in errors
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()
