"""Checks the heartbeat: tells people when the alerting path falls silent, and when it works again.

It runs on another machine than Alertmanager and sends messages itself. It also passes on alerts that the relay may be unable to
send.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from dashboards.notify.alerts import Alert
from dashboards.notify.content import Links, content_of
from dashboards.notify.messages import message_of
from dashboards.notify.recipients_file import Directory
from dashboards.notify.relay import Sender
from dashboards.notify.words import LANGUAGES
from domain.clock import Clock
from domain.errors import PortalPulseError, describe_error
from pipeline.logs import get_logger

log = get_logger("watchdog")

HEARTBEAT: Final = "Watchdog"
SILENT: Final = "HeartbeatSilent"
#: While it stays silent people are told again after this time.
REPEAT: Final = dt.timedelta(hours=4)


@dataclass(slots=True)
class Heartbeat:
    """When the heartbeat was received, in seconds of a clock that never jumps. Pure.

    Attributes:
        after: silence of this many seconds is an alarm.
        heard: the last beat; at first the start of the checker, which must not be an all-clear.
        alarmed: when people were told of the silence; None while heartbeats arrive.
    """

    after: float
    heard: float
    alarmed: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, now: float) -> None:
        """Note that a heartbeat arrived."""
        with self.lock:
            self.heard = now

    def due(self, now: float) -> bool | None:
        """What people must be told: True: the heartbeat is silent, False: it arrives again, None: nothing."""
        with self.lock:
            if now - self.heard >= self.after:
                return True if self.alarmed is None or now - self.alarmed >= REPEAT.total_seconds() else None
            return None if self.alarmed is None else False

    def told(self, *, silent: bool, now: float) -> None:
        """Note that people were told."""
        with self.lock:
            self.alarmed = now if silent else None


class WatchdogChecker:
    """Receives the heartbeat and tells recipients over all their channels.

    Args:
        directory: the recipients.
        sender: sends messages.
        to: the ids of the recipients to tell.
        heartbeat: the state of the heartbeat.
        clock: the time in messages.
        monotonic: seconds for ``heartbeat``.
        links: addresses in messages.
    """

    def __init__(
        self,
        directory: Directory,
        sender: Sender,
        *,
        to: Sequence[str],
        heartbeat: Heartbeat,
        clock: Clock,
        monotonic: Callable[[], float],
        links: Links,
    ) -> None:
        self._directory, self._sender, self._to = directory, sender, tuple(dict.fromkeys(to))
        self._heartbeat, self._clock, self._monotonic, self._links = heartbeat, clock, monotonic, links
        self._since = clock.now()

    def take(self, path: str, alerts: tuple[Alert, ...]) -> HTTPStatus:
        """Take a delivery of Alertmanager at any path: a heartbeat, or alerts to pass on; returns the status of the answer."""
        del path
        if any(alert.name == HEARTBEAT and alert.firing for alert in alerts):
            self._heartbeat.beat(self._monotonic())
        others = [alert for alert in alerts if alert.name != HEARTBEAT]
        if others and not self._tell(others):
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK

    def tick(self) -> None:
        """Tell people when the heartbeat has fallen silent or arrives again. Call this every few seconds."""
        now = self._monotonic()
        silent = self._heartbeat.due(now)
        if silent is None:
            return
        if silent and self._heartbeat.alarmed is None:
            self._since = self._clock.now() - dt.timedelta(seconds=now - self._heartbeat.heard)
        log.warning("heartbeat_silent" if silent else "heartbeat_heard_again")
        if self._tell([self._alert(silent=silent)]):
            self._heartbeat.told(silent=silent, now=now)

    def _alert(self, *, silent: bool) -> Alert:
        minutes = max(1, round(self._heartbeat.after / 60))
        return Alert(
            fingerprint=SILENT,
            firing=silent,
            labels={"alertname": SILENT, "severity": "critical", "scope": "meta"},
            annotations={
                "summary": "Hệ thống cảnh báo đã im lặng." if silent else "Hệ thống cảnh báo đã hoạt động trở lại.",
                "summary_en": "The alerting path is silent." if silent else "The alerting path is heard again.",
                "description": f"Không nhận được tín hiệu kiểm tra định kỳ từ {minutes} phút trở lên: Prometheus hoặc "
                "Alertmanager đã dừng, và không cảnh báo nào khác có thể đến."
                if silent
                else "Tín hiệu kiểm tra định kỳ đã có trở lại.",
                "description_en": f"No heartbeat for {minutes} minutes or more: Prometheus or Alertmanager is down, and no other "
                "alert can arrive."
                if silent
                else "The heartbeat has returned.",
            },
            started=self._since,
            ended=None if silent else self._clock.now(),
        )

    def _tell(self, alerts: Sequence[Alert]) -> bool:
        """Send to all recipients; returns whether any channel took it: a failing channel must not make the others repeat."""
        taken = False
        for key in self._to:
            person = self._directory.person(key)
            words = LANGUAGES[person.language]
            message = message_of(content_of(alerts, words, links=self._links), words)
            for channel in person.channels.names:
                try:
                    self._sender.send(key, channel, message, alerts)
                    taken = True
                except PortalPulseError as error:
                    log.warning("message_not_sent", recipient=key, channel=channel, error=str(error))
        return taken


def watch(checker: WatchdogChecker, stopped: threading.Event, *, every: float) -> None:
    """Call ``tick`` every ``every`` seconds until ``stopped``; an unexpected error is logged and does not end the checker."""
    while not stopped.wait(every):
        try:
            checker.tick()
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("round_failed", error=describe_error(error))
