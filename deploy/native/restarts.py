"""Restarts services of the stack that end or hang, after growing pauses and within a limit, and reports each restart.

The supervisor is a state machine that the foreground polls; it never blocks, so Ctrl-C is handled at any time. A service is
started when the services that it needs answer. A needed service that runs without answering is stopped and restarted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from deploy.native.service import Service
from domain.errors import UnavailableError

#: Exit status of a process that rejects its configuration or cannot reach what it needs.
REFUSED_STATUS = 2
#: After this many starts in a row that end with it, another start would end the same way.
MAX_REFUSALS = 2
#: A service that others need and that runs without answering for this long is restarted.
HANG_SECONDS = 15.0
#: A watched service, which no other one needs, is checked this often and restarted after this long without an answer.
CHECK_SECONDS = 5.0
UNRESPONSIVE_SECONDS = 60.0
#: At least this many checks must fail as well: a machine that was suspended made no checks.
UNRESPONSIVE_CHECKS = 6
#: The longest wait for one answer.
PROBE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most ``limit`` restarts of a service in ``within_seconds``, after pauses that double up to the longest."""

    limit: int = 5
    within_seconds: float = 600.0
    first_pause: float = 1.0
    longest_pause: float = 30.0

    def pause(self, recent: int) -> float:
        """Seconds before the next start, after ``recent`` restarts within the last ``within_seconds``."""
        return float(min(self.longest_pause, self.first_pause * 2**recent))


class Observer(Protocol):
    """Is told of ends and restarts of the services; names are those of their processes."""

    def on_ended(self, name: str, cause: str, *, pause: float, restart: int) -> None:
        """A service ended because of ``cause``; its restart number ``restart`` follows after ``pause`` seconds."""
        ...

    def on_recovered(self, name: str, *, seconds: float) -> None:
        """The service answers again, ``seconds`` after it ended."""
        ...

    def on_given_up(self, name: str, cause: str) -> None:
        """The service ended because of ``cause`` and is not restarted; the whole stack ends."""
        ...


@dataclass(slots=True)
class Supervised:
    """A service that runs when the supervision begins.

    ``needs``: services that must answer before it is started. ``restartable``: whether a new process can replace it.
    ``final``: exit statuses after which it is never restarted. ``watched``: whether it must answer although no service needs it.
    """

    service: Service
    needs: Sequence[Service] = ()
    restartable: bool = True
    final: frozenset[int] = frozenset()
    watched: bool = False

    state: Literal["up", "waiting", "starting"] = field(default="up", init=False)
    since: float = field(default=0.0, init=False)  # when the state began
    due: float = field(default=0.0, init=False)
    down_since: float = field(default=0.0, init=False)
    unresponsive_since: float | None = field(default=None, init=False)
    failed_checks: int = field(default=0, init=False)
    next_check: float = field(default=0.0, init=False)
    refusals: int = field(default=0, init=False)
    restarts: deque[float] = field(default_factory=deque, init=False)

    @property
    def name(self) -> str:
        """The name of its process."""
        return self.service.process.name


