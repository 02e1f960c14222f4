"""The doctor asks every server of a real cluster, and tells which one is wrong."""

from __future__ import annotations

import json

import pytest

from deploy.native.doctor.clocks import Clocks
from deploy.native.doctor.examination import examine
from deploy.native.doctor.storage import examine_server, storage_servers
from deploy.native.ports import free_port
from deploy.native.processes import wait_until
from pipeline.settings import Settings
from pipeline.wiring.storage import migrate_storage

pytestmark = pytest.mark.integration

PARTS = {
    f"ClickHouse, shard {shard}, replica {replica}{what}"
    for shard in (1, 2)
    for replica in (1, 2)
    for what in ("", ": schema", ": tables", ": rights", ": disks", ": cluster", ": replicas")
}


@pytest.fixture(scope="module")
def migrated(clickhouse_nodes, tmp_path_factory):
    """The settings of a cluster whose database has the newest schema; no broker and no process listens.

    The tests share the database: the doctor changes nothing.
    """
    clickhouse_nodes.start()
    name = clickhouse_nodes.new_database()
    shards = [[f"{url}/{name}" for url in shard] for shard in clickhouse_nodes.urls]
    made = Settings(
        data_dir=tmp_path_factory.mktemp("doctor") / "none",
        kafka={"bootstrap": f"127.0.0.1:{free_port()}"},
        clickhouse={"shards": json.dumps(shards)},
        http={"port": free_port()},
    )
    migrate_storage(made)
    yield made
    clickhouse_nodes.start()
    clickhouse_nodes.drop_database(name)


@pytest.fixture
def settings(clickhouse_cluster, migrated):
    """These settings, while every server of the cluster runs."""
    return migrated


def examined(settings):
    """The findings about the storage, by part."""
    found = examine(settings, data_dir=settings.data_dir)
    return {finding.part: finding for finding in found if finding.part.startswith("ClickHouse,") or finding.part == "Clocks"}


def of_first(settings):
    """The findings about the first replica of the first shard, by part."""
    server = storage_servers(settings)[0]
    return {finding.part: finding for finding in examine_server(server, settings, Clocks())}


def test_every_server_is_examined(settings):
    """Each server has its findings; the clocks of all four are compared."""
    found = examined(settings)
    assert found.keys() == PARTS | {"Clocks"}
    assert {part: finding for part, finding in found.items() if finding.state != "ok"} == {}
    assert found["Clocks"].says.count("ClickHouse at") == 4
    assert found["ClickHouse, shard 1, replica 1"].since is not None


def test_a_dead_server_hides_no_other(settings, clickhouse_cluster):
    """Of a server that does not answer one finding names the setting; the other three are examined as before."""
    clickhouse_cluster.replica(1, 0).process.kill()
    found = examined(settings)
    dead = "ClickHouse, shard 2, replica 1"
    assert found.keys() == {part for part in PARTS if not part.startswith(f"{dead}:")} | {"Clocks"}
    assert [part for part, finding in found.items() if finding.state == "wrong"] == [dead]
    assert "does not answer" in found[dead].says
    assert "PORTALPULSE_CLICKHOUSE__SHARDS" in found[dead].remedy


def test_a_server_that_hangs_ends_the_examination(settings, clickhouse_cluster):
    """A server that is stopped (SIGSTOP) is told within the bound, beside all that answer."""
    stopped = clickhouse_cluster.replica(0, 1)
    stopped.process.suspend()
    try:
        found = examined(settings)
    finally:
        stopped.process.resume()
    assert [part for part, finding in found.items() if finding.state == "wrong"] == ["ClickHouse, shard 1, replica 2"]
    assert "does not answer" in found["ClickHouse, shard 1, replica 2"].says


def test_replicas_without_coordination_are_told(settings, clickhouse_cluster):
    """Without Keeper tables are read-only: each server says so, since when, and where to look."""
    clickhouse_cluster.coordination.process.kill()
    part = "ClickHouse, shard 1, replica 1: replicas"
    wait_until(lambda: of_first(settings)[part].state == "wrong", timeout=120, what="tables that are read-only")
    found = of_first(settings)[part]
    assert "tables are read-only" in found.says
    assert found.since is not None
    assert "Keeper" in found.remedy


def test_shards_in_another_order_are_told(settings):
    """Addresses in another order than the database's own are a fault of their server."""
    shards = json.loads(settings.clickhouse.shards.get_secret_value())[::-1]
    swapped = settings.model_copy(update={"clickhouse": Settings(clickhouse={"shards": json.dumps(shards)}).clickhouse})
    found = of_first(swapped)["ClickHouse, shard 1, replica 1: tables"]
    assert found.state == "wrong"
    assert "is shard 2 of 2" in found.says


def test_a_cluster_of_another_name_is_told(settings):
    """A server that does not know the cluster of the settings is named with the settings to correct."""
    other = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"cluster": "elsewhere"})})
    found = of_first(other)["ClickHouse, shard 1, replica 1: cluster"]
    assert found.state == "wrong"
    assert "does not know it" in found.says
    assert "PORTALPULSE_CLICKHOUSE__CLUSTER" in found.remedy
