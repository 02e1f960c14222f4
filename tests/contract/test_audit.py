"""The audit's suite on the embedded engine, a real server and the double in memory; then tests specific to ClickHouse."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.tiers import Tier
from sinks.clickhouse.client import ClickHouse
from sinks.contract.tallies import Counts
from sinks.errors import Fatal
from tests.contract.audit_suite import TODAY, AuditSuite, AuditUnderTest
from tests.contract.clustered import storage_of
from tests.factories import MORNING, an_event
from tests.fakes import MemoryStore, Tally


def in_clickhouse(clickhouse: ClickHouse) -> AuditUnderTest:
    """The destination in a ClickHouse database."""

    def write(tier, name, counts, last, version):
        agency, bucket, procedure = name
        names = Counts.__slots__
        key = {"agency": agency, "minute" if tier is Tier.MINUTE else "day": f"{bucket:%Y-%m-%d %H:%M:%S}"}
        if tier is Tier.DAY:
            key["day"] = f"{bucket:%Y-%m-%d}"
        if tier is Tier.PROCEDURE:
            key |= {"day": f"{bucket:%Y-%m-%d}", "procedure_code": procedure}
        columns = [*key, *names, "last_event_at", "version"]
        quoted = [f"'{value}'" for value in key.values()] + [str(getattr(counts, column)) for column in names]
        at = last.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        clickhouse.command(
            "test", f"INSERT INTO {tier.value} ({', '.join(columns)}) VALUES ({', '.join(quoted)}, '{at}', {version})"
        )

    return AuditUnderTest(
        storage_of(clickhouse).events(),
        storage_of(clickhouse).tallies(),
        storage_of(clickhouse).audit(),
        storage_of(clickhouse).repair(),
        write,
        clear=lambda tier: clickhouse.command("test", f"TRUNCATE TABLE {tier.value}"),
        delete_events=lambda agency: clickhouse.command(
            "test", f"ALTER TABLE dossier_messages DELETE WHERE agency = '{agency}'", mutations_sync=2
        ),
        age_events=lambda: clickhouse.command(
            "test", "ALTER TABLE dossier_messages UPDATE ingested_at = ingested_at - INTERVAL 1 HOUR WHERE 1", mutations_sync=2
        ),
    )


@pytest.mark.long  # the same statements as on the server
class TestEmbedded(AuditSuite):
    """chDB, the engine in this process."""

    @pytest.fixture
    def sink(self, embedded):
        """An empty database."""
        return in_clickhouse(embedded)


class TestServer(AuditSuite):
    """ClickHouse over HTTP."""

    @pytest.fixture
    def sink(self, served):
        """An empty database."""
        return in_clickhouse(served)


@pytest.mark.long
class TestCluster(AuditSuite):
    """Two shards with two replicas each."""

    @pytest.fixture
    def sink(self, clustered):
        """An empty database."""
        return in_clickhouse(clustered)


class TestMemory(AuditSuite):
    """The test double, which fulfils the same contract."""

    @pytest.fixture
    def sink(self):
        """A fresh double."""
        store = MemoryStore()

        def write(tier, name, counts, last, version):
            key = name if tier is Tier.PROCEDURE else name[:2]
            known = store._tier(tier).get(key)
            if known is None or version >= known.version:
                store._tier(tier)[key] = Tally(version, counts, last)

        def delete_events(agency):
            for key in [key for key in store.kept if key[0] == agency]:
                del store.kept[key]

        def age_events():
            for key in store.arrived:
                store.arrived[key] -= dt.timedelta(hours=1)

        return AuditUnderTest(
            store, store, store, store, write, lambda tier: store._tier(tier).clear(), delete_events, age_events
        )


def test_a_version_that_no_epoch_beats(clickhouse):
    """A tally whose version is too high for any epoch is reported, and no epoch is used."""
    sink = in_clickhouse(clickhouse)
    sink.store_and_recount([an_event()])
    sink.write(Tier.DAY, ("H17", TODAY, ""), Counts(events=9), MORNING, 2**64 - 1)
    with pytest.raises(Fatal, match="no recount can beat"):
        sink.repair.raise_epoch("test")
    assert clickhouse.rows("test", "SELECT count() FROM tally_epochs")[0][0] == 0


def test_no_scratch_is_left(clickhouse):
    """Asking for messages leaves no table behind."""
    AuditSuite().test_messages_that_are_kept_and_that_are_not(in_clickhouse(clickhouse))
    assert clickhouse.rows("test", "SHOW TABLES LIKE 'audit_%'") == []


def test_a_tally_without_events_has_no_newest_event(clickhouse):
    """Reading the newest events skips tallies that a repair cleared."""
    sink = in_clickhouse(clickhouse)
    for tier, bucket in ((Tier.DAY, TODAY), (Tier.MINUTE, MORNING)):
        sink.write(tier, ("H18", bucket, ""), Counts(), dt.datetime.fromtimestamp(0, dt.UTC), 1)
    for until in (MORNING + dt.timedelta(minutes=5), MORNING + dt.timedelta(days=2)):
        assert sink.reader.last_events(until) == {}


def test_days_beyond_the_last_minute_of_a_tally_have_none(clickhouse):
    """A day that a ``DateTime`` cannot hold selects no minutes, and never those of another day."""
    audit = storage_of(clickhouse).audit()
    columns = "agency, minute, events, last_event_at, version"
    for minute in ("1970-01-01 00:00:00", "2013-04-28 10:31:44", "2106-02-07 06:28:00"):
        clickhouse.command("test", f"INSERT INTO agency_minute ({columns}) VALUES ('H17', '{minute}', 1, 0, 1)")
    for day, tallies in {
        dt.date(2149, 6, 6): 0,
        dt.date(2149, 6, 5): 0,
        dt.date(2106, 2, 8): 0,
        dt.date(2106, 2, 7): 1,
        dt.date(2013, 4, 28): 1,
        dt.date(1970, 1, 1): 1,
    }.items():
        found = audit.compare(Tier.MINUTE, day, settle=dt.timedelta(0), limit=9)
        assert found.buckets == tallies, day
