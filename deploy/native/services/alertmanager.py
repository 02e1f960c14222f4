"""An Alertmanager on a loopback port, without a cluster; its configuration is written by the caller.

It runs in its own folder and reads relative names only, because it treats the names of template files as patterns.
"""

from __future__ import annotations

from pathlib import Path

from deploy.native.ports import free_port
from deploy.native.processes import ChildProcess
from deploy.native.programs import alertmanager_binary
from deploy.native.service import HttpService


class AlertmanagerServer(HttpService):
    """An Alertmanager whose files are below ``data_dir``; write ``config`` before ``launch``."""

    def __init__(self, *, data_dir: Path, log_dir: Path, binary: Path | None = None, port: int | None = None) -> None:
        """Find the program. ``port``: the port to listen on; None = a free one.

        Raises:
            ConfigurationError: Alertmanager is not installed.
        """
        self._folder = data_dir.resolve()
        self.port = port or free_port()
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

    def launch(self) -> None:
        """Start Alertmanager; returns before it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        super().launch()
