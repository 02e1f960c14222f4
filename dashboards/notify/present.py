"""Asks Prometheus whether an alert really ended, and for the rate at present.

Alertmanager takes an alert for ended when Prometheus is silent: without the question, a dead Prometheus is an all-clear.
"""

from __future__ import annotations

import datetime as dt
import json
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

from dashboards.notify.alerts import Alert
from domain.errors import UnavailableError
from domain.indicators import Ratio

_TIMEOUT_SECONDS: Final = 10.0
#: After its start Prometheus needs two evaluations of a minute until it knows again what fired.
SETTLED_AFTER: Final = dt.timedelta(minutes=3)


class Prometheus:
    """The Prometheus at ``url``; it knows nothing until it has run for ``settled_after``."""

    def __init__(self, url: str, *, settled_after: dt.timedelta = SETTLED_AFTER) -> None:
        self._base = f"{url.rstrip('/')}/api/v1"
        self._settled_after = settled_after

    def fires(self, alert: Alert) -> bool:
        """Whether the alert fires in Prometheus, or its condition holds again and waits to fire.

        Raises:
            UnavailableError: it does not answer or has just started, so nobody knows.
        """
        names = ("alertname", "agency", "kpi", "window", "rung")
        wanted = {name: alert.label(name) for name in names if alert.label(name)}
        if self._query(_selector("ALERTS", wanted)):
            return True
        self._require_settled()
        return False

    def rate(self, alert: Alert) -> Ratio | None:
        """The present rate of the alert's agency, indicator and window; None where there is none.

        Raises:
            UnavailableError: it does not answer.
        """
        wanted = {name: alert.label(name) for name in ("agency", "kpi", "window")}
        if not all(wanted.values()):
            return None
        denominator = self._value(f"max({_selector('agency_kpi_denominator', wanted)})")
        if not denominator:
            return None
        return Ratio(self._value(f"max({_selector('agency_kpi_numerator', wanted)})") or 0, denominator)

    def _require_settled(self) -> None:
        try:
            answer = httpx.get(f"{self._base}/status/runtimeinfo", timeout=_TIMEOUT_SECONDS, trust_env=False)
            if answer.status_code == HTTPStatus.NOT_FOUND:  # a server that only speaks the language of Prometheus
                return
            started = dt.datetime.fromisoformat(answer.raise_for_status().json()["data"]["startTime"])
            age = parsedate_to_datetime(answer.headers["date"]) - started  # the clock of that machine
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Prometheus does not say since when it runs ({type(error).__name__}).") from error
        if age < self._settled_after:
            raise UnavailableError(f"Prometheus has run for {age.total_seconds():.0f} s only and does not know yet what fires.")

    def _value(self, query: str) -> int | None:
        found = self._query(query)
        try:
            return int(float(found[0]["value"][1])) if found else None
        except (ValueError, KeyError, TypeError, IndexError, OverflowError):
            return None

    def _query(self, query: str) -> list[Any]:
        try:
            answer = httpx.get(
                f"{self._base}/query", params={"query": query}, timeout=_TIMEOUT_SECONDS, trust_env=False
            ).raise_for_status()
            return list(answer.json()["data"]["result"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Prometheus does not say whether an alert ended ({type(error).__name__}).") from error


def _selector(name: str, labels: dict[str, str]) -> str:
    quoted = (f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
    return f"{name}{{{','.join(quoted)}}}"
