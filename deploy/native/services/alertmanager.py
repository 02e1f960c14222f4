"""An Alertmanager on a loopback port, without a cluster; its configuration is written by the caller.

It runs in its own folder and reads relative names only, because it treats the names of template files as patterns.
"""

from __future__ import annotations

from pathlib import Path

from deploy.native.ports import LOOPBACK, free_port
from deploy.native.processes import ChildProcess, await_http
from deploy.native.programs import alertmanager_binary
from deploy.native.service import Service


class AlertmanagerServer(Service):
    """One Alertmanager below ``data_dir``; write ``config`` before ``launch``."""

    def __init__(self, *, data_dir: Path, log_dir: Path, binary: Path | None = None) -> None:
        """Find the program.

        Raises:
            ConfigurationError: it is not installed.
        """
        self._folder = data_dir.resolve()
        self.port = free_port()
        self.config = self._folder / "alertmanager.yml"
        self.process = ChildProcess(
            "Alertmanager",
            [
                binary or alertmanager_binary(),
                f"--config.file={self.config.name}",
                "--storage.path=storage",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            log=log_dir.resolve() / "alertmanager.log",
            directory=self._folder,
        )

    @property
    def address(self) -> str:
        """host:port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The address of its pages and API."""
        return f"http://{self.address}"

    def launch(self) -> None:
        """Start it; returns before it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until it reports that it is ready.

        Raises:
            UnavailableError: it ended (for example because of a wrong configuration) or did not answer in time.
        """
        await_http(f"{self.url}/-/ready", timeout=timeout or self.start_seconds, child=self.process)
