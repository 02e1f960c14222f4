"""Asks Alertmanager and Prometheus for open alerts and their history. No answer is never shown as "no alerts"."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from pipeline.logs import get_logger

log = get_logger("board")

_TIMEOUT_SECONDS: Final = 3.0
#: Alerts are asked for again after so many seconds.
_INTERVAL_SECONDS: Final = 4.0
#: The history of an agency: so many days, in steps of so many seconds.
HISTORY_DAYS: Final = 30
_STEP_SECONDS: Final = 1_800
#: Labels and annotations that the page shows. Descriptions hold the present rate, so that they would be sent again and again.
_LABELS: Final = ("alertname", "agency", "kpi", "window", "rung", "severity", "instance", "reason")
_ANNOTATIONS: Final = ("summary", "summary_en")


#: Alertmanager also names those that are muted.
_EVERY: Final = {"active": "true", "silenced": "true", "inhibited": "true"}


class SourceError(Exception):
    """Alertmanager or Prometheus did not answer, or answered with something that is not expected."""


@dataclass(frozen=True, slots=True)
class AlertSources:
    """The addresses of Prometheus and Alertmanager; empty: not connected."""

    prometheus: str = ""
    alertmanager: str = ""


class OpenAlerts:
    """The alerts that fire now. ``refresh`` asks for them and blocks; ``state`` is the last answer.

    Args:
        sources: the addresses. Alertmanager is asked, which knows which alerts are muted; if it is not connected, Prometheus.
        now: the wall clock in milliseconds.
        monotonic: a monotonic clock (seconds).
    """

    def __init__(
        self,
        sources: AlertSources,
        *,
        now: Callable[[], float] = lambda: time.time() * 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources, self._now, self._monotonic = sources, now, monotonic
        self._guard = threading.Lock()
        self._due = float("-inf")
        connected = bool(sources.prometheus or sources.alertmanager)
        self._state: dict[str, Any] = {
            "source": "waiting" if connected else "not_connected", "since": None, "open": []
        }  # fmt: skip

    @property
    def state(self) -> Mapping[str, Any]:
        """The last answer.

        ``source``: not_connected, waiting (not asked yet), answers, or silent (does not answer); ``since``: since when it is
        silent (milliseconds); ``open``: the alerts.
        """
        return self._state

    def refresh(self) -> None:
        """Ask for the open alerts, unless this was done within the last ``_INTERVAL_SECONDS``. Does not raise."""
        if self._state["source"] == "not_connected" or self._monotonic() < self._due:
            return
        with self._guard:
            if self._monotonic() < self._due:
                return
            try:
                found = self._asked()
            except (SourceError, KeyError, TypeError, ValueError, AttributeError) as error:  # also another shape
                if self._state["source"] != "silent":
                    log.warning("board_without_alerts", error=str(error))
                    self._state = self._state | {"source": "silent", "since": int(self._now())}
            else:
                self._state = {"source": "answers", "since": None, "open": found}
            self._due = self._monotonic() + _INTERVAL_SECONDS

    def _asked(self) -> list[dict[str, Any]]:
        if self._sources.alertmanager:
            found = answer_of(self._sources.alertmanager, "/api/v2/alerts", _EVERY)
            alerts = [_from_alertmanager(each) for each in _listed(found, "Alertmanager")]
        else:
            found = answer_of(self._sources.prometheus, "/api/v1/alerts", {})["data"]["alerts"]
            listed = _listed(found, "Prometheus")
            alerts = [_alert(each, each["activeAt"], muted=False) for each in listed if each["state"] == "firing"]
        return sorted(alerts, key=lambda each: (-each["since"], each["alert"], each["agency"]))


def history_of(sources: AlertSources, agency: str, now: dt.datetime) -> list[dict[str, Any]] | None:
    """When alerts of an agency fired within the last ``HISTORY_DAYS`` days, the newest first; None without Prometheus.

    Raises:
        SourceError: Prometheus does not answer.
    """
    if not sources.prometheus:
        return None
    start = now - dt.timedelta(days=HISTORY_DAYS)
    query = f'max by (alertname, rung) (ALERTS{{alertstate="firing", agency="{agency}"}})'
    parameters = {
        "query": query,
        "start": f"{start.timestamp():.0f}",
        "end": f"{now.timestamp():.0f}",
        "step": str(_STEP_SECONDS),
    }
    found = answer_of(sources.prometheus, "/api/v1/query_range", parameters)["data"]["result"]
    spans = [
        {"alert": series["metric"].get("alertname", ""), "rung": series["metric"].get("rung"), "from": first, "to": last}
        for series in found
        for first, last in _spans([int(at) for at, _ in series["values"]], end=int(now.timestamp()))
    ]
    return sorted(spans, key=lambda span: -span["from"])


def _spans(times: Sequence[int], *, end: int) -> list[tuple[int, int | None]]:
    """Join samples that follow each other to spans (start and end in milliseconds); the end of a span that lasts is None.

    ``times``: seconds of the samples, ascending; ``end``: the present in seconds.
    """
    found: list[tuple[int, int | None]] = []
    first = last = None
    for at in times:
        if last is not None and first is not None and at - last > _STEP_SECONDS:
            found.append((first * 1000, last * 1000))
            first = at
        first = at if first is None else first
        last = at
    if first is not None and last is not None:
        found.append((first * 1000, None if end - last <= _STEP_SECONDS else last * 1000))
    return found


def answer_of(address: str, path: str, parameters: Mapping[str, str]) -> Any:
    """Ask a source and return the JSON of its answer.

    Raises:
        SourceError: the source does not answer, or not with JSON.
    """
    try:
        answer = httpx.get(f"{address.rstrip('/')}{path}", params=dict(parameters), timeout=_TIMEOUT_SECONDS, trust_env=False)
        return answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise SourceError(f"{path}: {type(error).__name__}: {error}") from error


def _listed(found: Any, source: str) -> list[Any]:
    """Return ``found`` if it is a list. Anything else, also an empty object, is a wrong answer and raises SourceError."""
    if not isinstance(found, list):
        raise SourceError(f"{source} answered {type(found).__name__} instead of a list of alerts")
    return found


def _from_alertmanager(fields: Mapping[str, Any]) -> dict[str, Any]:
    return _alert(fields, fields["startsAt"], muted=fields["status"]["state"] != "active")


def _alert(fields: Mapping[str, Any], since: str, *, muted: bool) -> dict[str, Any]:
    labels, annotations = fields["labels"], fields.get("annotations", {})
    return {
        "alert": labels.get("alertname", ""),
        "agency": labels.get("agency", ""),
        "severity": labels.get("severity", ""),
        "labels": {name: labels[name] for name in _LABELS if name in labels},
        "text": {name: annotations[name] for name in _ANNOTATIONS if name in annotations},
        "since": int(dt.datetime.fromisoformat(since).timestamp() * 1000),
        "muted": muted,
    }
