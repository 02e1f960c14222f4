"""The suite on the embedded engine, a real server and the double in memory."""

from __future__ import annotations

import datetime as dt

import pytest

from sinks.clickhouse.client import ClickHouse
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.tallies import Counts, Days, Span
from sinks.tables import AGENCY_DAY, AGENCY_DAY_PROCEDURE, AGENCY_MINUTE, COUNT_CONDITIONS, DEAD_LETTERS, EPOCH
from tests.contract.clustered import storage_of
from tests.contract.store_suite import StoreSuite, StoreUnderTest
from tests.factories import MORNING, an_event, rows_of
from tests.fakes import MemoryStore


def in_clickhouse(clickhouse: ClickHouse) -> StoreUnderTest:
    """The destination in a ClickHouse database."""

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
            "test",
            f"SELECT agency, day, procedure_code, sum(events), {', '.join(f'sum({name})' for name in COUNT_CONDITIONS)} "
            f"FROM {AGENCY_DAY_PROCEDURE} FINAL GROUP BY agency, day, procedure_code",
        )
        return {(agency, day, code): Counts(*map(int, counts)) for agency, day, code, *counts in rows}

    def late_recount(agency: str, minute: dt.datetime, events: int) -> None:
        clickhouse.command(
            "test",
            f"INSERT INTO {AGENCY_MINUTE} (agency, minute, events, last_event_at, version) "
            f"VALUES ('{agency}', '{minute:%Y-%m-%d %H:%M:%S}', {events}, '{minute:%Y-%m-%d %H:%M:%S}', {events})",
        )

    return StoreUnderTest(storage_of(clickhouse).events(), storage_of(clickhouse).tallies(), letters, procedures, late_recount)


class TestEmbedded(StoreSuite):
    """chDB, the engine in this process."""

    @pytest.fixture
    def sink(self, embedded):
        """An empty database."""
        return in_clickhouse(embedded)


class TestServer(StoreSuite):
    """ClickHouse over HTTP."""

    @pytest.fixture
    def sink(self, served):
        """An empty database."""
        return in_clickhouse(served)


@pytest.mark.long
class TestCluster(StoreSuite):
    """Two shards with two replicas each."""

    @pytest.fixture
    def sink(self, clustered):
        """An empty database."""
        return in_clickhouse(clustered)


class TestMemory(StoreSuite):
    """The test double, which fulfils the same contract."""

    @pytest.fixture
    def sink(self):
        """A fresh double."""
        store = MemoryStore()
        return StoreUnderTest(
            store,
            store,
            letters=lambda: {at: letter for at, (letter, _) in store.letters.items()},
            procedures=lambda: {key: tally.counts for key, tally in store.procedures.items()},
            late_recount=lambda agency, minute, events: store.write(
                store.minutes, (agency, minute), Counts(events=events), minute
            ),
        )


def test_the_version_of_a_tally_is_its_number_of_events(embedded):
    """Of two recounts the one that counted more events must win, without a clock: a row's version is its number of events."""
    sink = in_clickhouse(embedded)
    sink.store_and_recount([an_event(occurred_at=MORNING + dt.timedelta(minutes=number // 2)) for number in range(7)])
    for table in (AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE):
        rows = embedded.rows("test", f"SELECT events, bitAnd(version, {EPOCH - 1}) FROM {table} FINAL")
        assert sum(events for events, _ in rows) == 7
        assert all(events == version for events, version in rows), table


def test_a_day_alone_holds_its_hours_and_no_others(embedded):
    """A single civil day includes every event between two midnights of Viet Nam, and no other."""
    sink = in_clickhouse(embedded)
    midnight = dt.datetime(2024, 3, 4, 17, tzinfo=dt.UTC)  # the fifth of March begins
    inside = (dt.timedelta(), dt.timedelta(hours=3), dt.timedelta(hours=24) - dt.timedelta(milliseconds=1))
    outside = (-dt.timedelta(milliseconds=1), dt.timedelta(hours=24))
    events = [an_event(occurred_at=midnight + offset) for offset in (*inside, *outside)]
    sink.store.insert_events(rows_of(events))
    sink.store.recount_minutes(Span(midnight - dt.timedelta(days=2), midnight + dt.timedelta(days=2)))
    day = dt.date(2024, 3, 5)
    sink.store.roll_up_days(Days((day,)))
    sink.store.recount_procedures(Days((day,)))
    around = sink.reader.counts_of_days(day - dt.timedelta(days=1), day + dt.timedelta(days=1))
    assert around["H17"].events == len(inside)
    assert {key[1]: counts.events for key, counts in sink.procedures().items()} == {day: len(inside)}
