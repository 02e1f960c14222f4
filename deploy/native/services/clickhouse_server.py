"""A real ClickHouse HTTP server as a child process: for tests, the bench and several workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from deploy.native.ports import LOOPBACK, free_ports
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import PROJECT, clickhouse_library
from deploy.native.service import Service
from domain.errors import UnavailableError


class ClickHouseServer(Service):
    """A server on loopback ports with its files below ``data_dir``.

    User ``default``, no password, reachable from this machine only.
    """

    def __init__(self, *, data_dir: Path, log_dir: Path, library: Path | None = None, options: Sequence[str] = ()) -> None:
        """Find the engine library.

        Args:
            data_dir: the server's own folder.
            log_dir: where clickhouse.log goes.
            library: the engine; None = where deploy/setup.sh puts it.
            options: further options of the engine, as ``--config-file=PATH`` (absolute).

        Raises:
            ConfigurationError: the library is missing.
        """
        self._library = library or clickhouse_library()
        #: Its data; kept over restarts.
        self.folder = data_dir.resolve()
        self.http_port, self.tcp_port = free_ports(2)
        self.process = ChildProcess(
            "ClickHouse",
            [
                *(sys.executable, "-m", "deploy.native.services.clickhouse_child", self._library, self.folder),
                *(str(self.http_port), str(self.tcp_port), *options),
            ],
            log=log_dir.resolve() / "clickhouse.log",
            directory=PROJECT,
        )

    @property
    def http_url(self) -> str:
        """The address of the server without a database, for example for a raw query."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def url(self, database: str = "portalpulse") -> str:
        """The address in the form of PORTALPULSE_CLICKHOUSE__URL."""
        return f"http://default:@{LOOPBACK}:{self.http_port}/{database}"

    def launch(self) -> None:
        """Start the server; returns before it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until the server answers a query.

        Raises:
            UnavailableError: the server ended or did not answer in time; the message has the end of its log.
        """
        with httpx.Client(base_url=self.http_url, timeout=5.0, trust_env=False) as client:
            wait_until(
                lambda: _answers(client),
                timeout=timeout or self.start_seconds,
                what="ClickHouse to answer",
                children=[self.process],
            )

    def query(self, sql: str, *, timeout: float = 60.0) -> str:
        """Run a statement and return the answer as tab-separated text without the last line break.

        Raises:
            UnavailableError: the server rejected the statement.
        """
        answer = httpx.post(self.http_url, content=sql.encode(), timeout=timeout, trust_env=False)
        if answer.is_error:
            raise UnavailableError(f"ClickHouse rejected a statement: {answer.text.strip()}.", remedy=sql)
        return answer.text.rstrip("\n")


def _answers(client: httpx.Client) -> bool:
    try:
        if client.get("/ping").text != "Ok.\n":
            return False
        return client.get("/", params={"query": "SELECT 1"}).text == "1\n"
    except httpx.HTTPError:
        return False
