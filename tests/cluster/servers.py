"""A ClickHouse cluster on this machine: one ZooKeeper, and shards of replicas with real replication."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx

from deploy.native.ports import LOOPBACK, free_ports
from deploy.native.processes import ChildProcess, stop_all, wait_until
from deploy.native.programs import CACHE, PROJECT, clickhouse_library, java_home
from domain.errors import UnavailableError
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.target import Target

CLUSTER = "portalpulse"
#: The tables of a shard, replicated; a worker writes and reads these.
LOCAL = "portalpulse_local"
#: The same names over all shards; readers use these.
ALL = "portalpulse"
_ZOOKEEPER_POM = Path(__file__).with_name("zookeeper_distribution") / "pom.xml"
_ZOOKEEPER_LIBRARIES = CACHE / "zookeeper" / "3.9.5" / "libs"


def zookeeper_libraries() -> Path:
    """The folder with ZooKeeper's jars; the first call copies them with Maven.

    Raises:
        UnavailableError: Maven failed.
    """
    if not any(_ZOOKEEPER_LIBRARIES.glob("zookeeper-3*.jar")):
        command = ["mvn", "-B", "-ntp", "-q", "-f", str(_ZOOKEEPER_POM), "dependency:copy-dependencies"]
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={_ZOOKEEPER_LIBRARIES}"]
        copied = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)
        if copied.returncode:
            raise UnavailableError(f"ZooKeeper's jars were not copied: {copied.stdout[-500:]}", remedy="Check Maven's access.")
    return _ZOOKEEPER_LIBRARIES


class ZooKeeper:
    """One node. Sessions of killed servers end after a second or two."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (self.port,) = free_ports(1)
        (folder / "zoo.cfg").write_text(
            f"tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\ndataDir={folder}/data\nmaxClientCnxns=0\n"
            f"clientPort={self.port}\nclientPortAddress={LOOPBACK}\nadmin.enableServer=false\n"
            "4lw.commands.whitelist=srvr\n",
            encoding="utf-8",
        )
        java = [java_home() / "bin" / "java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        main = ["-cp", f"{zookeeper_libraries()}/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"]
        self.process = ChildProcess("ZooKeeper", [*java, *main], log=folder / "zookeeper.log", directory=folder)

    def start(self) -> None:
        """Start it and wait until it serves; it answers ``ruok`` before that."""
        self.process.start()
        wait_until(self._serves, timeout=60, what="ZooKeeper", children=[self.process])

    def _serves(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), 1) as connection:
                connection.sendall(b"srvr")
                return b"Mode:" in b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return False


class Replica:
    """One ClickHouse server."""

    def __init__(self, folder: Path, shard: int, number: int, ports: tuple[int, int]) -> None:
        self.folder, self.shard, self.number = folder, shard, number
        self.http_port, self.tcp_port = ports
        self.name = f"s{shard + 1}r{number + 1}"
        #: Where other replicas fetch parts.
        self.address = f"127.0.1.{10 * (shard + 1) + number + 1}"
        self.process = ChildProcess(
            self.name,
            [
                *(sys.executable, "-m", "tests.cluster.replica_child", clickhouse_library()),
                *(folder / "config.xml", folder / "data"),
            ],
            log=folder / "clickhouse.log",
            directory=PROJECT,
        )

    def client(self, database: str, *, timeout: float = 60.0) -> ClickHouse:
        """A new connection of the program."""
        return ClickHouse(Target.parse(f"http://default:@{LOOPBACK}:{self.http_port}/{database}", timeout=timeout))

    def query(self, sql: str, *, database: str = LOCAL, timeout: float = 120.0, **settings: object) -> str:
        """The answer to a statement as tab-separated text.

        Raises:
            UnavailableError: the server rejected it; with its answer.
        """
        parameters = {"database": database} | {name: str(value) for name, value in settings.items()}
        answer = httpx.post(
            f"http://{LOOPBACK}:{self.http_port}", params=parameters, content=sql.encode(), timeout=timeout, trust_env=False
        )
        if answer.is_error:
            raise UnavailableError(answer.text.strip(), remedy=sql)
        return answer.text.rstrip("\n")

    def start(self) -> None:
        """Start it; returns before it answers."""
        self.process.start()

    def await_ready(self) -> None:
        """Wait until it answers."""
        wait_until(self._answers, timeout=120, what=self.name, children=[self.process])

    def _answers(self) -> bool:
        try:
            return self.query("SELECT 1", database="default", timeout=2.0) == "1"
        except (httpx.HTTPError, UnavailableError):
            return False


class Cluster:
    """``shards``: the replicas of each shard."""

    def __init__(self, folder: Path, *, shards: int = 2, replicas: int = 2) -> None:
        self._zookeeper = ZooKeeper(folder / "zookeeper")
        ports = iter(free_ports(2 * shards * replicas))
        self.shards = [
            [
                Replica(folder / f"s{shard + 1}r{number + 1}", shard, number, (next(ports), next(ports)))
                for number in range(replicas)
            ]
            for shard in range(shards)
        ]
        for replica in self.replicas:
            self._configure(replica)

    @property
    def replicas(self) -> list[Replica]:
        """Of all shards."""
        return [replica for shard in self.shards for replica in shard]

    def start(self) -> None:
        """Start everything and wait until it answers."""
        self._zookeeper.start()
        for replica in self.replicas:
            replica.start()
        for replica in self.replicas:
            replica.await_ready()

    def stop(self) -> None:
        """Stop everything."""
        stop_all([*(replica.process for replica in self.replicas), self._zookeeper.process])

    def _configure(self, replica: Replica) -> None:
        replica.folder.mkdir(parents=True)
        shards = "".join(
            "<shard><internal_replication>true</internal_replication>"
            + "".join(
                f"<replica><host>{LOOPBACK}</host><port>{each.tcp_port}</port><default_database>{ALL}</default_database></replica>"
                for each in shard
            )
            + "</shard>"
            for shard in self.shards
        )
        (replica.folder / "config.xml").write_text(
            f"""<clickhouse>
  <listen_host>{LOOPBACK}</listen_host><listen_host>{replica.address}</listen_host>
  <http_port>{replica.http_port}</http_port><tcp_port>{replica.tcp_port}</tcp_port>
  <interserver_http_host>{replica.address}</interserver_http_host>
  <interserver_http_port>{replica.http_port}</interserver_http_port>
  <macros><shard>{replica.shard + 1}</shard><replica>{replica.name}</replica></macros>
  <users_config>{replica.folder}/users.xml</users_config>
  <remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers>
  <zookeeper>
    <node><host>{LOOPBACK}</host><port>{self._zookeeper.port}</port></node>
    <!-- All these servers have the same empty id; with one path the session of each would end those of the others. -->
    <sessions_path>/clickhouse/sessions/{replica.name}</sessions_path>
    <session_timeout_ms>4000</session_timeout_ms><operation_timeout_ms>10000</operation_timeout_ms>
  </zookeeper>
  <max_server_memory_usage>1500000000</max_server_memory_usage>
  <background_pool_size>2</background_pool_size><background_fetches_pool_size>4</background_fetches_pool_size>
  <background_schedule_pool_size>32</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
</clickhouse>
""",
            encoding="utf-8",
        )
        (replica.folder / "users.xml").write_text(
            "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password></password>"
            "<networks><ip>127.0.0.0/8</ip></networks><profile>default</profile><quota>default</quota></default></users>"
            "</clickhouse>\n",
            encoding="utf-8",
        )
