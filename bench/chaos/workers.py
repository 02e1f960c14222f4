"""Workers of a chaos environment: killed, suspended, stopped, restarted; every unexpected end is recorded."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.environment import child_environment
from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess

#: A clean stop takes at most this long, else it counts as hung.
STOP_SECONDS: Final = 20.0


class Worker(PortalPulseProcess):
    """One ``portalpulse worker``; the same object over its restarts.

    ``faults`` holds a sentence for every unexpected end.
    """

    def __init__(self, name: str, environment: Mapping[str, str], *, folder: Path, log_dir: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__("worker", environment=child_environment(**environment), log_dir=log_dir, name=name, directory=folder)
        self.name = name
        self.faults: list[str] = []
        self._expected_to_run = False

    @property
    def running(self) -> bool:
        """Whether the process exists, suspended or not."""
        return self.process.running

    def launch(self) -> None:
        """Start the process; returns before it is ready."""
        super().launch()
        self._expected_to_run = True

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to clean up."""
        self.check()
        self._expected_to_run = False
        super().kill()
        self._expect_exit_code(-signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; it must end with status 0 within ``STOP_SECONDS``."""
        self.check()
        if not self.running:
            return
        self._expected_to_run = False
        self.process.stop(grace=STOP_SECONDS)
        self._expect_exit_code(0)

    def suspend(self) -> None:
        """SIGSTOP: it exists and does nothing."""
        self.process.suspend()

    def resume(self) -> None:
        """SIGCONT after ``suspend``: it continues where it was, unaware of the pause."""
        self.process.resume()

    def await_end(self, codes: frozenset[int], *, timeout: float) -> str:
        """Wait until it ends by itself, with one of these exit codes; returns its last message.

        Raises:
            UnavailableError: it still runs after ``timeout`` seconds.
        """
        wait_until(lambda: not self.running, timeout=timeout, what=f"{self.name} to end by itself")
        self._expected_to_run = False
        if self.process.exit_code not in codes:
            self.faults.append(f"{self.name} ended with {self.process.exit_code}, not {sorted(codes)}.")
        messages = [line for line in self.process.log_tail(40).splitlines() if line.startswith("portalpulse:")]
        return messages[-1] if messages else ""

    def check(self) -> None:
        """Record it as a fault when the process ended although it should be running."""
        if self._expected_to_run and not self.running:
            self._expected_to_run = False
            self.faults.append(f"{self.name} ended by itself with {self.process.exit_code}:\n{self.process.log_tail()}")

    def _expect_exit_code(self, code: int) -> None:
        if self.process.exit_code not in (code, None) or self.running:
            self.faults.append(f"{self.name} ended with {self.process.exit_code}, not {code}:\n{self.process.log_tail()}")
