"""Migrations while workers count, and what an older release does with a newer schema."""

from __future__ import annotations

import pytest

from bench.consumer_group import ConsumerGroup
from bench.february import await_truth, table_differences
from deploy.native.processes import wait_until
from producers.portals.tier_truth import TIERS
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import Migration, migrate, packaged_migrations
from sinks.clickhouse.target import Target
from tests.database_state import state
from tests.unit.pipeline.cli.test_surroundings import ARGUMENTS

NEXT = packaged_migrations()[-1].number + 1
#: What a later release may do while workers of this one run: every kind of statement that migrations of the past consist of, but
#: for those whose release asked to stop the workers.
LATER = Migration(
    NEXT,
    "what_a_later_release_adds",
    """
    ALTER TABLE agency_minute ADD COLUMN IF NOT EXISTS later UInt64 AFTER settled;
    ALTER TABLE agency_day ADD COLUMN IF NOT EXISTS later UInt64 AFTER settled;
    ALTER TABLE agency_day_procedure ADD COLUMN IF NOT EXISTS later UInt64 AFTER settled;
    ALTER TABLE dossier_messages ADD COLUMN IF NOT EXISTS later String AFTER status;
    ALTER TABLE dossier_messages ADD INDEX IF NOT EXISTS later_index ingested_at TYPE minmax GRANULARITY 1;
    ALTER TABLE dossier_messages MATERIALIZE INDEX later_index;
    ALTER TABLE dossier_index MODIFY SETTING min_parts_to_merge_at_once = 6;
    CREATE TABLE IF NOT EXISTS later_table (a UInt64) ENGINE = MergeTree ORDER BY a;
    INSERT INTO later_table SELECT count() FROM dossier_messages;
    """,
)
#: Commands that open no storage: they say nothing about its schema.
WITHOUT_STORAGE = {
    *("offsets save", "offsets restore", "workers list", "workers remove"),
    *("schema", "indicators", "produce", "replay", "load", "catalogue check"),
    *("up", "demo", "seeds", "rehearse"),  # their workers are the processes that refuse
    *("boards render", "boards check", "boards push", "relay", "watchdog"),
    *(name for name in ARGUMENTS if name.startswith("alerts ")),
    *("report", "dossier", "doctor"),  # they ask a running process
}


@pytest.mark.timeout(300)
def test_a_later_release_migrates_while_workers_count(chain):
    """Workers of this release count on beside a migration, every figure is the ledger's; afterwards this release starts nothing.

    Each command that opens the storage says in one sentence that the program is too old, and changes nothing.
    """
    chain.worker()
    with chain.month(seed=1) as sending:
        wait_until(lambda: chain.stored() > 1_000, timeout=100, what="the worker to count")
        later = ClickHouse(Target.parse(chain.server.url(chain.database), timeout=60))
        assert migrate(later, (*packaged_migrations(), LATER)) == (LATER,)
        later.close()
    month = sending.result()
    group = ConsumerGroup(chain.kafka.bootstrap, group=chain.group, topic=chain.topic)
    await_truth(month, chain.server, chain.database, lag=group.lag, timeout=120)
    chain.workers[0].process.stop()
    for table in TIERS:
        assert not table_differences(month, chain.server, chain.database, table)

    before = state(chain.server, chain.database)
    for name in sorted(ARGUMENTS.keys() - WITHOUT_STORAGE):
        found = chain.command(*name.split(), *ARGUMENTS[name])
        assert found.returncode == 2, name
        assert found.stderr.count("\n") == 1, (name, found.stderr)
        assert f"has migration {NEXT:04d}, this program knows none above {NEXT - 1:04d}. Update the program." in found.stderr, (
            name
        )
    assert state(chain.server, chain.database) == before
