"""The coordination service of the replicas: one ZooKeeper node from the jars."""

from __future__ import annotations

import socket
from pathlib import Path

from deploy.native.ports import LOOPBACK
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import java_home, zookeeper_libraries
from deploy.native.service import Service

#: Sessions of killed servers end after a second or more, as the servers ask for.
_PROPERTIES = """\
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
dataDir=data
maxClientCnxns=0
clientPort={port}
clientPortAddress={host}
admin.enableServer=false
4lw.commands.whitelist=srvr
"""


class ZooKeeper(Service):
    """One node on a loopback port below ``folder``; port and data stay the same over restarts."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self.process = ChildProcess(
            "ZooKeeper",
            [
                *(java_home() / "bin" / "java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
                *("-cp", f"{zookeeper_libraries()}/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"),
            ],
            log=folder / "zookeeper.log",
            directory=folder,
        )

    def launch(self) -> None:
        """Start it; returns before it serves."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "zoo.cfg").write_text(_PROPERTIES.format(port=self.port, host=LOOPBACK), encoding="ascii")
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until it serves; it would answer ``ruok`` before that.

        Raises:
            UnavailableError: it ended or did not serve in time.
        """
        wait_until(self._serves, timeout=timeout or self.start_seconds, what="ZooKeeper to serve", children=[self.process])

    def _serves(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), 1) as connection:
                connection.sendall(b"srvr")
                return b"Mode:" in b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return False
