"""Supervises a running stack: which service needs which, and the messages to the terminal and to the recipients of alerts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from deploy.native.environment import ignored_settings
from deploy.native.processes import wait_until
from deploy.native.restarts import RestartPolicy, Supervised, Supervisor
from deploy.native.service_alerts import STOPPED, ServiceAlerts
from deploy.native.services.mock_kafka import MemoryBroker
from deploy.native.stack import LocalStack
from domain.clock import SystemClock
from domain.errors import DeadLetterLimitError, ReplacedError, UnavailableError
from pipeline.settings import PREFIX

#: Exit statuses of a worker after which a person has to decide.
FINAL_STATUSES: Final = frozenset({DeadLetterLimitError.exit_code, ReplacedError.exit_code})
#: An alert fires at least this much longer than its group waits.
_HOLD_SECONDS: Final = 5.0
#: The delivery of the last alert may take this much longer than its group waits.
_DELIVERY_SECONDS: Final = 20.0
#: Characters of the last log line in a message: a reason with its remedy fits.
_MAX_LINE: Final = 500


class Supervision:
    """Supervises a running stack; call ``tick`` about twice a second.

    ``say`` is called with a line for the terminal about every event.
    """

    def __init__(self, stack: LocalStack, *, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stack = stack
        self._say = say
        self._group_wait = stack.alert_timing.pipeline_group_wait_seconds
        self._alerts = ServiceAlerts(
            stack.addresses.alertmanager,
            clock=SystemClock(),
            monotonic=monotonic,
            hold_seconds=self._group_wait + _HOLD_SECONDS,
            last_log_line=self._last_log_line,
        )
        self._services = _supervised(stack)
        self._policy = RestartPolicy()
        self._supervisor = Supervisor(self._services, observer=self, monotonic=monotonic, policy=self._policy)

    def tick(self) -> None:
        """Check every service once, restart what is due, and send alerts.

        Raises:
            UnavailableError: a service ended that cannot or must not be restarted. The alert about it was delivered, unless
                Alertmanager does not answer.
        """
        try:
            self._supervisor.tick()
        except UnavailableError as error:
            self._deliver_last_alert()
            raise UnavailableError(error.problem, remedy=f"{error.remedy}{self._where_settings_go(error.problem)}") from error
        self._alerts.tick()

    def on_ended(self, name: str, cause: str, *, pause: float, restart: int) -> None:
        """Report that a service ended and will be restarted."""
        minutes = self._policy.within_seconds / 60
        self._say(
            f"{name} {cause}. Restarting it in {pause:.0f} s (restart {restart} of at most {self._policy.limit}"
            f" in {minutes:.0f} minutes)."
        )
        line = self._last_log_line(name) if "exit code" in cause else ""
        self._say(f"The end of {self._log(name)}: {line}" if line else f"Its log is {self._log(name)}.")
        self._alerts.on_ended(name, cause, pause=pause, restart=restart)

    def on_recovered(self, name: str, *, seconds: float) -> None:
        """Report that a service answers again."""
        self._say(f"{name} answers again, {seconds:.0f} s after it ended.")
        self._alerts.on_recovered(name, seconds=seconds)
        if name == self._stack.alertmanager.process.name:
            self._alerts.resend_all()

    def on_given_up(self, name: str, cause: str) -> None:
        """Report that the stack ends."""
        self._say(f"{name} {cause}. It is not restarted, so the stack ends; sending the last alert first.")
        self._alerts.on_given_up(name, cause)

    def _where_settings_go(self, problem: str) -> str:
        """How to change the settings that a process's error names: the process was started by this command, not by the user."""
        named = dict.fromkeys(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", problem))
        followed = [name for name in named if not ignored_settings({name: ""}, inherit=self._stack.inherits_settings)]
        if not followed:
            return ""
        names = ", ".join(followed)
        return f" Processes of this stack take {names} from this command: start it again with {followed[0]}=... before it."

    def _deliver_last_alert(self) -> None:
        if not self._stack.alertmanager.process.running:
            self._say("Alertmanager does not run: no alert about this is delivered.")
            return
        before = self._delivered_ends()

        def delivered() -> bool:
            self._alerts.tick()
            people = self._stack.people
            return self._delivered_ends() > before and (people is None or people.know_of(STOPPED))

        with suppress(UnavailableError):
            wait_until(delivered, timeout=self._group_wait + _DELIVERY_SECONDS, what="the last alert to be delivered")

    def _delivered_ends(self) -> int:
        notifications = self._stack.receiver.notifications.read()
        return sum(entry.alert == STOPPED and entry.status == "firing" for entry in notifications)

    def _log(self, name: str) -> str:
        return next(str(supervised.service.process.log) for supervised in self._services if supervised.name == name)

    def _last_log_line(self, name: str) -> str:
        line = next(supervised.service.process.log_tail(1) for supervised in self._services if supervised.name == name)
        return line.strip()[:_MAX_LINE]


def _supervised(stack: LocalStack) -> list[Supervised]:
    """Every service of the stack; needed ones come first."""
    broker, storage = stack.broker, stack.storage
    needs = [broker] if storage is None else [broker, storage]
    return [
        Supervised(broker, restartable=not isinstance(broker, MemoryBroker)),
        *([] if storage is None else [Supervised(storage)]),
        *(Supervised(process, needs=needs, final=FINAL_STATUSES) for process in stack.portalpulse_processes),
        Supervised(stack.alertmanager, watched=True),
        Supervised(stack.prometheus, watched=True),
    ]
