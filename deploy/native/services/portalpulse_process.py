"""A process of portalpulse itself (worker or exporter) as a part of the local stack."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.native.processes import ChildProcess
from deploy.native.programs import PROJECT
from deploy.native.service import Service
from deploy.native.services.prometheus import await_http


class PortalPulseProcess(Service):
    """``portalpulse COMMAND``, ready when /readyz says so: a worker has its partitions and storage then."""

    start_seconds = 90.0

    def __init__(
        self, command: str, arguments: Sequence[str], *, address: str, environment: Mapping[str, str], log_dir: Path
    ) -> None:
        """Nothing is started yet; ``environment`` tells it to listen at ``address`` (host:port)."""
        self.address = address
        self.process = ChildProcess(
            f"The {command}",
            [sys.executable, "-m", "pipeline.cli", command, *arguments],
            log=log_dir / f"{command}.log",
            environment=environment,
            directory=PROJECT,
        )

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{self.address}"

    def launch(self) -> None:
        """Start it; returns before it answers."""
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until it takes part.

        Raises:
            UnavailableError: it ended or was not ready in time; with the end of its log.
        """
        await_http(f"{self.url}/readyz", timeout=timeout or self.start_seconds, child=self.process)
