"""The supervision of a running stack: which part needs which, and who hears of it: the terminal and the recipients of alerts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from deploy.native.processes import wait_until
from deploy.native.service_alerts import STOPPED, ServiceAlerts
from deploy.native.services.mock_kafka import MemoryBroker
from deploy.native.stack import LocalStack
from deploy.native.supervisor import RestartPolicy, Supervised, Supervisor
from domain.clock import SystemClock
from domain.errors import DeadLetterLimitError, UnavailableError

#: Exit statuses of a worker after which a person has to decide.
FINAL_STATUSES: Final = frozenset({DeadLetterLimitError.exit_code})
#: Beyond the wait of its group, an alert fires at least this long, and its delivery is waited for this long.
_HOLD_SECONDS: Final = 5.0
_DELIVERY_SECONDS: Final = 20.0
#: What of the last line of a log goes into a message: a reason with its remedy fits.
_LONGEST_WORDS: Final = 500


class Supervision:
    """Enter nothing, call ``tick`` about twice a second; ``say`` gets a line for people about everything that happens."""

    def __init__(self, stack: LocalStack, *, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stack = stack
        self._say = say
        self._group_wait = stack.alert_timing.pipeline_group_wait_seconds
        self._alerts = ServiceAlerts(
            stack.addresses.alertmanager,
            clock=SystemClock(),
            monotonic=monotonic,
            hold_seconds=self._group_wait + _HOLD_SECONDS,
            last_words=self._last_words,
        )
        self._parts = _supervised(stack)
        self._policy = RestartPolicy()
        self._supervisor = Supervisor(self._parts, observer=self, monotonic=monotonic, policy=self._policy)

    def tick(self) -> None:
        """Look at every part once, restart what is due, and tell.

        Raises:
            UnavailableError: a part ended that cannot or must not be started again. The recipients have been told, as far as
                Alertmanager answers.
        """
        try:
            self._supervisor.tick()
        except UnavailableError:
            self._tell_the_end()
            raise
        self._alerts.tick()

    def ended(self, name: str, cause: str, *, pause: float, restart: int) -> None:
        """Say and tell that a part is started again."""
        minutes = self._policy.within_seconds / 60
        self._say(
            f"{name} {cause}. Starting it again in {pause:.0f} s (restart {restart} of at most {self._policy.limit}"
            f" in {minutes:.0f} minutes)."
        )
        words = self._last_words(name) if "exit code" in cause else ""
        self._say(f"The end of {self._log(name)}: {words}" if words else f"Its log is {self._log(name)}.")
        self._alerts.ended(name, cause, pause=pause, restart=restart)

    def is_back(self, name: str, *, seconds: float) -> None:
        """Say and tell that a part is back."""
        self._say(f"{name} answers again, {seconds:.0f} s after it ended.")
        self._alerts.is_back(name, seconds=seconds)
        if name == self._stack.alertmanager.process.name:
            self._alerts.sends_again()

    def gives_up(self, name: str, cause: str) -> None:
        """Say and tell that the stack ends."""
        self._say(f"{name} {cause}. It is not started again, so the stack ends; telling the recipients of alerts first.")
        self._alerts.gives_up(name, cause)

    def _tell_the_end(self) -> None:
        if not self._stack.alertmanager.process.running:
            self._say("Alertmanager does not run: nobody beyond this terminal hears of it.")
            return
        before = self._delivered_ends()

        def delivered() -> bool:
            self._alerts.tick()
            return self._delivered_ends() > before

        with suppress(UnavailableError):
            wait_until(delivered, timeout=self._group_wait + _DELIVERY_SECONDS, what="the last alert to be delivered")

    def _delivered_ends(self) -> int:
        notifications = self._stack.receiver.notifications.read()
        return sum(entry.alert == STOPPED and entry.status == "firing" for entry in notifications)

    def _log(self, name: str) -> str:
        return next(str(supervised.part.process.log) for supervised in self._parts if supervised.name == name)

    def _last_words(self, name: str) -> str:
        words = next(supervised.part.process.log_tail(1) for supervised in self._parts if supervised.name == name)
        return words.strip()[:_LONGEST_WORDS]


def _supervised(stack: LocalStack) -> list[Supervised]:
    """Every part of the stack, those that others need first."""
    broker, storage = stack.broker, stack.storage
    needs = [broker] if storage is None else [broker, storage]
    return [
        Supervised(broker, restartable=not isinstance(broker, MemoryBroker)),
        *([] if storage is None else [Supervised(storage)]),
        *(Supervised(worker, needs=needs, final=FINAL_STATUSES) for worker in stack.workers),
        Supervised(stack.alertmanager, watched=True),
        Supervised(stack.prometheus, watched=True),
    ]
