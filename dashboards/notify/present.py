"""Asks Prometheus whether an alert really ended, and for the rate at present.

Alertmanager takes an alert for ended when Prometheus sends nothing: without asking, a dead Prometheus would look like an
all-clear.
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
#: The figures that the rules record.
_NUMERATOR, _DENOMINATOR = "agency:kpi_numerator:max", "agency:kpi_denominator:max"
#: After its start Prometheus needs two evaluations of a minute until it knows again what fired.
SETTLED_AFTER: Final = dt.timedelta(minutes=3)


class Prometheus:
    """The Prometheus at ``url``; its answers do not count until it has run for ``settled_after``."""

    def __init__(self, url: str, *, settled_after: dt.timedelta = SETTLED_AFTER) -> None:
        self._base = f"{url.rstrip('/')}/api/v1"
        self._settled_after = settled_after
        # One for all questions: a message about many agencies asks for each of them.
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)

    def fires(self, alert: Alert) -> bool:
        """Whether the alert fires in Prometheus, or its condition holds again and the alert is pending.

        Raises:
            UnavailableError: Prometheus does not answer or has just started, so the answer is not known.
        """
        names = ("alertname", "agency", "kpi", "window", "rung")
        wanted = {name: alert.label(name) for name in names if alert.label(name)}
        if self._query(f"ALERTS{{{_matchers(wanted)}}}"):
            return True
        self._require_settled()
        return False

    def rate(self, alert: Alert) -> Ratio | None:
        """The present rate of the alert's agency, indicator and window; None where there is none.

        Numerator and denominator are recorded by the rules: both are of one instant, also when a scrape fails.

        Raises:
            UnavailableError: Prometheus does not answer.
        """
        wanted = {name: alert.label(name) for name in ("agency", "kpi", "window")}
        if not all(wanted.values()):
            return None
        numbers = self._numbers(f'{{__name__=~"{_NUMERATOR}|{_DENOMINATOR}",{_matchers(wanted)}}}')
        if _NUMERATOR not in numbers or not numbers.get(_DENOMINATOR):
            return None
        return Ratio(numbers[_NUMERATOR], numbers[_DENOMINATOR])

    def _require_settled(self) -> None:
        try:
            answer = self._client.get(f"{self._base}/status/runtimeinfo")
            if answer.status_code == HTTPStatus.NOT_FOUND:  # a server that only speaks the language of Prometheus
                return
            started = dt.datetime.fromisoformat(answer.raise_for_status().json()["data"]["startTime"])
            age = parsedate_to_datetime(answer.headers["date"]) - started  # the clock of that machine
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Prometheus does not say since when it runs ({type(error).__name__}).") from error
        if age < self._settled_after:
            raise UnavailableError(f"Prometheus has run for {age.total_seconds():.0f} s only and does not know yet what fires.")

    def _numbers(self, query: str) -> dict[str, int]:
        """Name of each series -> its value; empty when the answer is not understood."""
        try:
            return {str(series["metric"]["__name__"]): int(float(series["value"][1])) for series in self._query(query)}
        except (ValueError, KeyError, TypeError, IndexError, OverflowError):
            return {}

    def _query(self, query: str) -> list[Any]:
        try:
            answer = self._client.get(f"{self._base}/query", params={"query": query}).raise_for_status()
            return list(answer.json()["data"]["result"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Prometheus does not say whether an alert ended ({type(error).__name__}).") from error


def _matchers(labels: dict[str, str]) -> str:
    return ",".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
