"""The memory of the relay for each channel, on disk: alerts held back, alerts that recipients know, and messages sent lately."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from dashboards.notify.alerts import Alert
from domain.errors import UnavailableError
from pipeline.logs import get_logger
from pipeline.texts import read_json

log = get_logger("relay")

_HELD: Final = "held"
_OPEN: Final = "open"
#: Written before a call returns, and not forced to the disk with each message: a power failure may take the last ones.
_TABLES: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS kept (kind TEXT, route TEXT, fingerprint TEXT, alert TEXT, PRIMARY KEY (kind, route, fingerprint));
CREATE TABLE IF NOT EXISTS told (route TEXT, states TEXT, at REAL, PRIMARY KEY (route, states));
"""
_BUSY_SECONDS: Final = 5.0


class Route(NamedTuple):
    """One channel of one recipient."""

    key: str
    channel: str

    def __str__(self) -> str:
        """RECIPIENT/CHANNEL, as in the address of a delivery."""
        return "/".join(self)


class Memory:
    """The memory in one SQLite file. Safe for threads.

    A process decides by its copy in memory, and writes each change to the file before a call returns. Where writing fails, people
    are still told, and the log has ``memory_not_written``: only a restart forgets.
    """

    def __init__(self, path: Path, *, busy_seconds: float = _BUSY_SECONDS) -> None:
        """Read the stored memory; the file of an earlier release (JSON, of the same name) is converted.

        Args:
            path: the file.
            busy_seconds: how long a call waits for another process that locks the file.

        Raises:
            UnavailableError: the file cannot be read or written.
        """
        self._path = path
        self._lock = threading.RLock()
        self._kept: dict[str, dict[Route, dict[str, Alert]]] = {_HELD: {}, _OPEN: {}}
        self._told: dict[tuple[Route, str], dt.datetime] = {}
        earlier = path.with_suffix(".json")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=busy_seconds, check_same_thread=False)
            self._file.executescript(_TABLES)
            if earlier.exists():
                self._take_over(earlier)
                earlier.unlink()
            self._read()
        except (OSError, sqlite3.Error, ValueError, KeyError, TypeError, AttributeError) as error:
            broken = earlier if earlier.exists() else path
            raise UnavailableError(
                f"The memory of messages {broken} cannot be read: {error}.",
                remedy="Move the file away; messages that were held back are lost with it.",
            ) from error

    def hold(self, route: Route, alerts: Iterable[Alert]) -> None:
        """Keep alerts until ``release``; a newer state of an alert replaces an older one."""
        self._change(_HELD, route, add=alerts)

    def held(self) -> dict[Route, tuple[Alert, ...]]:
        """All alerts that are held back, by channel of a recipient."""
        with self._lock:
            return {route: tuple(alerts.values()) for route, alerts in self._kept[_HELD].items() if alerts}

    def release(self, route: Route, alerts: Iterable[Alert]) -> None:
        """Forget held-back states that were sent; a newer state of an alert that arrived meanwhile stays."""
        with self._lock:
            kept = self._kept[_HELD].get(route, {})
            sent = [alert for alert in alerts if kept.get(alert.fingerprint) == alert]
            self._change(_HELD, route, remove=sent)

    def discard_held(self, route: Route, alerts: Iterable[Alert]) -> None:
        """Forget the held-back states of these alerts, because newer states were sent at once."""
        if self._kept[_HELD].get(route):
            self._change(_HELD, route, remove=alerts)

    def told(self, route: Route, alerts: Iterable[Alert]) -> None:
        """Note that the recipient knows these states: firing alerts are open from now on, ended ones no more."""
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
        """The alerts that recipients know as firing, by channel of a recipient."""
        with self._lock:
            return {route: tuple(alerts.values()) for route, alerts in self._kept[_OPEN].items() if alerts}

    def note_delivery(self, route: Route, alerts: Sequence[Alert], now: dt.datetime, *, kept: dt.timedelta) -> None:
        """Note that a message about exactly these states was sent at ``now``; deliveries before ``now - kept`` are forgotten."""
        states, oldest = _states(alerts), now - kept
        with self._lock:
            # The newest stand last, so that only what is forgotten is looked at.
            self._told.pop((route, states), None)
            self._told[route, states] = now
            while self._told[first := next(iter(self._told))] < oldest:
                del self._told[first]
            with self._written() as file:
                file.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (str(route), states, now.timestamp()))
                file.execute("DELETE FROM told WHERE at < ?", (oldest.timestamp(),))

    def was_delivered(self, route: Route, alerts: Sequence[Alert], since: dt.datetime) -> bool:
        """Whether a message about exactly these states was sent after ``since``."""
        with self._lock:
            at = self._told.get((route, _states(alerts)))
            return at is not None and at > since

    def _change(self, kind: str, route: Route, *, add: Iterable[Alert] = (), remove: Iterable[Alert] = ()) -> None:
        gone, new = [alert.fingerprint for alert in remove], list(add)
        with self._lock:
            kept = self._kept[kind].setdefault(route, {})
            for fingerprint in gone:
                kept.pop(fingerprint, None)
            kept |= {alert.fingerprint: alert for alert in new}
            with self._written() as file:
                file.executemany(
                    "DELETE FROM kept WHERE kind = ? AND route = ? AND fingerprint = ?",
                    [(kind, str(route), fingerprint) for fingerprint in gone],
                )
                self._insert(kind, str(route), new)

    def _insert(self, kind: str, route: str, alerts: Iterable[Alert]) -> None:
        rows = [(kind, route, alert.fingerprint, json.dumps(alert.as_json(), ensure_ascii=False)) for alert in alerts]
        self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._file:
                yield self._file
        except sqlite3.Error as error:
            log.warning("memory_not_written", file=str(self._path), error=str(error))

    def _read(self) -> None:
        for kind, name, text in self._file.execute("SELECT kind, route, alert FROM kept ORDER BY rowid"):
            alert = Alert.from_json(read_json(text))
            self._kept[kind].setdefault(Route(*name.split("/", 1)), {})[alert.fingerprint] = alert
        for name, states, at in self._file.execute("SELECT route, states, at FROM told ORDER BY at"):
            self._told[Route(*name.split("/", 1)), states] = dt.datetime.fromtimestamp(at, dt.UTC)

    def _take_over(self, path: Path) -> None:
        """Convert the file of the earlier release as a whole; it is deleted only when everything is written."""
        with self._file:
            for kind, routes in read_json(path.read_text(encoding="utf-8")).items():
                for name, alerts in routes.items():
                    self._insert(kind, name, [Alert.from_json(each) for each in alerts])


def _states(alerts: Sequence[Alert]) -> str:
    """A text of which alerts fire since when, and which ended: equal when Alertmanager repeats a delivery."""
    states = sorted((alert.fingerprint, alert.firing, alert.started.isoformat()) for alert in alerts)
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()