class Supervisor:
    """Supervises services, listed so that needed ones come first; call ``tick`` about twice a second."""

    def __init__(
        self,
        services: Sequence[Supervised],
        *,
        observer: Observer,
        monotonic: Callable[[], float],
        policy: RestartPolicy | None = None,
    ) -> None:
        self._services = services
        self._observer = observer
        self._monotonic = monotonic
        self._policy = policy or RestartPolicy()

    def tick(self) -> None:
        """Check every service once, and start or stop what is due.

        Raises:
            UnavailableError: a service ended that cannot or must not be restarted; the message has the end of its log.
        """
        for supervised in self._services:
            process = supervised.service.process
            if supervised.state == "waiting":
                self._start_if_due(supervised)
            elif not process.running:
                self._handle_end(supervised, process.how_ended)
            elif supervised.state == "starting":
                self._check_start(supervised)
            elif supervised.watched:
                self._check_watched(supervised)

    def _start_if_due(self, supervised: Supervised) -> None:
        now = self._monotonic()
        if now < supervised.due or not all(self._check_needed(need) for need in supervised.needs):
            return
        supervised.state, supervised.since = "starting", now
        supervised.restarts.append(now)
        try:
            supervised.service.launch()
        except UnavailableError as error:
            self._handle_end(supervised, f"cannot be started: {error.problem}")

    def _check_start(self, supervised: Supervised) -> None:
        now = self._monotonic()
        start_seconds = supervised.service.start_seconds
        if answers(supervised.service):
            supervised.state, supervised.since, supervised.refusals = "up", now, 0
            self._observer.on_recovered(supervised.name, seconds=now - supervised.down_since)
        elif now - supervised.since > start_seconds:
            supervised.service.stop()
            self._handle_end(supervised, f"did not answer within {start_seconds:.0f} s of its start")

    def _check_watched(self, supervised: Supervised) -> None:
        """Restart a watched service that has not answered for long."""
        now = self._monotonic()
        if now < supervised.next_check:
            return
        supervised.next_check = now + CHECK_SECONDS
        if answers(supervised.service):
            supervised.unresponsive_since, supervised.failed_checks = None, 0
            return
        supervised.failed_checks += 1
        if supervised.unresponsive_since is None:
            supervised.unresponsive_since = now
        elif now - supervised.unresponsive_since >= UNRESPONSIVE_SECONDS and supervised.failed_checks >= UNRESPONSIVE_CHECKS:
            supervised.unresponsive_since, supervised.failed_checks = None, 0
            supervised.service.stop()
            self._handle_end(supervised, f"ran without answering for {UNRESPONSIVE_SECONDS:.0f} s")

    def _check_needed(self, service: Service) -> bool:
        """Whether a needed service answers; restarts it when it runs and has not answered for long."""
        needed = next((supervised for supervised in self._services if supervised.service is service), None)
        if needed is None:
            return answers(service)
        if needed.state != "up" or not service.process.running:
            return False
        if answers(service):
            needed.unresponsive_since = None
            return True
        now = self._monotonic()
        if needed.unresponsive_since is None:
            needed.unresponsive_since = now
        elif now - needed.unresponsive_since > HANG_SECONDS:
            needed.unresponsive_since = None
            service.stop()
            self._handle_end(needed, f"ran without answering for {HANG_SECONDS:.0f} s")
        return False

    def _handle_end(self, supervised: Supervised, cause: str) -> None:
        now = self._monotonic()
        policy, process = self._policy, supervised.service.process
        if supervised.state == "up":
            supervised.down_since = now
        elif process.exit_code == REFUSED_STATUS:
            supervised.refusals += 1
        while supervised.restarts and now - supervised.restarts[0] > policy.within_seconds:
            supervised.restarts.popleft()
        recent = len(supervised.restarts)
        why_not = (
            "It cannot be restarted without losing the events that it held."
            if not supervised.restartable
            else "A restart would fail in the same way."
            if process.exit_code in supervised.final or supervised.refusals >= MAX_REFUSALS
            else f"It was restarted {recent} times within {policy.within_seconds / 60:.0f} minutes."
            if recent >= policy.limit
            else ""
        )
        if why_not:
            self._observer.on_given_up(supervised.name, cause)
            tail = process.log_tail()
            log_end = f" The end of its log:\n{tail}\n" if tail else " "
            raise UnavailableError(f"{supervised.name} {cause}. {why_not}{log_end}", remedy=f"The whole log is {process.log}.")
        pause = policy.pause(recent)
        supervised.state, supervised.since, supervised.due = "waiting", now, now + pause
        self._observer.on_ended(supervised.name, cause, pause=pause, restart=recent + 1)


def answers(service: Service) -> bool:
    """Whether the service is ready now."""
    try:
        service.await_ready(timeout=PROBE_SECONDS)
    except UnavailableError:
        return False
    return True
