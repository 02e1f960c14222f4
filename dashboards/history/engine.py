"""Runs the rules of Prometheus over scraped series with promtool, on the coarse clock, and returns when alerts began and ended.

promtool has the engine of Prometheus: rules in their order, ``for``, ``keep_firing_for``, and alerts that read ``ALERTS``. Its
tests are written so that it prints every change of a firing alert as a difference from "nothing".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dashboards.history.clock import EVALUATION
from dashboards.history.exported import Series
from domain.errors import ConfigurationError, UnavailableError

#: The groups in the order in which they read each other.
_ORDER: Final = ("pipeline", "agency", "meta")
_FIRING: Final = 'ALERTS{alertstate="firing"}'
_BEFORE: Final = f"{_FIRING} offset {EVALUATION}s"
_CHANGES: Final = f'({_FIRING} unless ({_BEFORE})) or label_replace(({_BEFORE}) unless {_FIRING}, "ended", "1", "", "")'
_RESULT: Final = re.compile(r"time: (?P<time>[\dhms]+),\s+exp: nil\s+got: (?P<got>.*?)(?=\n\s+expr: |\Z)", re.DOTALL)
_SAMPLE: Final = re.compile(r"\{([^{}]*)\} [\d.+eE-]+")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIME: Final = re.compile(r"(\d+)([hms])")
_SECONDS: Final = {"h": 3_600, "m": 60, "s": 1}
Program = subprocess.Popen[str]
_UNNAMED: Final = frozenset({"__name__", "alertstate", "ended", "scope"})


@dataclass(frozen=True, slots=True)
class Key:
    """Identifies an alert: its name and its labels, sorted."""

    name: str
    labels: tuple[tuple[str, str], ...]

    def label(self, name: str) -> str:
        """The value of the label ``name``, empty when the alert has no such label."""
        return dict(self.labels).get(name, "")


@dataclass(frozen=True, slots=True)
class Change:
    """An alert began to fire, or ended, at an evaluation (numbered from 0)."""

    at: int
    key: Key
    ended: bool


def promtool() -> str:
    """The path of the program promtool.

    Raises:
        ConfigurationError: promtool is not installed.
    """
    found = shutil.which("promtool")
    if found is None:
        raise ConfigurationError("promtool is not installed here.", remedy="Install Prometheus (Debian: prometheus).")
    return found


def evaluate(
    groups: Mapping[str, Sequence[Mapping[str, Any]]], series: Series, *, length: int, running: set[Program] | None = None
) -> list[Change]:
    """Every change of a firing alert over ``length`` evaluations, in the order of time.

    Args:
        groups: rules by file name, on the coarse clock.
        series: values at each evaluation.
        length: number of evaluations.
        running: gets the program while it runs, so that another thread can end it.

    Raises:
        ConfigurationError: promtool is not installed, or refuses a rule.
        UnavailableError: promtool was ended by a signal.
    """
    program = promtool()
    with tempfile.TemporaryDirectory(prefix="portalpulse-rules-") as folder:
        for name, rules in groups.items():
            group = {"name": name.partition(".")[0], "interval": f"{EVALUATION}s", "rules": rules}
            Path(folder, name).write_text(json.dumps({"groups": [group]}), encoding="utf-8")
        Path(folder, "test.json").write_text(json.dumps(_test(sorted(groups), series, length)), encoding="utf-8")
        with subprocess.Popen(
            [program, "test", "rules", "test.json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GOGC": "400", "GOMAXPROCS": "2"},
        ) as done:
            kept = set() if running is None else running
            kept.add(done)
            output = "\n".join(done.communicate())
            kept.discard(done)
    if done.returncode < 0:
        raise UnavailableError(f"promtool was ended by signal {-done.returncode}.", remedy="Is there enough memory?")
    if done.returncode and "exp: nil" not in output:
        raise ConfigurationError(f"promtool refuses the rules or figures: {' '.join(output.split())[-300:]}")
    return list(changes_of(output))


def _test(files: Sequence[str], series: Series, length: int) -> dict[str, Any]:
    present = {name.partition(".")[0] for name in files}
    return {
        "rule_files": list(files),
        "evaluation_interval": f"{EVALUATION}s",
        "group_eval_order": [name for name in _ORDER if name in present],
        "tests": [
            {
                "interval": f"{EVALUATION}s",
                "input_series": [{"series": name, "values": values_text(values)} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": _CHANGES, "eval_time": f"{number * EVALUATION}s", "exp_samples": []} for number in range(length)
                ],
            }
        ],
    }


def values_text(values: Sequence[float | None]) -> str:
    """Values as promtool reads them; the first missing value after others marks the series as stale, as Prometheus does."""
    runs: list[tuple[str, int]] = []
    before: float | None = None
    for value in values:
        text = ("stale" if before is not None else "_") if value is None else f"{value:.15g}"
        before = value
        if runs and runs[-1][0] == text and text != "stale":
            runs[-1] = (text, runs[-1][1] + 1)
        else:
            runs.append((text, 1))
    return " ".join(text if times == 1 else f"_x{times}" if text == "_" else f"{text}x{times - 1}" for text, times in runs)


def changes_of(output: str) -> Iterator[Change]:
    """The changes in the output of promtool."""
    for result in _RESULT.finditer(output):
        seconds = sum(int(number) * _SECONDS[unit] for number, unit in _TIME.findall(result["time"]))
        for sample in _SAMPLE.finditer(result["got"]):
            labels = dict(_LABEL.findall(sample[1]))
            kept = tuple(sorted((n, v) for n, v in labels.items() if n not in _UNNAMED and n != "alertname"))
            yield Change(seconds // EVALUATION, Key(labels["alertname"], kept), "ended" in labels)
