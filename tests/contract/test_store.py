"""The suite over the embedded engine, a real server and the double in memory."""

from __future__ import annotations

import datetime as dt

import pytest

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract import Counts, DeadLetter
from sinks.tables import AGENCY_DAY_PROCEDURE, AGENCY_MINUTE, COUNTS, DEAD_LETTERS
from tests.contract.store_suite import Place, StoreSuite
from tests.fakes import MemoryStore


def in_clickhouse(clickhouse: ClickHouse) -> Place:
    """A place in one ClickHouse database."""

    def letters():
        rows = clickhouse.rows(
            "test",
            "SELECT topic, partition, offset, hex(key), hex(value), has_value, reason, error "
            f"FROM {DEAD_LETTERS} FINAL ORDER BY offset",
        )
        return {
            (topic, partition, offset): DeadLetter(
                topic, partition, offset, bytes.fromhex(key), bytes.fromhex(value) if has_value else None, reason, error
            )
            for topic, partition, offset, key, value, has_value, reason, error in rows
        }

    def procedures():
        rows = clickhouse.rows(
            "test", f"SELECT agency, day, procedure_code, events, {', '.join(COUNTS)} FROM {AGENCY_DAY_PROCEDURE} FINAL"
        )
        return {(agency, day, code): Counts(*map(int, counts)) for agency, day, code, *counts in rows}

    def late_recount(agency: str, minute: dt.datetime, events: int) -> None:
        clickhouse.command(
            "test",
            f"INSERT INTO {AGENCY_MINUTE} (agency, minute, events, last_event_at, version) "
            f"VALUES ('{agency}', '{minute:%Y-%m-%d %H:%M:%S}', {events}, '{minute:%Y-%m-%d %H:%M:%S}', {events})",
        )

    return Place(ClickHouseStore(clickhouse), ClickHouseReader(clickhouse), letters, procedures, late_recount)


class TestEmbedded(StoreSuite):
    """chDB, the engine in this process."""

    @pytest.fixture
    def place(self, embedded):
        """An empty database."""
        return in_clickhouse(embedded)


class TestServer(StoreSuite):
    """ClickHouse over HTTP."""

    @pytest.fixture
    def place(self, served):
        """An empty database."""
        return in_clickhouse(served)


class TestMemory(StoreSuite):
    """The double that other tests trust: it keeps the same contract."""

    @pytest.fixture
    def place(self):
        """A fresh double."""
        store = MemoryStore()
        return Place(
            store,
            store,
            letters=lambda: {at: letter for at, (letter, _) in store.letters.items()},
            procedures=lambda: {key: tally.counts for key, tally in store.procedures.items()},
            late_recount=lambda agency, minute, events: store.write(
                store.minutes, (agency, minute), Counts(events=events), minute
            ),
        )
