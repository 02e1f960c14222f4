"""Finds out who would get which message when: an imagined alert goes through real routes (amtool), office hours and templates."""

from __future__ import annotations

import datetime as dt
import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import yaml

from dashboards.notify.alerts import Alert
from dashboards.notify.content import Links, content_of
from dashboards.notify.messages import Message, message_of
from dashboards.notify.office import is_open, opens_next
from dashboards.notify.recipients_file import Directory
from dashboards.notify.words import LANGUAGES
from dashboards.rules.generate import RuleTiming, render
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError

_CHECK_SECONDS: Final = 60
#: Alerts that are not about the rate of an indicator.
_WITHOUT_RATE: Final = ("AgencySilent", "AgencyAcceptedLate")
_ADDRESS: Final = re.compile(r"/deliver/([^/]+)/([^/]+)$")


@dataclass(frozen=True, slots=True)
class Scene:
    """An imagined alert on an agency.

    ``rate`` and ``threshold`` are ratios; ``at``: when it fires; ``name``: one of ``agency_alerts``.
    """

    agency: str
    rate: Fraction
    at: dt.datetime
    kpi: str = "I1"
    window: str = "1d"
    dossiers: int = 1_000
    threshold: Fraction = Fraction(1, 20)
    severity: str = "critical"
    name: str = "AgencyRateLow"

    @property
    def rung(self) -> str:
        """The rung of the ladder; empty for alerts without rungs."""
        if self.name != "AgencyRateLow":
            return ""
        if not self.rate:
            return "zero"
        return {Fraction(1, 20): "below5", Fraction(1, 10): "below10"}.get(self.threshold, "target")

    def alert(self, registry: AgencyRegistry) -> Alert:
        """The alert that would fire."""
        row = registry.at(self.agency, self.at.date())
        return Alert(
            fingerprint="simulated",
            firing=True,
            labels={
                "alertname": self.name,
                "scope": "agency",
                "severity": self.severity,
                "agency": self.agency,
                **({} if self.name in _WITHOUT_RATE else {"kpi": self.kpi, "window": self.window}),
                "rung": self.rung,
            },
            annotations={
                "agency_name": "" if row is None else row.name_vi,
                "agency_name_en": "" if row is None else row.name_en,
                **_summaries(self.name),
                **self._numbers(),
                "since": str(self.at.timestamp()),
            },
            started=self.at,
            ended=None,
        )

    def _numbers(self) -> dict[str, str]:
        """The plain numbers in the alert's annotations."""
        if self.name == "AgencySilent":
            return {"quiet_hours": "14", "usual_hours": "9"}
        found = {"numerator": str(int(self.rate * self.dossiers)), "denominator": str(self.dossiers)}
        if self.name in {"AgencyRateDropped", "AgencyRateSurged"}:
            factor = 2 if self.name == "AgencyRateDropped" else Fraction(1, 2)
            return found | {"previous": str(min(Fraction(1), self.rate * factor))}
        return found | {"threshold": str(self.threshold), "projected": str(self.rate)}


@functools.cache
def _annotations() -> Mapping[str, Mapping[str, str]]:
    """The annotations of every alert on agencies, from the rules: alert -> annotations."""
    groups = (group for text in render(RuleTiming.production()).values() for group in yaml.safe_load(text)["groups"])
    rules = (rule for group in groups for rule in group["rules"] if rule.get("labels", {}).get("scope") == "agency")
    return {rule["alert"]: rule["annotations"] for rule in rules}


def agency_alerts() -> tuple[str, ...]:
    """The names of the alerts on agencies."""
    return tuple(_annotations())


def _summaries(name: str) -> dict[str, str]:
    return {key: _annotations()[name][key] for key in ("summary", "summary_en")}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that a person would get."""

    key: str
    name: str
    channels: tuple[str, ...]
    language: str
    at: dt.datetime
    why: str
    message: Message


def simulate(directory: Directory, config: str, alert: Alert, *, links: Links, grouped: bool = True) -> tuple[Delivery, ...]:
    """Every message about ``alert``, the earliest first.

    Args:
        directory: the recipients.
        config: the text of alertmanager.yml.
        alert: the alert that fires.
        links: addresses in messages.
        grouped: whether to add the time that Alertmanager waits for further alerts of a group.

    Raises:
        ConfigurationError: amtool is missing or refuses the routes.
    """
    content: dict[str, Any] = yaml.safe_load(config)
    hooks = {receiver["name"]: receiver.get("webhook_configs", []) for receiver in content["receivers"]}
    waits = _waits(content["route"])
    channels: dict[tuple[str, str], list[str]] = {}
    for receiver in receivers_of(config, alert.labels):
        for hook in hooks[receiver]:
            if (found := _ADDRESS.search(hook["url"])) is not None:
                channels.setdefault((receiver, found[1]), []).append(found[2])
    deliveries = []
    for (receiver, key), names in channels.items():
        person = directory.person(key)
        due = alert.started + (waits[receiver] if grouped else dt.timedelta(0))
        hours = directory.recipients.office_hours
        why = "now"
        if receiver.startswith("superior-"):
            why = f"if it still fires after {_hours(waits[receiver])}"
        elif person.hours == "office" and alert.severity != "critical" and not is_open(hours, due):
            due, why = opens_next(hours, due), "held until office hours"
        words = LANGUAGES[person.language]
        message = message_of(content_of([alert], words, links=links), words)
        deliveries.append(Delivery(key, person.name, tuple(names), person.language, due, why, message))
    return tuple(sorted(deliveries, key=lambda delivery: (delivery.at, delivery.key)))


def receivers_of(config: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The receivers of an alert with these labels, as the real routes decide.

    Raises:
        ConfigurationError: amtool is missing or refuses the routes.
    """
    program = shutil.which("amtool")
    if program is None:
        raise ConfigurationError("amtool is not installed here.", remedy="Run deploy/setup.sh as root.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "alertmanager.yml")
        path.write_text(config, encoding="utf-8")
        # One argument a label: several in one word resolve to the root.
        given = [f"{name}={value}" for name, value in labels.items() if value]
        command = [program, "config", "routes", "test", f"--config.file={path}", *given]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_CHECK_SECONDS, check=False)
    if done.returncode:
        raise ConfigurationError(f"amtool rejects the routes: {' '.join(f'{done.stdout} {done.stderr}'.split())[-300:]}")
    return tuple(name for name in done.stdout.strip().split(",") if name)


def _waits(route: Mapping[str, Any], inherited: dt.timedelta = dt.timedelta(0)) -> dict[str, dt.timedelta]:
    """Receiver -> how long Alertmanager waits for further alerts of a group."""
    wait = _duration(route["group_wait"]) if "group_wait" in route else inherited
    found = {route["receiver"]: wait} if "receiver" in route else {}
    for child in route.get("routes", []):
        found = _waits(child, wait) | found
    return found


def _duration(text: str) -> dt.timedelta:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    return dt.timedelta(seconds=sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)))


def _hours(wait: dt.timedelta) -> str:
    minutes = round(wait.total_seconds() / 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
