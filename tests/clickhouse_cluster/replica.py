"""One ClickHouse server of a cluster."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import httpx

from deploy.native.ports import LOOPBACK
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import PROJECT, clickhouse_library
from deploy.native.service import Service
from domain.errors import UnavailableError
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.target import Target


class Replica(Service):
    """A replica of a shard; ports and data stay the same over restarts. ``cluster.Cluster`` writes its configuration.

    Attributes:
        folder: its configuration and log.
        data: its data.
        shard: the number of its shard, from 0.
        number: its number within the shard, from 0.
        name: ``s1r2`` is the second replica of the first shard; the macro ``replica``.
    """

    start_seconds = 120.0

    def __init__(self, folder: Path, shard: int, number: int, *, ports: tuple[int, int], data: Path, database: str) -> None:
        self.folder, self.shard, self.number = folder, shard, number
        self.data, self._database = data, database
        self.http_port, self.tcp_port = ports
        self.name = f"s{shard + 1}r{number + 1}"
        #: Where other replicas fetch parts.
        self.address = f"127.0.1.{10 * (shard + 1) + number + 1}"
        self.process = ChildProcess(
            self.name,
            [
                *(sys.executable, "-m", "tests.clickhouse_cluster.replica_child", clickhouse_library()),
                *(folder / "config.xml", self.data),
            ],
            log=folder / "clickhouse.log",
            directory=PROJECT,
        )

    @property
    def url(self) -> str:
        """Its address; with ``/DATABASE`` in the form of PORTALPULSE_CLICKHOUSE__URL."""
        return f"http://default:@{LOOPBACK}:{self.http_port}"

    def launch(self) -> None:
        """Start it; returns before it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until it answers.

        Raises:
            UnavailableError: it ended or did not answer in time; with the end of its log.
        """
        wait_until(self._answers, timeout=timeout or self.start_seconds, what=f"{self.name} to answer", children=[self.process])

    def suspend(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self.process.suspend()

    def resume(self) -> None:
        """Let it continue after ``suspend``."""
        self.process.resume()

    def wipe(self) -> None:
        """Lose its disk: kill it and delete its data. ZooKeeper still knows the replica (``SYSTEM DROP REPLICA``)."""
        self.kill()
        shutil.rmtree(self.data)

    def query(self, sql: str, *, database: str | None = None, timeout: float = 120.0, **settings: object) -> str:
        """The answer to a statement as tab-separated text, without the last line break.

        Raises:
            UnavailableError: the server rejected it; with its answer.
        """
        parameters = {"database": database or self._database} | {name: str(value) for name, value in settings.items()}
        answer = httpx.post(self.url, params=parameters, content=sql.encode(), timeout=timeout, trust_env=False)
        if answer.is_error:
            raise UnavailableError(f"{self.name} rejected a statement: {answer.text.strip()}", remedy=sql)
        return answer.text.rstrip("\n")

    def client(self, database: str, *, timeout: float = 60.0) -> ClickHouse:
        """A new connection of the program; the caller closes it."""
        return ClickHouse(Target.parse(f"{self.url}/{database}", timeout=timeout))

    def _answers(self) -> bool:
        try:
            return self.query("SELECT 1", database="default", timeout=2.0) == "1"
        except (httpx.HTTPError, UnavailableError):
            return False
