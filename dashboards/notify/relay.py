"""The relay between Alertmanager and people: writes each message in the recipient's language, and sends it or holds it back.

Messages that are not critical wait for office hours. The end of an alert is told only when Prometheus confirms it. ``settle``
tells the end of alerts that ended while Alertmanager muted them, so that Alertmanager never delivered their end.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx

from dashboards.notify.alerts import Alert
from dashboards.notify.content import Links, content_of
from dashboards.notify.memory import Memory, Route
from dashboards.notify.messages import Message, message_of
from dashboards.notify.office import is_open
from dashboards.notify.procedures import Procedures
from dashboards.notify.recipients import Recipient
from dashboards.notify.recipients_file import Directory
from dashboards.notify.words import LANGUAGES
from domain.clock import Clock
from domain.errors import PortalPulseError, UnavailableError
from domain.indicators import Ratio
from pipeline.logs import get_logger

log = get_logger("relay")

#: An alert that Alertmanager has not had for this long has ended, although it did not say so. Above its longest group interval
#: (that of operations), because what it says itself comes that late.
FORGOTTEN_AFTER: Final = dt.timedelta(minutes=20)
#: The same states within this time are a delivery that Alertmanager repeats because it gave up waiting for the first one. Below
#: its shortest time until it repeats on purpose (that of faults of the pipeline).
REPEATED_WITHIN: Final = dt.timedelta(minutes=30)
_TIMEOUT_SECONDS: Final = 10.0


class Sender(Protocol):
    """Sends a message over one channel; ``channels.Channels``."""

    def send(self, key: str, channel: str, message: Message, alerts: Sequence[Alert]) -> None:
        """Send a message. Raises ConfigurationError or UnavailableError when it was not taken."""


class Truth(Protocol):
    """Knows whether alerts fire now, and present rates; ``present.Prometheus`` implements it."""

    def fires(self, alert: Alert, /) -> bool:
        """Whether the alert fires now. Raises UnavailableError when this is not known."""

    def rate(self, alert: Alert, /) -> Ratio | None:
        """The present rate of the alert's series. Raises UnavailableError when it is not known."""


def _log_sent(route: Route, message: Message) -> None:
    log.info("message_sent", recipient=route.key, channel=route.channel, subject=message.subject)


