"""A ClickHouse cluster on this machine: one ZooKeeper, and shards of replicas with real replication. For tests.

with Cluster(folder) as cluster:
    cluster.replica(0, 1).query("SELECT 1")
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.native.ports import free_ports
from deploy.native.processes import stop_all
from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.errors import ConfigurationError
from sinks.clickhouse.client import ClickHouse
from tests.clickhouse_cluster import configuration
from tests.clickhouse_cluster.coordination import ZooKeeper
from tests.clickhouse_cluster.replica import Replica

#: The database of names without a database in statements that a server sends to a shard; it is on every server.
DEFAULT_DATABASE = "portalpulse"


class Cluster:
    """``shards`` times ``replicas`` servers and a ZooKeeper on free loopback ports, which stay the same over restarts.

    Every server knows the cluster ``portalpulse`` and the macros ``{shard}`` (from 1) and ``{replica}`` (``s1r2``).

    Attributes:
        coordination: the ZooKeeper; ``.stop()``, ``.start()``.
        shards: the replicas of each shard.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shards: int = 2,
        replicas: int = 2,
        database: str = "default",
        profile: Mapping[str, object] | None = None,
        adopted: Mapping[tuple[int, int], ClickHouseServer] | None = None,
    ) -> None:
        """Write the configuration of every server.

        Args:
            folder: where configuration, data and logs go.
            shards: number of shards.
            replicas: number of replicas of each.
            database: where ``Replica.query`` looks for names without a database.
            profile: settings of every session.
            adopted: (shard, replica), both from 0 -> a single server that was stopped and goes on as this replica, with its data
                and its ports.

        Raises:
            ConfigurationError: the engine library, Java or ZooKeeper's jars are missing.
        """
        self._folder = folder.resolve()
        self._adopted = dict(adopted or {})
        self._database = database
        self._numbers = itertools.count(1)
        port, *ports = free_ports(1 + 2 * shards * replicas)  # at once, so that all differ
        self._ports = iter(zip(ports[::2], ports[1::2], strict=True))
        self.coordination = ZooKeeper(self._folder / "zookeeper", port)
        self.shards = [[self._replica(shard, number) for number in range(replicas)] for shard in range(shards)]
        for replica in self.replicas:
            replica.folder.mkdir(parents=True, exist_ok=True)
            configuration.write(
                replica,
                self.shards,
                coordination_port=self.coordination.port,
                profile=profile or {},
                default_database=DEFAULT_DATABASE,
            )

    @property
    def replicas(self) -> list[Replica]:
        """Of all shards."""
        return [replica for shard in self.shards for replica in shard]

    @property
    def urls(self) -> tuple[tuple[str, ...], ...]:
        """The addresses of the replicas of each shard; add ``/DATABASE``."""
        return tuple(tuple(replica.url for replica in shard) for shard in self.shards)

    def replica(self, shard: int, replica: int) -> Replica:
        """A server; both numbers begin at 0."""
        return self.shards[shard][replica]

    def client(self, shard: int, replica: int, database: str = DEFAULT_DATABASE) -> ClickHouse:
        """A new connection of the program to a server; the caller closes it."""
        return self.replica(shard, replica).client(database)

    def start(self) -> None:
        """Start what does not run, let what was suspended continue, and wait until everything answers.

        Raises:
            ConfigurationError: an adopted server still runs.
            UnavailableError: a part ended or did not answer in time.
        """
        for place, server in self._adopted.items():
            if server.process.running:
                raise ConfigurationError(
                    f"The single server of {server.folder} still runs.", remedy=f"Stop it before it becomes the replica {place}."
                )
        parts = [self.coordination, *self.replicas]
        for part in parts:
            part.process.resume()
        started = [part for part in parts if not part.process.running]
        # A table that becomes a replicated one asks ZooKeeper at the start of its server.
        if self.coordination in started:
            self.coordination.start()
        for replica in started:
            if replica is not self.coordination:
                replica.launch()
        for replica in self.replicas:
            replica.await_ready()
            if replica in started:
                replica.query(f"CREATE DATABASE IF NOT EXISTS {DEFAULT_DATABASE}", database="default")

    def close(self) -> None:
        """Stop everything."""
        stop_all(part.process for part in (*self.replicas, self.coordination))

    def new_database(self) -> str:
        """The name of a new empty database on every server: tests that share a cluster take one each."""
        name = f"t{next(self._numbers)}"
        for replica in self.replicas:
            replica.query(f"CREATE DATABASE {name}", database="default")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database and those whose names begin with it and an underscore, on every server, from ZooKeeper too."""
        for replica in self.replicas:
            named = f"SELECT name FROM system.databases WHERE name = '{name}' OR startsWith(name, '{name}_')"
            found = replica.query(named, database="default")
            for database in found.split():
                replica.query(f"DROP DATABASE {database} SYNC", database="default")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _replica(self, shard: int, number: int) -> Replica:
        folder = self._folder / f"s{shard + 1}r{number + 1}"
        server = self._adopted.get((shard, number))
        ports = (server.http_port, server.tcp_port) if server else next(self._ports)
        data = server.folder if server else folder / "data"
        return Replica(folder, shard, number, ports=ports, data=data, database=self._database)
