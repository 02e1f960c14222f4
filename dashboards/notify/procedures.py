"""Asks the exporter which procedures explain a low rate, or one that changed against one week earlier.

The exporter gets little time to answer; without an answer a message is sent without procedures.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ssl
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import httpx

from dashboards.notify.alerts import Alert
from domain.contributions import contributions
from domain.indicators import Ratio
from domain.periods import civil_day
from pipeline.logs import get_logger

log = get_logger("relay")

_TIMEOUT_SECONDS: Final = 5.0
_MOST: Final = 3
_REFUSED: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.TOO_MANY_REQUESTS})
#: Civil days before today that a window covers.
_DAYS: Final = {"1d": 1, "7d": 6, "30d": 29}
_WEEK: Final = dt.timedelta(days=7)
_LOW, _DROPPED, _SURGED = "AgencyRateLow", "AgencyRateDropped", "AgencyRateSurged"


class Procedures:
    """The exporter at ``url``, asked with ``token``; without a token it answers only this machine, unless everybody may read."""

    def __init__(self, url: str, *, token: str = "", trust: ssl.SSLContext | None = None) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/report/explanation"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False, headers=headers, verify=trust or True)

    def explained(self, alerts: Sequence[Alert], now: dt.datetime) -> list[Alert]:
        """The alerts; if all are of one agency, the worst firing alert on a rate gets three procedures into its annotations."""
        about = [alert for alert in alerts if alert.firing and alert.name in {_LOW, _DROPPED, _SURGED}]
        if not about or len({alert.label("agency") for alert in alerts}) > 1:
            return list(alerts)
        worst = min(about, key=Alert.badness)
        first, last = _days(worst.label("window"), civil_day(now))
        found = self._found(worst, first, last)
        if not found:
            return list(alerts)
        notes = {"procedures": found, "procedures_from": first.isoformat(), "procedures_to": last.isoformat()}
        explained = dataclasses.replace(worst, annotations={**worst.annotations, **notes})
        return [explained if alert is worst else alert for alert in alerts]

    def _found(self, alert: Alert, first: dt.date, last: dt.date) -> str:
        query = {"agency": alert.label("agency"), "indicator": alert.label("kpi")}
        query |= {"from": first.isoformat(), "to": last.isoformat(), "compare": f"{first - _WEEK}..{last - _WEEK}"}
        try:
            answered = self._client.get(self._url, params=query)
            if answered.status_code in _REFUSED:
                log.warning("procedures_refused", url=self._url, status=answered.status_code, remedy="Check the read token.")
            answer = answered.raise_for_status().json()
            before, after = (_ratios(answer["procedures"], part) for part in ("before", "after"))
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return ""
        return "; ".join(f"{code} {after[code].numerator}/{after[code].denominator}" for code in _chosen(alert, before, after))


def _days(window: str, today: dt.date) -> tuple[dt.date, dt.date]:
    if window in _DAYS:
        return today - dt.timedelta(days=_DAYS[window]), today
    return (today.replace(month=1, day=1) if window == "ytd" else today.replace(day=1)), today


def _ratios(rows: Sequence[Mapping[str, Any]], part: str) -> dict[str, Ratio]:
    return {str(row["procedure"]): Ratio(int(row[part]["numerator"]), int(row[part]["denominator"])) for row in rows}


def _chosen(alert: Alert, before: Mapping[str, Ratio], after: Mapping[str, Ratio]) -> list[str]:
    """Procedures for a message: for a change those that moved the rate most, for a low rate those that lack most dossiers."""
    if alert.name == _LOW:
        figures = alert.figures
        threshold = figures.threshold if figures is not None and figures.threshold is not None else Fraction(1)
        weights = {code: threshold * ratio.denominator - ratio.numerator for code, ratio in after.items()}
    else:
        sign = -1 if alert.name == _DROPPED else 1
        weights = {each.group: sign * each.change for each in contributions(before, after)}
    return [code for code in sorted(weights, key=lambda code: (-weights[code], code))[:_MOST] if weights[code] > 0]
