"""The ClickHouse cluster of the tests replicates for real, and its parts can fail and return."""

from __future__ import annotations

import ctypes
import ctypes.util
import shlex
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from deploy.native.processes import wait_until
from deploy.native.programs import PROJECT, clickhouse_library
from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.errors import ConfigurationError, UnavailableError
from tests.clickhouse_cluster import find_offsets, replica_child
from tests.clickhouse_cluster.cluster import Cluster

pytestmark = pytest.mark.integration

COLUMNS = "(key UInt64, value String, version UInt64)"
REPLICATED = f"CREATE TABLE counted {COLUMNS} ENGINE = ReplicatedReplacingMergeTree(version) ORDER BY key"
ALL_ROWS = "SELECT count(), sum(version) FROM counted FINAL"


def insert(replica, database, numbers, *, table="counted", version=1):
    """Rows with these keys."""
    rows = ", ".join(f"({number}, 'a', {version})" for number in numbers)
    replica.query(f"INSERT INTO {table} VALUES {rows}", database=database)


def seen(replica, database, *, table="counted"):
    """Keys and the sum of versions that a replica has when it has fetched what others have."""
    if table == "counted":
        replica.query("SYSTEM SYNC REPLICA counted", database=database)
    return replica.query(ALL_ROWS.replace("counted", table), database=database)


@pytest.mark.long
def test_replicas_fetch_from_each_other_and_shards_are_read_as_one(clickhouse_cluster, clickhouse_database):
    """Rows reach the other replica of their shard, also after it was killed, frozen, or without ZooKeeper for a while."""
    cluster, database = clickhouse_cluster, clickhouse_database
    for replica in cluster.replicas:
        replica.query(REPLICATED, database=database)
        replica.query(
            f"CREATE TABLE whole AS counted ENGINE = Distributed(portalpulse, {database}, counted, key)", database=database
        )
    first, second = cluster.shards[0]
    other = cluster.replica(1, 1)
    first.query("INSERT INTO whole SELECT number, 'a', 1 FROM numbers(100)", database=database, distributed_foreground_insert=1)
    insert(second, database, [0], version=5)
    assert [seen(replica, database) for replica in cluster.replicas] == ["50\t54", "50\t54", "50\t50", "50\t50"]
    assert seen(other, database, table="whole") == "100\t104"

    urls = cluster.urls
    second.kill()
    insert(first, database, [100], version=10)
    second.start()
    assert seen(second, database) == "51\t64"
    assert cluster.urls == urls

    second.suspend()
    insert(first, database, [102])
    second.resume()
    assert seen(second, database) == "52\t65"

    cluster.coordination.stop()
    with pytest.raises(UnavailableError):
        first.query("INSERT INTO counted VALUES (104, 'a', 1)", database=database, insert_keeper_max_retries=0)
    cluster.coordination.start()
    wait_until(
        lambda: not any(replica.query("SELECT 1 FROM system.replicas WHERE is_readonly") for replica in cluster.replicas),
        timeout=60,
        what="the tables to be writable",
    )
    insert(first, database, [104])
    with closing(cluster.client(0, 1, database)) as client:
        client.command("sync", "SYSTEM SYNC REPLICA counted")
        assert client.rows("count", "SELECT count() FROM counted FINAL") == [(53,)]


@pytest.mark.long
def test_a_replica_that_lost_its_disk_fetches_every_row(clickhouse_cluster, clickhouse_database):
    """It is taken from ZooKeeper, and created once more."""
    lost, kept = clickhouse_cluster.shards[1]
    for replica in (lost, kept):
        replica.query(REPLICATED, database=clickhouse_database)
    insert(lost, clickhouse_database, range(20))
    assert seen(kept, clickhouse_database) == "20\t20"
    lost.wipe()
    lost.start()

    def dropped():
        try:
            kept.query(f"SYSTEM DROP REPLICA '{lost.name}' FROM DATABASE {clickhouse_database}")
        except UnavailableError as error:
            if "active" not in str(error):  # until its session ends
                raise
            return False
        return True

    wait_until(dropped, timeout=60, what="the session of the lost replica to end")
    lost.query(f"CREATE DATABASE {clickhouse_database}")
    lost.query(REPLICATED, database=clickhouse_database)
    assert seen(lost, clickhouse_database) == "20\t20"