@dataclass(slots=True)
class Relay:
    """The rules of sending, on top of a memory and a sender.

    ``on_sent``: called after each sent message. ``procedures``: explains rates; None: messages name no procedures.
    ``alertmanager``: its address, to ask which alerts ended without a delivery; None: it is not asked.
    """

    directory: Directory
    sender: Sender
    memory: Memory
    clock: Clock
    links: Links = field(default_factory=Links)
    truth: Truth | None = None
    alertmanager: str | None = None
    procedures: Procedures | None = None
    forgotten_after: dt.timedelta = FORGOTTEN_AFTER
    repeated_within: dt.timedelta = REPEATED_WITHIN
    on_sent: Callable[[Route, Message], None] = _log_sent
    sent: set[str] = field(default_factory=set)  # names of alerts about which a message was sent
    _missing_since: dict[tuple[Route, str], dt.datetime] = field(default_factory=dict)
    #: Ends that Alertmanager told and Prometheus denied or did not answer for, by fingerprint.
    _denied: defaultdict[Route, dict[str, Alert]] = field(default_factory=lambda: defaultdict(dict))
    _turns: defaultdict[Route, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def deliver(self, route: Route, alerts: Sequence[Alert]) -> bool:
        """Take a delivery of Alertmanager; returns whether a message was sent (False: it is held back, or need not be sent).

        Raises:
            PortalPulseError: the message could not be sent; Alertmanager must deliver the alerts again.
        """
        person = self.directory.person(route.key)
        with self._turns[route]:  # Alertmanager and ``settle`` may tell the same end at the same time
            return self._deliver(route, person, alerts)

    def _deliver(self, route: Route, person: Recipient, alerts: Sequence[Alert]) -> bool:
        now = self.clock.now()
        true = [alert for alert in alerts if alert.firing or self._has_ended(route, alert)]
        if not true or self._continues(route, true):
            return False
        if self.memory.was_delivered(route, alerts, now - self.repeated_within):
            return False
        urgent = person.hours == "any" or any(alert.severity == "critical" for alert in true)
        if not urgent and not is_open(self.directory.recipients.office_hours, now):
            self.memory.hold(route, true)
            return False
        self._send(route, true)
        self.memory.discard_held(route, true)
        self.memory.note_delivery(route, alerts, now, kept=self.repeated_within)
        return True

    def release_held(self) -> None:
        """Send the held-back alerts of recipients whose office hours have begun, in one message each.

        Failures are logged and tried again.
        """
        now = self.clock.now()
        for route, alerts in self.memory.held().items():
            if route.key not in self.directory.recipients.recipients:
                self.memory.release(route, alerts)
            elif is_open(self.directory.recipients.office_hours, now):
                words = LANGUAGES[self.directory.person(route.key).language]
                try:
                    with self._turns[route]:
                        self._send(route, alerts, notes=[words.held])
                except PortalPulseError as error:
                    log.warning("message_not_sent", recipient=route.key, channel=route.channel, error=str(error))
                else:
                    self.memory.release(route, alerts)

    def settle(self) -> None:
        """Tell of alerts that ended while Alertmanager muted them, because it forgets such alerts without a delivery."""
        if self.alertmanager is None:
            return
        open_alerts = self.memory.open()
        if not open_alerts:
            return
        try:
            known = self._known_to_alertmanager(self.alertmanager)
        except UnavailableError as error:
            log.warning("alertmanager_does_not_answer", error=str(error))
            self._missing_since.clear()
            return
        now = self.clock.now()
        for route, alerts in open_alerts.items():
            ended = [_ended(alert, now) for alert in alerts if self._is_forgotten((route, alert.fingerprint), known, now)]
            if ended and route.key in self.directory.recipients.recipients:
                try:
                    if self.deliver(route, ended):
                        log.info("end_told_late", recipient=route.key, alerts=len(ended))
                except PortalPulseError as error:
                    log.warning("message_not_sent", recipient=route.key, channel=route.channel, error=str(error))

    def ask_again(self) -> None:
        """Tell of ends that Prometheus could not confirm before and confirms now, although the alert never fired again."""
        for route, alerts in [(route, tuple(denied.values())) for route, denied in self._denied.items() if denied]:
            try:
                self.deliver(route, alerts)
            except PortalPulseError as error:
                log.warning("message_not_sent", recipient=route.key, channel=route.channel, error=str(error))

    def compose(self, route: Route, alerts: Sequence[Alert], *, notes: Sequence[str] = ()) -> Message:
        """The message about some alerts for a recipient."""
        words = LANGUAGES[self.directory.person(route.key).language]
        if self.procedures is not None:
            alerts = self.procedures.explained(alerts, self.clock.now())
        return message_of(content_of(alerts, words, links=self.links, present=self._present, notes=notes), words)

    def _send(self, route: Route, alerts: Sequence[Alert], *, notes: Sequence[str] = ()) -> None:
        message = self.compose(route, alerts, notes=notes)
        self.sender.send(route.key, route.channel, message, alerts)
        self.sent |= {alert.name for alert in alerts}
        self.memory.told(route, [alert for alert in alerts if alert.label("scope") == "agency"])
        self.on_sent(route, message)

    def _has_ended(self, route: Route, alert: Alert) -> bool:
        """Whether an end is true and new to the recipient: not if the alert was always muted, or ``settle`` has told its end."""
        if alert.label("scope") == "agency" and not self.memory.knows(route, alert):
            return False
        if self.truth is None or alert.label("part"):  # alerts about parts of a local stack do not come from Prometheus
            return True
        try:
            fires = self.truth.fires(alert)
        except UnavailableError as error:
            # Not an error for Alertmanager: it would count a message as failed, and there is none yet.
            log.info("end_not_proved", recipient=route.key, channel=route.channel, reason=str(error))
            fires = True
        if fires:
            self._denied[route][alert.fingerprint] = alert
            return False
        self._denied[route].pop(alert.fingerprint, None)
        return True

    def _continues(self, route: Route, alerts: Sequence[Alert]) -> bool:
        """Whether these are known alerts that fire again for Alertmanager only because it had taken them for ended."""
        denied = self._denied[route]
        again = denied.keys() & {alert.fingerprint for alert in alerts if alert.firing}
        known = bool(denied) and all(
            alert.firing and (alert.fingerprint in again or self.memory.knows(route, alert)) for alert in alerts
        )
        for fingerprint in again:
            del denied[fingerprint]
        return known

    def _present(self, alert: Alert) -> Ratio | None:
        if self.truth is None:
            return None
        try:
            return self.truth.rate(alert)
        except UnavailableError:
            return None  # the last figures are printed, and called so

    def _is_forgotten(self, place: tuple[Route, str], known: frozenset[str], now: dt.datetime) -> bool:
        if place[1] in known:
            self._missing_since.pop(place, None)
            return False
        return now - self._missing_since.setdefault(place, now) >= self.forgotten_after

    @staticmethod
    def _known_to_alertmanager(url: str) -> frozenset[str]:
        try:
            answer = httpx.get(f"{url.rstrip('/')}/api/v2/alerts", timeout=_TIMEOUT_SECONDS, trust_env=False).raise_for_status()
            return frozenset(str(alert["fingerprint"]) for alert in answer.json())
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Alertmanager does not list its alerts ({type(error).__name__}).") from error


def _ended(alert: Alert, now: dt.datetime) -> Alert:
    fields: Mapping[str, object] = alert.as_json() | {"status": "resolved", "endsAt": now.isoformat()}
    return Alert.from_json(fields)
