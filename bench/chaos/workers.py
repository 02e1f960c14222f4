"""Worker processes of a world: killed, frozen, stopped, started again, and held to end only as somebody meant them to."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.environment import child_environment
from bench.measure import readyz
from deploy.native.ports import LOOPBACK, free_port
from deploy.native.processes import ChildProcess, wait_until

READY_SECONDS: Final = 90.0
#: An orderly end takes at most this long, else it counts as hung.
STOP_SECONDS: Final = 20.0


class Worker:
    """One ``portalpulse worker`` on a port of its own; the same object over its restarts.

    ``faults`` holds a sentence for every end that nobody asked for.
    """

    def __init__(self, name: str, environment: Mapping[str, str], *, folder: Path, log_dir: Path) -> None:
        self.name = name
        self.url = f"http://{LOOPBACK}:{(port := free_port())}"
        self.faults: list[str] = []
        self._wanted = False  # whether it should be running
        folder.mkdir(parents=True, exist_ok=True)
        self.process = ChildProcess(
            name,
            [sys.executable, "-m", "pipeline.cli", "worker"],
            log=log_dir / f"{name}.log",
            environment=child_environment(**environment, PORTALPULSE_HTTP__PORT=str(port)),
            directory=folder,
        )

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self.process.running

    def start(self) -> None:
        """Start the process; returns before it is ready."""
        self.process.start()
        self._wanted = True

    def await_ready(self, *, timeout: float = READY_SECONDS) -> None:
        """Wait until it takes part in the group and its storage answers.

        Raises:
            UnavailableError: it ended or was not ready in time; with the end of its log.
        """
        wait_until(lambda: self.ready()[0], timeout=timeout, what=f"{self.name} to be ready", children=[self.process])

    def ready(self) -> tuple[bool, str]:
        """Whether /readyz says yes, and its reason when not."""
        return readyz(self.url)

    def kill(self) -> None:
        """SIGKILL: nothing of the process's own runs any more."""
        self.check()
        self._wanted = False
        self.process.kill()
        self._ended_with(-signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; it must end with status 0 within ``STOP_SECONDS``."""
        self.check()
        self._wanted = False
        self.process.stop(grace=STOP_SECONDS)
        self._ended_with(0)

    def restart(self) -> None:
        """Stop it in good order when it runs, start it, and wait until it is ready."""
        if self.running:
            self.stop()
        self.start()
        self.await_ready()

    def freeze(self) -> None:
        """SIGSTOP: it stays, and does nothing."""
        self.process.suspend()

    def thaw(self) -> None:
        """SIGCONT after ``freeze``: it goes on where it was, knowing nothing of the time between."""
        self.process.resume()

    def await_end(self, codes: frozenset[int], *, timeout: float) -> str:
        """Wait until it ends by itself, with one of these exit codes; returns the sentence that it said last.

        Raises:
            UnavailableError: it still runs after ``timeout`` seconds.
        """
        wait_until(lambda: not self.running, timeout=timeout, what=f"{self.name} to end by itself")
        self._wanted = False
        if self.process.exit_code not in codes:
            self.faults.append(f"{self.name} ended with {self.process.exit_code}, not {sorted(codes)}.")
        said = [line for line in self.process.log_tail(40).splitlines() if line.startswith("portalpulse:")]
        return said[-1] if said else ""

    def check(self) -> None:
        """Note it as a fault when the process ended although it should be running."""
        if self._wanted and not self.running:
            self._wanted = False
            self.faults.append(f"{self.name} ended by itself with {self.process.exit_code}:\n{self.process.log_tail()}")

    def _ended_with(self, code: int) -> None:
        if self.process.exit_code not in (code, None) or self.running:
            self.faults.append(f"{self.name} ended with {self.process.exit_code}, not {code}:\n{self.process.log_tail()}")
