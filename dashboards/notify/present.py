"""Asks Prometheus whether an alert really ended, and for the rate at present.

Alertmanager takes an alert for ended when Prometheus is silent: without the question, a dead Prometheus is an all-clear.
"""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from dashboards.notify.alerts import Alert
from domain.errors import UnavailableError
from domain.indicators import Ratio

_TIMEOUT_SECONDS: Final = 10.0


class Prometheus:
    """The Prometheus at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"

    def fires(self, alert: Alert) -> bool:
        """Whether the alert fires in Prometheus.

        Raises:
            UnavailableError: it does not answer, so nobody knows.
        """
        names = ("alertname", "agency", "kpi", "window", "rung")
        wanted = {name: alert.label(name) for name in names if alert.label(name)} | {"alertstate": "firing"}
        return bool(self._query(_selector("ALERTS", wanted)))

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

    def _value(self, query: str) -> int | None:
        found = self._query(query)
        try:
            return int(float(found[0]["value"][1])) if found else None
        except (ValueError, KeyError, TypeError, IndexError, OverflowError):
            return None

    def _query(self, query: str) -> list[Any]:
        try:
            answer = httpx.get(self._url, params={"query": query}, timeout=_TIMEOUT_SECONDS, trust_env=False).raise_for_status()
            return list(answer.json()["data"]["result"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Prometheus does not say whether an alert ended ({type(error).__name__}).") from error


def _selector(name: str, labels: dict[str, str]) -> str:
    quoted = (f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
    return f"{name}{{{','.join(quoted)}}}"
