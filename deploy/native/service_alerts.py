"""Sends alerts to Alertmanager's API when a service of the local stack ended: what happened and what was done.

Prometheus cannot send these alerts: it may be the service that ended, and after the stack has ended nothing is scraped.
Alertmanager drops an alert that is not sent again, and all of them after kill -9, so each alert is resent until it is resolved.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from dashboards.rules.timing import RuleTiming
from domain.clock import Clock
from domain.periods import VIETNAM

#: An alert that is not resent counts as resolved after 5 minutes (resolve_timeout).
_RESEND_SECONDS: Final = 60.0
#: Seconds between two attempts while Alertmanager does not answer.
_RETRY_SECONDS: Final = 2.0
_TIMEOUT_SECONDS: Final = 2.0

#: The alert when the stack ends because of a service.
STOPPED = "StackStopped"
#: The runbook's heading for all alerts about services.
SERVICE_PAGE = "StackPartDown"

#: Names of services in the recipients' language; the others stay as they are.
_NAMES: Final = {
    "The worker": "Tiến trình xử lý sự kiện (worker)",
    "The exporter": "Tiến trình xuất số liệu (exporter)",
    "The in-memory broker": "Kafka trong bộ nhớ",
}


#: The supervisor's causes in the recipients' language; \1 is the number.
_CAUSES: Final = (
    (r"ended \(signal (\d+)\)", r"bị tín hiệu \1 kết thúc"),
    (r"ended \(exit code (\d+)\)", r"tự kết thúc với mã \1"),
    (r"ran without answering for (\d+) s", r"chạy mà không trả lời trong \1 giây"),
    (r"did not answer within (\d+) s of its start", r"không trả lời trong \1 giây sau khi khởi động"),
    (r"cannot be started: ", r"không khởi động được: "),
)
#: Only the log of a program that ended by itself gives the reason.
_ENDED_BY_ITSELF: Final = "exit code"


@dataclass(slots=True)
class _Alert:
    """An alert about a service; ``resolved``: the annotations of its end, once the service answers again."""

    labels: dict[str, str]
    annotations: dict[str, str]
    started: dt.datetime
    fired_at: float
    resolved: dict[str, str] | None = None
    ended: dt.datetime | None = None
    next_send: float = 0.0


class ServiceAlerts:
    """Alerts about services, resent to the Alertmanager at ``url`` so that they stay; call ``tick`` often.

    Args:
        url: Alertmanager's address.
        clock: the time in the texts.
        monotonic: seconds for resending.
        hold_seconds: how long an alert fires at least. Below the wait of its group, a short outage would never be delivered.
        last_log_line: returns the last line of a service's log, given the service's name.
        runbook_base_url: the address of a page of the runbook without its name.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        hold_seconds: float,
        last_log_line: Callable[[str], str],
        runbook_base_url: str = RuleTiming.production().runbook_base_url,
    ) -> None:
        self._url = f"{url}/api/v2/alerts"
        self._clock = clock
        self._monotonic = monotonic
        self._hold = hold_seconds
        self._last_log_line = last_log_line
        self._runbook = runbook_base_url
        self._alerts: dict[str, _Alert] = {}

    def on_ended(self, name: str, cause: str, *, pause: float, restart: int) -> None:
        """A service ended and will be restarted."""
        self._fire(
            alert_name(name),
            page=SERVICE_PAGE,
            service=name,
            summary=f"{_shown(name)} đã dừng và đang được khởi động lại.",
            summary_en=f"{name} {cause} and is being restarted.",
            description=f"{_shown(name)} đã dừng lúc {self._time()} ({in_vietnamese(cause)}); khởi động lại lần {restart}"
            f" sau {pause:.0f} giây.{self._log_of(name, cause)}",
        )

    def on_recovered(self, name: str, *, seconds: float) -> None:
        """A service answers again."""
        alert = self._alerts.get(alert_name(name))
        if alert is not None:
            alert.resolved = alert.annotations | {
                "summary": f"{_shown(name)} đã hoạt động trở lại.",
                "summary_en": f"{name} answers again.",
                "description": f"{_shown(name)} đã hoạt động trở lại lúc {self._time()}, sau {seconds:.0f} giây gián đoạn.",
            }

    def on_given_up(self, name: str, cause: str) -> None:
        """A service ended because of ``cause`` and is not restarted; the whole stack ends."""
        self._fire(
            STOPPED,
            page=STOPPED,
            service=name,
            summary="Hệ thống portalpulse đã dừng.",
            summary_en=f"portalpulse has stopped: {name} {cause}.",
            description=f"Hệ thống dừng lúc {self._time()}: {_shown(name)} không khởi động lại được"
            f" ({in_vietnamese(cause)}). Không còn số liệu mới và cảnh báo nào cho đến khi hệ thống được khởi động lại."
            f"{self._log_of(name, cause)}",
        )

    def tick(self) -> None:
        """Send the alerts that are due; an alert that Alertmanager does not accept is sent again soon."""
        now = self._monotonic()
        for alert in self._alerts.values():
            if alert.resolved is not None and alert.ended is None and now - alert.fired_at >= self._hold:
                alert.annotations, alert.ended, alert.next_send = alert.resolved, self._clock.now(), now
        due = {name: alert for name, alert in self._alerts.items() if now >= alert.next_send}
        if not due:
            return
        accepted = self._post([_as_json(alert) for alert in due.values()])
        for name, alert in due.items():
            alert.next_send = now + (_RESEND_SECONDS if accepted else _RETRY_SECONDS)
            if accepted and alert.ended is not None:
                del self._alerts[name]

    def resend_all(self) -> None:
        """Send all alerts at the next ``tick``, because Alertmanager was restarted without them."""
        for alert in self._alerts.values():
            alert.next_send = 0.0

    @property
    def open(self) -> frozenset[str]:
        """Names of the alerts whose end has not been sent to Alertmanager."""
        return frozenset(self._alerts)

    def _fire(self, name: str, *, page: str, service: str, **annotations: str) -> None:
        previous = self._alerts.get(name)
        continues = previous is not None and previous.ended is None
        self._alerts[name] = _Alert(
            labels={"alertname": name, "part": service, "severity": "critical", "scope": "pipeline"},
            annotations=annotations | {"runbook_url": f"{self._runbook}{page}"},
            started=previous.started if previous is not None and continues else self._clock.now(),
            fired_at=self._monotonic(),
        )

    def _post(self, alerts: list[dict[str, Any]]) -> bool:
        try:
            return httpx.post(self._url, json=alerts, timeout=_TIMEOUT_SECONDS, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _time(self) -> str:
        return f"{self._clock.now().astimezone(VIETNAM):%H:%M:%S %d/%m/%Y}"

    def _log_of(self, name: str, cause: str) -> str:
        line = self._last_log_line(name) if _ENDED_BY_ITSELF in cause else ""
        return f" Nhật ký: {line}" if line else ""


def alert_name(service: str) -> str:
    """The name of the alert about a service. Each service has its own: Alertmanager delivers a new name sooner than an update."""
    words = service.removeprefix("The ").replace("-", " ").split()
    return "".join(f"{word[0].upper()}{word[1:]}" for word in words) + "Down"


def in_vietnamese(cause: str) -> str:
    """The Vietnamese translation of a cause that the supervisor gives in English."""
    for pattern, translation in _CAUSES:
        cause = re.sub(pattern, translation, cause)
    return cause


def _shown(name: str) -> str:
    return _NAMES.get(name, name)


def _as_json(alert: _Alert) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": alert.started.isoformat(),
    }
    return fields if alert.ended is None else fields | {"endsAt": alert.ended.isoformat()}
