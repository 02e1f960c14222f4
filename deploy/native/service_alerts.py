"""Tells the recipients of alerts, through Alertmanager's API, when a part of the local stack ended and what was done.

Prometheus cannot: it may be the part that ended, and after the stack has ended nothing scrapes it. Alertmanager forgets an alert
that nobody sends again, and after kill -9 all of them, so each is sent until it is over.
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

#: An alert that is not sent again counts as over after 5 minutes (resolve_timeout).
_RESEND_SECONDS: Final = 60.0
#: Seconds between two attempts while Alertmanager does not answer.
_RETRY_SECONDS: Final = 2.0
_TIMEOUT_SECONDS: Final = 2.0

#: The alert when the stack ends because of a part.
STOPPED = "StackStopped"
#: The runbook's heading for all alerts about parts.
PART_PAGE = "StackPartDown"

#: Names of parts in the recipients' language; others stay as they are.
_NAMES: Final = {
    "The worker": "Tiến trình xử lý sự kiện (worker)",
    "The exporter": "Tiến trình xuất số liệu (exporter)",
    "The in-memory broker": "Kafka trong bộ nhớ",
}


#: The supervision's causes in the recipients' language; \1 is the number.
_CAUSES: Final = (
    (r"ended \(signal (\d+)\)", r"bị tín hiệu \1 kết thúc"),
    (r"ended \(exit code (\d+)\)", r"tự kết thúc với mã \1"),
    (r"ran without answering for (\d+) s", r"chạy mà không trả lời trong \1 giây"),
    (r"did not answer within (\d+) s of its start", r"không trả lời trong \1 giây sau khi khởi động"),
    (r"cannot be started: ", r"không khởi động được: "),
)
#: Only a program that ended by itself has said why.
_SAID_WHY: Final = "exit code"


@dataclass(slots=True)
class _Alert:
    """One alert; ``back`` holds the annotations of its end once the part is back."""

    labels: dict[str, str]
    annotations: dict[str, str]
    started: dt.datetime
    begun: float
    back: dict[str, str] | None = None
    ended: dt.datetime | None = None
    next_sending: float = 0.0


class ServiceAlerts:
    """Alerts about parts, kept alive in the Alertmanager at ``url``; call ``tick`` often.

    Args:
        url: Alertmanager's address.
        clock: the time that recipients read.
        monotonic: seconds for resending.
        hold_seconds: the least time that an alert fires: longer than its group waits, else one that is over soon is never told.
        last_words: the end of a part's log by the part's name.
        runbook_base_url: the address of a page of the runbook without its name.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        hold_seconds: float,
        last_words: Callable[[str], str],
        runbook_base_url: str = RuleTiming.production().runbook_base_url,
    ) -> None:
        self._url = f"{url}/api/v2/alerts"
        self._clock = clock
        self._monotonic = monotonic
        self._hold = hold_seconds
        self._last_words = last_words
        self._runbook = runbook_base_url
        self._alerts: dict[str, _Alert] = {}

    def ended(self, name: str, cause: str, *, pause: float, restart: int) -> None:
        """A part ended and is started again."""
        self._fire(
            alert_name(name),
            page=PART_PAGE,
            part=name,
            summary=f"{_shown(name)} đã dừng và đang được khởi động lại.",
            summary_en=f"{name} {cause} and is started again.",
            description=f"{_shown(name)} đã dừng lúc {self._time()} ({in_vietnamese(cause)}); khởi động lại lần {restart}"
            f" sau {pause:.0f} giây.{self._log_of(name, cause)}",
        )

    def is_back(self, name: str, *, seconds: float) -> None:
        """A part answers again."""
        alert = self._alerts.get(alert_name(name))
        if alert is not None:
            alert.back = alert.annotations | {
                "summary": f"{_shown(name)} đã hoạt động trở lại.",
                "summary_en": f"{name} answers again.",
                "description": f"{_shown(name)} đã hoạt động trở lại lúc {self._time()}, sau {seconds:.0f} giây gián đoạn.",
            }

    def gives_up(self, name: str, cause: str) -> None:
        """A part is not started again, and the stack ends."""
        self._fire(
            STOPPED,
            page=STOPPED,
            part=name,
            summary="Hệ thống portalpulse đã dừng.",
            summary_en=f"portalpulse has stopped: {name} {cause}.",
            description=f"Hệ thống dừng lúc {self._time()}: {_shown(name)} không khởi động lại được"
            f" ({in_vietnamese(cause)}). Không còn số liệu mới và cảnh báo nào cho đến khi hệ thống được khởi động lại."
            f"{self._log_of(name, cause)}",
        )

    def tick(self) -> None:
        """Send what is due; what Alertmanager does not take is sent again soon."""
        now = self._monotonic()
        for alert in self._alerts.values():
            if alert.back is not None and alert.ended is None and now - alert.begun >= self._hold:
                alert.annotations, alert.ended, alert.next_sending = alert.back, self._clock.now(), now
        due = {name: alert for name, alert in self._alerts.items() if now >= alert.next_sending}
        if not due:
            return
        taken = self._post([_as_json(alert) for alert in due.values()])
        for name, alert in due.items():
            alert.next_sending = now + (_RESEND_SECONDS if taken else _RETRY_SECONDS)
            if taken and alert.ended is not None:
                del self._alerts[name]

    def sends_again(self) -> None:
        """Alertmanager has started anew and knows nothing: send everything at the next ``tick``."""
        for alert in self._alerts.values():
            alert.next_sending = 0.0

    @property
    def open(self) -> frozenset[str]:
        """Names of the alerts that Alertmanager has not been told the end of."""
        return frozenset(self._alerts)

    def _fire(self, name: str, *, page: str, part: str, **annotations: str) -> None:
        before = self._alerts.get(name)
        going_on = before is not None and before.ended is None
        self._alerts[name] = _Alert(
            labels={"alertname": name, "part": part, "severity": "critical", "scope": "pipeline"},
            annotations=annotations | {"runbook_url": f"{self._runbook}{page}"},
            started=before.started if before is not None and going_on else self._clock.now(),
            begun=self._monotonic(),
        )

    def _post(self, alerts: list[dict[str, Any]]) -> bool:
        try:
            return httpx.post(self._url, json=alerts, timeout=_TIMEOUT_SECONDS, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _time(self) -> str:
        return f"{self._clock.now().astimezone(VIETNAM):%H:%M:%S %d/%m/%Y}"

    def _log_of(self, name: str, cause: str) -> str:
        words = self._last_words(name) if _SAID_WHY in cause else ""
        return f" Nhật ký: {words}" if words else ""


def alert_name(part: str) -> str:
    """The alert about a part, one name a part: Alertmanager tells a new name at once and news of a known one later."""
    words = part.removeprefix("The ").replace("-", " ").split()
    return "".join(f"{word[0].upper()}{word[1:]}" for word in words) + "Down"


def in_vietnamese(cause: str) -> str:
    """A cause as the supervision words it, for the recipients."""
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