def test_a_single_server_becomes_a_replica(tmp_path):
    """It keeps address and rows; a flag in the folder of a plain table makes it a replicated one, which others fetch."""
    server = ClickHouseServer(data_dir=tmp_path / "single", log_dir=tmp_path)
    cluster = Cluster(tmp_path / "cluster", shards=1, adopted={(0, 0): server})
    server.start()
    try:
        server.query("CREATE DATABASE figures")
        server.query(f"CREATE TABLE figures.counted {COLUMNS} ENGINE = ReplacingMergeTree(version) ORDER BY key")
        server.query("INSERT INTO figures.counted SELECT number, 'a', 1 FROM numbers(10)")
        path = server.query("SELECT arrayElement(data_paths, 1) FROM system.tables WHERE name = 'counted'")
        with pytest.raises(ConfigurationError, match="still runs"):
            cluster.start()
    finally:
        server.stop()
    (server.folder / path / "convert_to_replicated").touch()
    with cluster:
        adopted, new = cluster.replicas
        assert adopted.url == server.url("").rstrip("/")
        engine = "SELECT engine FROM system.tables WHERE name = 'counted' AND database = 'figures'"
        assert adopted.query(engine) == "ReplicatedReplacingMergeTree"
        new.query("CREATE DATABASE figures")
        new.query(REPLICATED, database="figures")
        assert seen(new, "figures") == "10\t10"
        insert(new, "figures", [10])
        assert seen(adopted, "figures") == "11\t11"


@pytest.mark.long
def test_the_cluster_runs_by_hand(tmp_path, commands):
    """As docs/cluster.md says: it writes the settings of portalpulse, starts a killed server again, and Ctrl-C stops all."""
    command = [sys.executable, "-m", "tests.clickhouse_cluster.up", str(tmp_path / "cluster")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as running:
        try:
            *lines, said = [running.stdout.readline().strip() for _ in range(6)]
            first = [psutil.Process(int(line.rpartition(" ")[2])) for line in lines]
            exports = Path(said.partition(": ")[2]).read_text(encoding="utf-8").splitlines()
            settings = dict(shlex.split(line)[1].split("=", 1) for line in exports)
            first[0].kill()
            wait_until(lambda: not first[0].is_running() or first[0].status() == psutil.STATUS_ZOMBIE, timeout=60, what="its end")
            running.send_signal(signal.SIGHUP)
            *lines, _ = [running.stdout.readline().strip() for _ in range(6)]
            processes = [psutil.Process(int(line.rpartition(" ")[2])) for line in lines]
            assert [process.pid for process in processes[1:]] == [process.pid for process in first[1:]]
            migrated = commands("migrate", environment={"PATH": "/usr/bin:/bin", **settings})
            assert migrated.returncode == 0, migrated.stderr
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 0
            assert not any(process.is_running() for process in processes)
        finally:
            running.kill()


def test_another_library_is_refused_with_the_way_out():
    """Nothing is changed in a library that is not the known build, and the error names the tool that finds its constants."""
    library = ctypes.util.find_library("c")
    command = [sys.executable, "-m", "tests.clickhouse_cluster.replica_child", library]
    answer = subprocess.run([*command, "config.xml", "."], capture_output=True, text=True, check=False, cwd=PROJECT, timeout=60)
    assert answer.returncode == 1
    assert "has no function chdb_query_cmdline" in answer.stderr
    assert "Traceback" not in answer.stderr
    code = ctypes.create_string_buffer(b"other", 5)
    with pytest.raises(SystemExit, match=r"another build of the engine library: .*find_offsets\.py"):
        replica_child._replace(ctypes.addressof(code), b"known", b"newer")
    assert code.raw == b"other"


@pytest.mark.long
def test_the_constants_of_the_known_build_are_found():
    """What the tool prints for the installed library is what the servers of a cluster use."""
    found = find_offsets.constants(find_offsets.Library.of(clickhouse_library()))
    assert found == {name: getattr(replica_child, name) for name in found}
    assert len(found) == 6
