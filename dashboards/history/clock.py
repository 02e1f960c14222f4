"""Adapts the rules to a coarse clock: one evaluation for each step of minutes or hours instead of one a minute.

Only durations that Prometheus itself measures change: ``for``, ``keep_firing_for`` and ranges such as ``[2m]``. They become whole
steps and keep their order: a range that bridges a missed scrape becomes one step, a time that a condition must hold becomes
longer, and a time that survives a gap longer still. Expressions, limits, labels and the seconds that the exporter reports stay
unchanged.

Prometheus still gets one evaluation a minute, whatever a step stands for, because it remembers a firing alert for five minutes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import yaml

from dashboards.rules.timing import duration
from domain.errors import ConfigurationError

#: Seconds between two evaluations, as Prometheus sees them.
EVALUATION: Final = 60
#: Lengths of a step in minutes: they divide a day, so that one begins at each midnight.
STEP_MINUTES: Final = (10, 15, 20, 30, 60, 120, 180)
#: Every scope of an alert.
SCOPES: Final = ("agency", "pipeline", "meta")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RANGE: Final = re.compile(r"\[(\d+)([smhd])\]")
#: (longest duration in seconds, its steps at least): guards, then waits of alerts, then what keeps them firing.
_ORDER: Final = ((120, 1), (600, 2))
_LONGER: Final = 3


def steps_of(seconds: int, step_seconds: int) -> int:
    """A duration of a rule in steps: rounded up, so that it is never shorter, and in the order of all durations."""
    minimum = next((steps for longest, steps in _ORDER if seconds <= longest), _LONGER)
    return max(minimum, -(-seconds // step_seconds))


def require_step(minutes: int) -> None:
    """Check that a step may have this many minutes.

    Raises:
        ConfigurationError: it may not.
    """
    if minutes not in STEP_MINUTES:
        raise ConfigurationError(
            f"A step of {minutes} minutes does not divide a day as it should.",
            remedy=f"Choose {', '.join(map(str, STEP_MINUTES))}.",
        )


def seconds_of(text: str) -> int:
    """A duration of a rule file in seconds: 10m -> 600."""
    return int(text[:-1]) * _UNITS[text[-1]]


def on_coarse_clock(
    files: Mapping[str, str], *, step_seconds: int, scopes: Collection[str] = SCOPES
) -> dict[str, list[dict[str, Any]]]:
    """The rules of each file for a clock of ``step_seconds``: alerts, and the records that they read, directly or through others.

    ``scopes``: only alerts with these scopes are kept.

    Annotations are dropped: texts change no alert, and evaluating them costs more than all rules.
    """

    def coarse(seconds: int) -> str:
        return duration(steps_of(seconds, step_seconds) * EVALUATION)

    groups = {}
    for name, text in files.items():
        rules = []
        for rule in yaml.safe_load(text)["groups"][0]["rules"]:
            if "alert" in rule and rule["labels"]["scope"] not in scopes:
                continue
            changed = {key: value for key, value in rule.items() if key != "annotations"}
            changed["expr"] = _RANGE.sub(lambda found: f"[{coarse(int(found[1]) * _UNITS[found[2]])}]", rule["expr"])
            for key in ("for", "keep_firing_for"):
                if key in rule:
                    changed[key] = coarse(seconds_of(rule[key]))
            rules.append(changed)
        groups[name] = rules
    read = _read_records([rule for rules in groups.values() for rule in rules])
    kept = {name: [rule for rule in rules if "alert" in rule or rule["record"] in read] for name, rules in groups.items()}
    return {name: rules for name, rules in kept.items() if rules}


def _read_records(rules: list[dict[str, Any]]) -> set[str]:
    by_name = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    found: set[str] = set()
    waiting = [rule["expr"] for rule in rules if "alert" in rule]
    while waiting:
        words = set(re.findall(r"[a-zA-Z_:][\w:]*", waiting.pop()))
        for name in (words & by_name.keys()) - found:
            found.add(name)
            waiting.append(by_name[name])
    return found
