"""Drift: decides which differences between tallies and stored events are faults, and which day is compared next.

A tally is right when each of its counts lies between the events that must be counted by now and all stored events. Events that
the workers' group has not acknowledged need not be counted yet: a tally that lacks some of these is late, not wrong. A
difference becomes drift when two comparisons, at least the settling time apart, both find it. The smaller of the two differences
counts, because tallies and events are not read at the same instant.

This module reads neither a clock nor the storage.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain.tiers import Tier
from pipeline.audit.dossier_check import DossierFaults
from sinks.contract.audit import Comparison, HashShard


@dataclass(frozen=True, slots=True)
class DayComparison:
    """One comparison of one civil day in every tier.

    ``fallback_reason``: why Kafka could not say which events the workers have in hand, so that the age of events decided which
    must be tallied. Empty when Kafka could say it.
    """

    day: dt.date
    tiers: Mapping[Tier, Comparison]
    fallback_reason: str = ""

    @property
    def drift(self) -> int:
        """Events by which tallies are wrong, summed over the tiers; plus and minus do not cancel."""
        return sum(found.drift for found in self.tiers.values())

    @property
    def late(self) -> int:
        """Events by which tallies are late without being wrong, summed over the tiers."""
        return sum(found.late for found in self.tiers.values())

    @property
    def stuck(self) -> int:
        """Number of wrong tallies that a recount replaces only after the epoch was raised."""
        return sum(found.stuck for found in self.tiers.values())

    @property
    def agencies(self) -> tuple[str, ...] | None:
        """Agencies with a wrong tally, ascending; None when tallies are late or not all differences are listed: recount all."""
        if self.late or not all(found.complete for found in self.tiers.values()):
            return None
        return tuple(sorted({difference.agency for found in self.tiers.values() for difference in found.differences}))


def confirmed(first: DayComparison | None, second: DayComparison) -> DayComparison:
    """What two comparisons of a day both found: the differences of ``second`` that ``first`` has too, with the smaller drift.

    When one of them found more differences than it lists, the smaller totals of the two count instead.
    """
    tiers = {}
    for tier, after in second.tiers.items():
        before = Comparison() if first is None else first.tiers.get(tier, Comparison())
        known = {difference.key: difference.drift for difference in before.differences}
        differences = tuple(
            replace(difference, drift=min(difference.drift, known[difference.key]))
            for difference in after.differences
            if difference.key in known
        )
        if after.complete and before.complete:
            differing, drift = len(differences), sum(difference.drift for difference in differences)
        else:
            differing, drift = min(before.differing, after.differing), min(before.drift, after.drift)
        stuck = min(after.stuck, differing)
        tiers[tier] = replace(after, differing=differing, drift=drift, stuck=stuck, differences=differences)
    return DayComparison(second.day, tiers, second.fallback_reason)


@dataclass(slots=True)
class DriftTracker:
    """Keeps for the continuous audit the days, the order in which they were last compared, and the confirmed drift of each.

    The drift of a day stays until a later comparison no longer finds it, or until the day is no longer listed.
    """

    _last: dict[dt.date, int] = field(default_factory=dict)  # day -> number of its last comparison, 0 for none
    _suspects: dict[dt.date, DayComparison] = field(default_factory=dict)
    _confirmed: dict[dt.date, DayComparison] = field(default_factory=dict)
    _comparisons: int = 0
    _days_set_at: int = 0  # number of the comparison at which all days were last listed

    @property
    def round_done(self) -> bool:
        """Whether every day was compared since ``set_days``, so that the days should be listed again."""
        return all(number > self._days_set_at for number in self._last.values())

    def set_days(self, days: Iterable[dt.date]) -> None:
        """Replace the list of days; forget the drift of days that are not in it."""
        self._last = {day: self._last.get(day, 0) for day in days}
        self._days_set_at = self._comparisons
        for gone in {*self._suspects, *self._confirmed} - set(self._last):
            self._suspects.pop(gone, None)
            self._confirmed.pop(gone, None)

    def plan(self, touched: Sequence[dt.date]) -> list[list[dt.date]]:
        """Days to compare next, in three queues: days whose last comparison differed, other days in ``touched``, all others.

        ``touched``: days that recently received events.

        Within a queue the day whose last comparison is oldest comes first. Each day is in one queue.
        """
        for day in touched:
            self._last.setdefault(day, 0)
        suspects = set(self._suspects)
        recent = set(touched) - suspects
        others = set(self._last) - suspects - recent
        return [sorted(queue, key=lambda day: (self._last[day], day)) for queue in (suspects, recent, others)]

    def record(self, comparison: DayComparison) -> DayComparison:
        """Add a comparison; return what this and the comparison before confirm of the day."""
        self._comparisons += 1
        self._last[comparison.day] = self._comparisons
        found = confirmed(self._suspects.pop(comparison.day, None), comparison)
        if comparison.drift:
            self._suspects[comparison.day] = comparison
        if found.drift:
            self._confirmed[comparison.day] = found
        else:
            self._confirmed.pop(comparison.day, None)
        return found

    def confirmed_drift(self, day: dt.date) -> int:
        """Events by which the tallies of a day are wrong, as confirmed by two comparisons."""
        return self._confirmed[day].drift if day in self._confirmed else 0

    def drift(self) -> dict[Tier, int]:
        """Confirmed drift in events, by tier; every tier is present."""
        return {tier: sum(found.tiers[tier].drift for found in self._confirmed.values() if tier in found.tiers) for tier in Tier}


@dataclass(slots=True)
class ShareTracker:
    """Keeps for the continuous audit the shares of dossiers, which are still to be checked, and the confirmed faults of each.

    The faults of a share stay until a later check no longer finds them. When the number of shares changes at the beginning of a
    round, all faults are forgotten, and each is confirmed again only after two checks.
    """

    _count: int = 0
    _waiting: list[HashShard] = field(default_factory=list)
    _suspects: dict[HashShard, DossierFaults] = field(default_factory=dict)
    _confirmed: dict[HashShard, DossierFaults] = field(default_factory=dict)

    @property
    def round_done(self) -> bool:
        """Whether every share was checked since ``begin_round``."""
        return not self._waiting

    @property
    def faults(self) -> int:
        """Number of confirmed faults of all shares."""
        return sum(found.total for found in self._confirmed.values())

    def begin_round(self, shares: int) -> None:
        """Begin a round in which every share is checked once; ``shares``: the number of shares that is wanted."""
        if shares > self._count or shares < self._count // 2:
            self._count = shares
            self._suspects.clear()
            self._confirmed.clear()
        self._waiting = [HashShard(number, self._count) for number in range(self._count)]

    def plan(self) -> list[HashShard]:
        """Shares to check next: first those whose last check found faults, then those not checked in this round."""
        suspects = list(self._suspects)
        return suspects + [shard for shard in self._waiting if shard not in self._suspects]

    def record(self, shard: HashShard, found: DossierFaults) -> DossierFaults:
        """Add a check; return the faults of the share that this and the check before confirm."""
        self._waiting = [other for other in self._waiting if other != shard]
        before = self._suspects.pop(shard, DossierFaults())
        confirmed = found.confirming(before)
        if found.total:
            self._suspects[shard] = found
        if confirmed.total:
            self._confirmed[shard] = confirmed
        else:
            self._confirmed.pop(shard, None)
        return confirmed
