"""A process of portalpulse itself (worker or exporter), as a service of the local stack, of the bench and of tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from deploy.native.ports import LOOPBACK, free_port
from deploy.native.processes import ChildProcess
from deploy.native.programs import PROJECT
from deploy.native.service import HttpService


class PortalPulseProcess(HttpService):
    """The command ``portalpulse COMMAND`` on a free loopback port.

    A worker is ready when it has its partitions and its storage.
    """

    ready_path = "/readyz"

    start_seconds = 90.0

    def __init__(
        self,
        command: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str],
        log_dir: Path,
        name: str | None = None,
        port: int | None = None,
        directory: Path = PROJECT,
    ) -> None:
        """Set the command; nothing is started yet.

        Args:
            command: for example worker.
            arguments: after the command.
            environment: the whole environment; the address that the process listens at is added.
            log_dir: where its log goes, called after ``name``, else after the command.
            name: what errors call it; None = "The COMMAND".
            port: the port to listen on; None = a free one.
            directory: its working directory.
        """
        self.port = port or free_port()
        self.environment = {**environment, "PORTALPULSE_HTTP__HOST": LOOPBACK, "PORTALPULSE_HTTP__PORT": str(self.port)}
        self.process = ChildProcess(
            name or f"The {command}",
            [sys.executable, "-m", "pipeline.cli", command, *arguments],
            log=log_dir / f"{(name or command).replace(' ', '-')}.log",
            environment=self.environment,
            directory=directory,
        )

    def readiness(self) -> tuple[bool, str]:
        """Whether /readyz reports that the process is ready, and the reason when it is not; without an answer (False, "")."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False, ""
        return answer.status_code == httpx.codes.OK, str(answer.json()["reason"])

    def healthy(self) -> bool:
        """Whether /healthz answers that the process works."""
        return httpx.get(f"{self.url}/healthz", timeout=60, trust_env=False).status_code == httpx.codes.OK
