"""The webhook of the local Alertmanager: stores every notification in a file and passes it on.

The webhook replaces the mail, chat and phones of a real deployment. A delivery is acknowledged only after it was written.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from dashboards.notify.webhooks import WebhookServer
from deploy.native.ports import LOOPBACK
from domain.clock import Clock, SystemClock
from domain.errors import UnavailableError

FILE_NAME = "notifications.ndjson"


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert as Alertmanager delivered it."""

    received_at: str
    receiver: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def alert(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "")

    @property
    def agency(self) -> str:
        """The agency's code, or an empty text."""
        return self.labels.get("agency", "")


class Notifications:
    """Reads the delivered notifications."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Notification, ...]:
        """Every notification so far, in the order of delivery; an incomplete last line is omitted."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        whole = text[: text.rfind("\n") + 1]
        return tuple(Notification(**json.loads(line)) for line in whole.splitlines())

    def agencies(self, alert: str, *, window: str | None = None, rungs: Collection[str] | None = None) -> frozenset[str]:
        """The agencies for which ``alert`` was delivered as firing, for this window and one of these rungs (None: any)."""
        return frozenset(
            entry.agency
            for entry in self.read()
            if entry.alert == alert
            and entry.status == "firing"
            and window in {None, entry.labels.get("window")}
            and (rungs is None or entry.labels.get("rung") in rungs)
        )


class NotificationReceiver:
    """A webhook on a free loopback port, served by threads of this process until ``stop``."""

    def __init__(
        self,
        path: Path,
        *,
        on_delivery: Callable[[Notification], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Begin to listen; answer after ``start``.

        Args:
            path: the file that notifications are appended to, one JSON object a line.
            on_delivery: called for each notification, from the receiver's thread.
            clock: gives ``received_at``.

        Raises:
            UnavailableError: the file cannot be opened, or no port is free.
        """
        self.path = path
        self._on_delivery = on_delivery
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UnavailableError(
                f"The receiver of notifications cannot start: {error}.", remedy=f"Check that {path} can be written."
            ) from error
        self._server = WebhookServer(LOOPBACK, 0, self._take)

    @property
    def url(self) -> str:
        """The address to which Alertmanager delivers."""
        return f"{self._server.url}/notifications"

    @property
    def notifications(self) -> Notifications:
        """The delivered notifications."""
        return Notifications(self.path)

    def start(self) -> None:
        """Start to answer deliveries."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening and close the file."""
        self._server.stop()
        with self._lock:
            self._file.close()

    def _take(self, _path: str, message: dict[str, Any]) -> HTTPStatus:
        try:
            self._deliver(message)
        except OSError:  # the disk is full: Alertmanager retries
            return HTTPStatus.INSUFFICIENT_STORAGE
        return HTTPStatus.OK

    def _deliver(self, message: dict[str, Any]) -> None:
        now = self._clock.now().astimezone(dt.UTC).isoformat(timespec="milliseconds")
        entries = [
            Notification(
                received_at=now,
                receiver=str(message.get("receiver", "")),
                status=str(alert["status"]),
                labels={str(key): str(value) for key, value in alert["labels"].items()},
                annotations={str(key): str(value) for key, value in alert.get("annotations", {}).items()},
            )
            for alert in message["alerts"]
        ]
        with self._lock:
            for entry in entries:
                self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            self._file.flush()
        if self._on_delivery is not None:
            for entry in entries:
                self._on_delivery(entry)
