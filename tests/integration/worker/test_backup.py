"""The drill of docs/backup.md: a backup while events flow, the storage lost, a restore, and Kafka catches up."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from bench.consumer_group import ConsumerGroup
from bench.february import await_truth, table_differences
from deploy.native.processes import wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer
from producers.portals.tier_truth import TIERS

PAGE = Path(__file__).parents[3] / "docs" / "backup.md"


def statements(verb, database):
    """The statements of the page that begin with ``BACKUP`` or ``RESTORE``, for a database; their backups are files here."""
    found = re.findall(rf"^    ({verb} [^;]+);$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"Disk\('backups', '([^']+)'\)", r"File('\1')", one).replace("portalpulse", database) for one in found]


def _offsets(file, topic):
    """The saved offsets, by partition."""
    return list(json.loads(file.read_text())["topics"][topic]["offsets"].values())


@pytest.fixture
def servers(tmp_path):
    """Starts ClickHouse servers that may write backups into one folder: ``servers(name)``."""
    backups, started = tmp_path / "backups", []
    backups.mkdir()
    config = tmp_path / "config.xml"
    config.write_text(f"<clickhouse><backups><allowed_path>{backups}/</allowed_path></backups></clickhouse>")

    def start(name):
        server = ClickHouseServer(
            data_dir=tmp_path / name, log_dir=tmp_path / f"{name}-logs", options=[f"--config-file={config}"]
        )
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.mark.timeout(400)
def test_a_lost_storage_is_restored_and_catches_up(chain, servers, tmp_path):
    """A backup while the worker counts, all data lost, a restore into a new server: every figure is the ledger's.

    The group's offsets are newer than the backup; the file that was saved before it sets them back, and only while no
    worker runs. The audit finds nothing.
    """

    def storage(name):
        chain.server = servers(name)
        chain.environment["PORTALPULSE_CLICKHOUSE__URL"] = chain.server.url(chain.database)

    saved = tmp_path / "offsets.json"
    storage("first")
    worker = chain.worker()
    with chain.month(seed=2) as sending:
        wait_until(lambda: any(committed for committed, _ in chain.offsets()), timeout=100, what="the worker to acknowledge")
        assert chain.command("offsets", "save", str(saved)).returncode == 0
        for statement in statements("BACKUP", chain.database):
            assert "BACKUP_CREATED" in chain.server.query(statement)
    month = sending.result()
    wait_until(chain.acknowledged, timeout=120, what="the worker to acknowledge everything")
    refused = chain.command("offsets", "restore", str(saved))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "1 workers of the group" in refused.stderr
    worker.process.stop()
    chain.server.kill()
    shutil.rmtree(tmp_path / "first")

    storage("second")
    for statement in statements("RESTORE", chain.database):
        assert "RESTORED" in chain.server.query(statement)
    assert 0 < chain.stored() < month.sent
    restored = chain.command("offsets", "restore", str(saved))
    assert restored.returncode == 0, restored.stderr
    assert [committed for committed, _ in chain.offsets()] == _offsets(saved, chain.topic)
    chain.worker()
    group = ConsumerGroup(chain.kafka.bootstrap, group=chain.group, topic=chain.topic)
    await_truth(month, chain.server, chain.database, lag=group.lag, timeout=120)
    for table in TIERS:
        assert not table_differences(month, chain.server, chain.database, table)
    audit = chain.command("audit", "--kafka", "deep", "--settle", "2", "--format", "json")
    assert audit.returncode == 0, audit.stdout + audit.stderr
