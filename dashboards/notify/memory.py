"""What the relay remembers of each channel, on disk: what it holds back until office hours, and which alerts people know of."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from dashboards.notify.alerts import Alert
from domain.errors import UnavailableError
from pipeline.texts import read_json

_HELD: Final = "held"
_OPEN: Final = "open"


class Route(NamedTuple):
    """One channel of one recipient."""

    key: str
    channel: str


class Memory:
    """One JSON file; every change is written before the call returns. Safe for threads."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            UnavailableError: the file cannot be read.
        """
        self._path = path
        self._lock = threading.RLock()
        self._kept: dict[str, dict[Route, dict[str, Alert]]] = {_HELD: {}, _OPEN: {}}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8") if path.exists() else "{}"
            for kind, routes in read_json(text).items():
                for name, alerts in routes.items():
                    route = Route(*name.split("/", 1))
                    self._kept[kind][route] = {each["fingerprint"]: Alert.from_json(each) for each in alerts}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnavailableError(
                f"The memory of messages {path} cannot be read: {error}.",
                remedy="Move the file away; messages that were held back are lost with it.",
            ) from error

    def hold(self, route: Route, alerts: Iterable[Alert]) -> None:
        """Keep alerts until ``release``; a newer state of an alert replaces the older one."""
        self._change(_HELD, route, add=alerts)

    def held(self) -> dict[Route, tuple[Alert, ...]]:
        """Everything that is held back."""
        with self._lock:
            return {route: tuple(alerts.values()) for route, alerts in self._kept[_HELD].items() if alerts}

    def release(self, route: Route, alerts: Iterable[Alert]) -> None:
        """These states were sent; a state that came meanwhile stays."""
        with self._lock:
            kept = self._kept[_HELD].get(route, {})
            sent = [alert for alert in alerts if kept.get(alert.fingerprint) == alert]
            self._change(_HELD, route, remove=sent)

    def discard_held(self, route: Route, alerts: Iterable[Alert]) -> None:
        """Newer states of these alerts were sent at once: what is held back of them is old."""
        if self._kept[_HELD].get(route):
            self._change(_HELD, route, remove=alerts)

    def told(self, route: Route, alerts: Iterable[Alert]) -> None:
        """The recipient knows these states: firing ones are open from now on, ended ones no more."""
        known = list(alerts)
        self._change(
            _OPEN,
            route,
            add=[alert for alert in known if alert.firing],
            remove=[alert for alert in known if not alert.firing],
        )

    def knows(self, route: Route, alert: Alert) -> bool:
        """Whether the recipient knows the alert as firing, or will hear of it in office hours."""
        with self._lock:
            return any(alert.fingerprint in kept.get(route, {}) for kept in self._kept.values())

    def open(self) -> dict[Route, tuple[Alert, ...]]:
        """What recipients know as firing."""
        with self._lock:
            return {route: tuple(alerts.values()) for route, alerts in self._kept[_OPEN].items() if alerts}

    def _change(self, kind: str, route: Route, *, add: Iterable[Alert] = (), remove: Iterable[Alert] = ()) -> None:
        with self._lock:
            kept = self._kept[kind].setdefault(route, {})
            for alert in remove:
                kept.pop(alert.fingerprint, None)
            for alert in add:
                kept[alert.fingerprint] = alert
            content = {name: _as_json(routes) for name, routes in self._kept.items()}
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            fresh.replace(self._path)


def _as_json(routes: Mapping[Route, Mapping[str, Alert]]) -> dict[str, list[dict[str, Any]]]:
    return {"/".join(route): [alert.as_json() for alert in alerts.values()] for route, alerts in routes.items() if alerts}
