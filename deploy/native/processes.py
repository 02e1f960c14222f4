"""Child processes that never outlive this one: each in its own session, with a log file, stopped by its id.

Only processes started here are stopped. Waiting means polling a real condition until a deadline.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx

from domain.errors import UnavailableError

T = TypeVar("T")

#: Seconds between two checks of a condition.
POLL_SECONDS = 0.05
#: Default seconds between SIGTERM and SIGKILL.
GRACE_SECONDS = 8.0
#: Lines of a child's log that go into an error.
TAIL_LINES = 12

#: For every child: file names and logs in UTF-8, whatever the locale of this process is. Java has no other setting for it.
UTF8_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}

_LAUNCHER = Path(__file__).with_name("launch.py")


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """The one thread that forks child processes.

    The kernel kills a child when the *thread* that forked it ends, so a short-lived thread of a caller must not fork.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class ChildProcess:
    """One program that runs as a child process.

    Its standard output and error are appended to ``log``. It leads a session and process group of its own, so Ctrl-C in a
    terminal reaches only this process, which stops the program cleanly. The kernel kills the program when this process ends in
    any way.

    Without an ``environment`` the program inherits that of this process, in UTF-8.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [os.fspath(part) for part in command]
        self._environment = environment if environment is not None else os.environ | UTF8_ENVIRONMENT
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start the program; the caller checks whether it works.

        Raises:
            UnavailableError: the program is already running, or the log file cannot be written.
        """
        if self.running:
            raise UnavailableError(f"{self.name} is already running.", remedy="Stop it first.")
        self._reap()
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            log = self.log.open("ab")
        except OSError as error:
            raise UnavailableError(
                f"The log file of {self.name} cannot be written: {error}.", remedy="Choose a writable --data folder."
            ) from error
        with log:
            self._log_start = log.tell()
            self._process = (
                _spawner()
                .submit(
                    subprocess.Popen,
                    [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._directory,
                    env=self._environment,
                    start_new_session=True,
                )
                .result()
            )

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._process is not None and self._process.returncode is None and not self._ended(self._process)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the program (negative: ended by that signal); None while it runs or before it was started."""
        if self._process is None or self.running:
            return None
        self._reap()
        return self._process.returncode

    @property
    def how_ended(self) -> str:
        """How the program ended, as a text: "ended (signal 9)"."""
        code = self.exit_code
        if code is None:
            return "runs" if self.running else "was not started"
        return f"ended (signal {-code})" if code < 0 else f"ended (exit code {code})"

    def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Send SIGTERM to the group, and SIGKILL to processes left after ``grace`` seconds.

        Harmless when the program is not running.
        """
        stop_all([self], grace=grace)

    def kill(self) -> None:
        """Send SIGKILL to the whole group, the same as kill -9."""
        self._signal(signal.SIGKILL)
        self._reap()

    def suspend(self) -> None:
        """Send SIGSTOP: the process exists and does nothing, as in a long pause of a virtual machine."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT, which ends ``suspend``."""
        self._signal(signal.SIGCONT)

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log since the latest start."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> None:
        """Check that the program has not ended.

        Raises:
            UnavailableError: it has ended; the message has the end of its log.
        """
        if self.running:
            return
        tail = self.log_tail()
        log_end = f" The end of its log:\n{tail}\n" if tail else ""
        raise UnavailableError(f"{self.name} {self.how_ended}.{log_end}", remedy=f"The whole log is {self.log}.")

    def _signal(self, number: signal.Signals) -> None:
        # Until the child is reaped, its process id cannot belong to another process.
        if self._process is not None and self._process.returncode is None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def _reap(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.wait()

    @staticmethod
    def _ended(process: subprocess.Popen[bytes]) -> bool:
        """Whether the program has ended, without reaping it: its process id stays reserved until its group has been stopped."""
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            process.poll()
            return True


def stop_all(children: Iterable[ChildProcess], *, grace: float = GRACE_SECONDS) -> None:
    """Stop several children together: all get SIGTERM at once and share one deadline."""
    stopping = list(children)
    for child in stopping:
        child._signal(signal.SIGTERM)  # noqa: SLF001 - same module
        child._signal(signal.SIGCONT)  # noqa: SLF001 - a suspended child cannot handle SIGTERM
    deadline = time.monotonic() + grace
    while any(child.running for child in stopping) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for child in stopping:
        child.kill()  # also processes that a child left in its group


def wait_until(
    condition: Callable[[], T | None],
    *,
    timeout: float,
    what: str,
    children: Sequence[ChildProcess] = (),
    poll: float = POLL_SECONDS,
) -> T:
    """Call ``condition`` until it returns a true value, and return this value.

    Args:
        condition: returns a true value when met; it handles its own expected errors.
        timeout: seconds.
        what: names the condition in the error, as in "Kafka to answer".
        children: programs that must keep running meanwhile.
        poll: seconds between two calls, and at least as long as a call takes: asking must not slow down what is waited for.

    Raises:
        UnavailableError: the time is over or a child ended; the message has the end of the child's log.
    """
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        result = condition()
        took = time.monotonic() - asked
        if result:
            return result
        for child in children:
            child.check()
        if time.monotonic() >= deadline:
            tails = "".join(f"\n{child.name}: {child.log_tail(4)}" for child in children if child.log_tail(1))
            logs = ", ".join(str(child.log) for child in children)
            raise UnavailableError(
                f"Timed out after {timeout:g} s waiting for {what}.{tails}",
                remedy=f"See {logs}." if logs else "Try again when the machine is less busy.",
            )
        time.sleep(max(poll, took))


def await_http(url: str, *, timeout: float, child: ChildProcess) -> None:
    """Wait until ``url`` of ``child`` answers with status 200.

    Raises:
        UnavailableError: the child ended or did not answer with 200 in time.
    """

    def answers() -> bool:
        try:
            return client.get(url).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    with httpx.Client(timeout=5.0, trust_env=False) as client:
        wait_until(answers, timeout=timeout, what=f"{child.name} to be ready at {url}", children=[child])
