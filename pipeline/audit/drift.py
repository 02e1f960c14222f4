"""The audit's judgement: what counts as a difference, which differences are drift, which day is looked at next.

A tally is right when it lies between the events that must be counted by now and all events stored, count by count. Events that
the workers' group has not acknowledged are in their hands and need not be counted yet: a tally that lacks some of these is late,
not wrong. A difference is drift when two looks find it, at least the settling time apart, and then by the smaller of the two
amounts: the tallies and the events are not read at the same instant.

Everything here is a value or bookkeeping; no clock, no storage.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from domain.tiers import Tier


def drift_of(
    due: Mapping[str, int], stored: Mapping[str, int], tallied: Mapping[str, int], *, time_is_wrong: bool = False
) -> int:
    """Events by which a tally is wrong: the most that any of its counts lies outside of ``due`` to ``stored``.

    ``time_is_wrong``: its newest event's time is none that those events could give, which counts as one event.
    """
    outside = (max(due[name] - count, count - stored[name], 0) for name, count in tallied.items())
    return max(*outside, int(time_is_wrong))


@dataclass(frozen=True, slots=True)
class Finding:
    """One wrong tally, ready for JSON: ``bucket`` is a minute (RFC 3339) or a civil day; counts by name."""

    scope: str
    agency: str
    bucket: str
    procedure: str
    due: Mapping[str, int]
    stored: Mapping[str, int]
    tallied: Mapping[str, int]
    stored_last: str | None
    tallied_last: str | None
    drift: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the tally."""
        return self.scope, self.agency, self.bucket, self.procedure

    @property
    def wrong(self) -> dict[str, tuple[int, int]]:
        """The counts that are not as stored: name -> (stored, tallied)."""
        return {name: (self.stored[name], count) for name, count in self.tallied.items() if count != self.stored[name]}


@dataclass(frozen=True, slots=True)
class TierComparison:
    """One scope of one day: exact totals, and findings up to a limit.

    ``stuck``: what a plain recount would not replace. ``late``: events by which tallies are behind without being wrong.
    ``in_hand``: stored events that need not be tallied yet.
    """

    buckets: int = 0
    differing: int = 0
    drift: int = 0
    stuck: int = 0
    findings: tuple[Finding, ...] = ()
    late: int = 0
    in_hand: int = 0

    @property
    def listed(self) -> bool:
        """Whether every difference is among the findings."""
        return len(self.findings) == self.differing


@dataclass(frozen=True, slots=True)
class DayComparison:
    """One look at one civil day, every scope of it.

    ``by_time``: why Kafka could not tell which events the workers have in hand, so that their age decided; empty when it could.
    """

    day: dt.date
    scopes: Mapping[Tier, TierComparison]
    by_time: str = ""

    @property
    def drift(self) -> int:
        """Events by which its tallies are wrong, summed over the scopes; plus and minus do not cancel."""
        return sum(look.drift for look in self.scopes.values())

    @property
    def late(self) -> int:
        """Events by which its tallies are behind without being wrong, summed over the scopes."""
        return sum(look.late for look in self.scopes.values())

    @property
    def stuck(self) -> int:
        """Wrong tallies that only a raised epoch can replace."""
        return sum(look.stuck for look in self.scopes.values())

    @property
    def agencies(self) -> tuple[str, ...] | None:
        """Agencies with a wrong or late tally, ascending; None when not all of them are known."""
        if self.late or not all(look.listed for look in self.scopes.values()):
            return None
        return tuple(sorted({finding.agency for look in self.scopes.values() for finding in look.findings}))

    def as_fields(self) -> dict[str, Any]:
        """The look as plain values."""
        scopes = {scope.value: asdict(look) for scope, look in self.scopes.items()}
        return {"day": self.day.isoformat(), "scopes": scopes, "by_time": self.by_time}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """What ``as_fields`` gave."""
        return cls(
            dt.date.fromisoformat(fields["day"]),
            {
                Tier(scope): TierComparison(**{**look, "findings": tuple(Finding(**finding) for finding in look["findings"])})
                for scope, look in fields["scopes"].items()
            },
            fields["by_time"],
        )


def confirmed(first: DayComparison | None, second: DayComparison) -> DayComparison:
    """What both looks at a day found: the second one's findings that the first one had too, by the smaller drift.

    Where a look has more differences than it lists, the smaller totals stand for what both found.
    """
    scopes = {}
    for scope, look in second.scopes.items():
        before = TierComparison() if first is None else first.scopes.get(scope, TierComparison())
        known = {finding.key: finding.drift for finding in before.findings}
        findings = tuple(
            replace(finding, drift=min(finding.drift, known[finding.key])) for finding in look.findings if finding.key in known
        )
        if look.listed and before.listed:
            differing, drift = len(findings), sum(finding.drift for finding in findings)
        else:
            differing, drift = min(before.differing, look.differing), min(before.drift, look.drift)
        scopes[scope] = replace(look, differing=differing, drift=drift, stuck=min(look.stuck, differing), findings=findings)
    return DayComparison(second.day, scopes, second.by_time)


@dataclass(slots=True)
class DriftTracker:
    """What the continuous audit knows: which days there are, when each was last looked at, and what is confirmed of it.

    A day's drift stands until a later look takes it back; days that are gone take theirs along.
    """

    _last: dict[dt.date, int] = field(default_factory=dict)  # day -> number of the look, 0 for none
    _suspects: dict[dt.date, DayComparison] = field(default_factory=dict)
    _confirmed: dict[dt.date, DayComparison] = field(default_factory=dict)
    _looks: int = 0
    _known_at: int = 0  # number of the look at which all days were last listed

    @property
    def round_done(self) -> bool:
        """Whether every day was looked at since ``know`` named them, so that it is time to name them again."""
        return all(number > self._known_at for number in self._last.values())

    def know(self, days: Iterable[dt.date]) -> None:
        """These are all the days there are."""
        self._last = {day: self._last.get(day, 0) for day in days}
        self._known_at = self._looks
        for gone in {*self._suspects, *self._confirmed} - set(self._last):
            self._suspects.pop(gone, None)
            self._confirmed.pop(gone, None)

    def plan(self, touched: Sequence[dt.date]) -> list[list[dt.date]]:
        """Days to look at next, in three queues: suspects, days that events arrived for lately, all others.

        Within a queue the day that was not looked at for longest comes first; none is in two of them.
        """
        for day in touched:
            self._last.setdefault(day, 0)
        suspects = set(self._suspects)
        lately = set(touched) - suspects
        others = set(self._last) - suspects - lately
        return [sorted(queue, key=lambda day: (self._last[day], day)) for queue in (suspects, lately, others)]

    def looked(self, look: DayComparison) -> DayComparison:
        """Take a look in; returns what is confirmed of the day from now on."""
        self._looks += 1
        self._last[look.day] = self._looks
        found = confirmed(self._suspects.pop(look.day, None), look)
        if look.drift:
            self._suspects[look.day] = look
        if found.drift:
            self._confirmed[look.day] = found
        else:
            self._confirmed.pop(look.day, None)
        return found

    def confirmed_drift(self, day: dt.date) -> int:
        """Events by which a day's tallies are wrong, as far as two looks agree."""
        return self._confirmed[day].drift if day in self._confirmed else 0

    def drift(self) -> dict[Tier, int]:
        """Events by which tallies are wrong, by scope; every scope is there."""
        return {
            scope: sum(look.scopes[scope].drift for look in self._confirmed.values() if scope in look.scopes) for scope in Tier
        }
