"""Compares the alerts that fired with the exact counts: false alerts, false ends, alerts that were due and did not fire.

The comparison uses the counts, the feed and the documented conditions of alerts; it reads no expression of a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dashboards.history.acceptances import Acceptances
from dashboards.history.clock import steps_of
from dashboards.history.conditions import (
    Condition,
    Truth,
    accepted_late,
    change,
    off_pace,
    pipeline,
    quiet_seconds,
    rate_low,
    silent,
)
from dashboards.history.engine import Change, Key
from dashboards.history.feed import Feed
from dashboards.history.figures import Figures
from dashboards.rules.timing import RuleTiming
from domain.working_days import WorkingDays
from pipeline.settings import ThresholdPolicy

#: Steps that an alert may be late after everything it waits for.
_LATE: Final = 3


@dataclass(frozen=True, slots=True)
class Span:
    """An alert that fired from one instant up to another. None: it began before, or went on after, the judged part."""

    key: Key
    first: int | None
    end: int | None
    part: tuple[int, int]

    @property
    def steps(self) -> int:
        """How many steps the alert fired within the part."""
        return (self.part[1] if self.end is None else self.end) - (self.part[0] if self.first is None else self.first)


@dataclass(frozen=True, slots=True)
class Wrong:
    """An alert that contradicts the counts at an instant."""

    at: int
    key: Key


@dataclass(slots=True)
class Verdict:
    """What was wrong, and the alerts that could not be judged, because no condition for them is written here."""

    false_alerts: list[Wrong] = field(default_factory=list)
    false_ends: list[Wrong] = field(default_factory=list)
    missed: list[Wrong] = field(default_factory=list)
    not_judged: dict[str, int] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether no alert was wrong."""
        return not (self.false_alerts or self.false_ends or self.missed)


def spans_of(changes: Sequence[Change], *, first: int, start: int, end: int) -> list[Span]:
    """What fired in a part from instant ``start`` to ``end``; ``first``: the instant of evaluation 0."""
    began: dict[Key, int] = {}
    found = []
    for each in changes:
        at = first + each.at
        if not each.ended:
            began[each.key] = at
        elif each.key in began:
            begin = began.pop(each.key)
            if at > start:
                found.append(Span(each.key, begin if begin > start else None, at, (start, end)))
    found += [Span(key, begin if begin > start else None, None, (start, end)) for key, begin in began.items()]
    return found


class AlertCheck:
    """Compares what fired with figures and feed."""

    def __init__(
        self,
        figures: Figures,
        feed: Feed,
        policies: Sequence[ThresholdPolicy],
        timing: RuleTiming,
        working_days: WorkingDays,
        *,
        acceptances: Acceptances | None = None,
    ) -> None:
        self._feed = feed
        self._seconds = int(figures.grid.step.total_seconds())
        self._bridged = steps_of(timing.sample_guard_seconds, self._seconds)
        # Every alert on an agency waits and goes on for as long; those on the pipeline are shorter.
        self._wait = steps_of(timing.agency_for_seconds, self._seconds)
        self._on = steps_of(timing.agency_keep_firing_seconds, self._seconds)
        self._agencies: Mapping[Key, Condition] = {
            Key("AgencyRateLow", (("agency", agency), ("kpi", kpi), ("rung", rung), ("window", window))): condition
            for (agency, kpi, window, rung), condition in rate_low(figures, policies, timing).items()
        }
        self._others = _others(figures, policies, working_days)
        if acceptances is not None:
            self._others |= {
                Key("AgencyAcceptedLate", (("agency", agency),)): condition
                for agency, condition in accepted_late(figures, acceptances).items()
            }
        self._pipeline = pipeline(figures, feed, timing)
        # An alert of an agency is due only while nothing is wrong with the pipeline.
        sound = feed.read & (feed.counted == np.arange(len(feed.counted))) & (feed.waiting <= timing.backlog_limit_events)
        self._sound: Truth = sound & (quiet_seconds(figures, feed) < timing.freshness_limit_seconds)

    def judge(self, spans: Iterable[Span], parts: Iterable[tuple[int, int]]) -> Verdict:
        """The verdict on everything that fired in some parts; a part is (first instant, last instant)."""
        verdict = Verdict()
        fired: dict[Key, list[Span]] = {}
        for span in spans:
            key = _without_severity(span.key)
            fired.setdefault(key, []).append(span)
            condition = self._agencies.get(key) or self._others.get(key) or self._pipeline.get(key.name)
            if condition is None:
                verdict.not_judged[key.name] = verdict.not_judged.get(key.name, 0) + 1
                continue
            wait, on = (1, 1) if key.name in self._pipeline else (self._wait, self._on)
            if span.first is not None and not self._held(condition.starts, span.first, wait, key.name):
                verdict.false_alerts.append(Wrong(span.first, span.key))
            if span.end is not None and condition.ends is not None and not self._held(condition.ends, span.end, on, key.name):
                verdict.false_ends.append(Wrong(span.end, span.key))
        for part in parts:
            verdict.missed += self._missed(part, fired)
        return verdict

    def _held(self, condition: Truth, at: int, steps: int, name: str) -> bool:
        """Whether a condition held during ``steps`` steps up to an instant, by the figures that Prometheus had."""
        instants = range(max(at - steps, 0), at + 1)
        if name in self._pipeline and name != "PipelineStalled":
            return all(condition[each] for each in instants)
        read = [self._feed.newest_read(each, bridged=self._bridged) for each in instants]
        return all(each is not None and condition[each] for each in read)

    def _missed(self, part: tuple[int, int], fired: Mapping[Key, Sequence[Span]]) -> list[Wrong]:
        start, end = part
        found = []
        for key, condition in self._agencies.items():
            must_hold = self._wait + _LATE
            due = _for_steps(condition.starts & self._sound, must_hold)[start : end + 1].copy()
            for span in fired.get(key, ()):
                if span.part == part:
                    first, last = start if span.first is None else span.first, end + 1 if span.end is None else span.end
                    due[first - start : last - start] = False
            if due.any():
                found.append(Wrong(start + int(due.argmax()), key))
        return found


def _others(figures: Figures, policies: Sequence[ThresholdPolicy], working_days: WorkingDays) -> dict[Key, Condition]:
    """The conditions of alerts on agencies besides AgencyRateLow; a missing alert of these is not an error."""
    found = {
        Key(name, (("agency", agency), ("kpi", kpi), ("window", window))): condition
        for (name, agency, kpi, window), condition in change(figures, policies).items()
    }
    found |= {
        Key("AgencySilent", (("agency", agency),)): condition for agency, condition in silent(figures, working_days).items()
    }
    return found | {
        Key("AgencyOffPace", (("agency", agency), ("kpi", kpi), ("window", "ytd"))): condition
        for (agency, kpi), condition in off_pace(figures, policies).items()
    }


def _for_steps(truth: Truth, steps: int) -> Truth:
    """At which instants the condition has been true for ``steps`` steps."""
    total = np.concatenate([[0], truth.cumsum()])
    result = np.zeros_like(truth)
    result[steps:] = (total[steps + 1 :] - total[: len(truth) - steps]) == steps + 1
    return result


def _without_severity(key: Key) -> Key:
    return Key(key.name, tuple((name, value) for name, value in key.labels if name != "severity"))
