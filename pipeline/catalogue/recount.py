"""Counts stored dossiers again with a newly loaded catalogue, one civil day at a time, as a worker would count them.

Each step may be repeated, and workers may write meanwhile: DECISIONS.md says why the result is right all the same. A recount is
finished when all its days are done. A recount that broke off is finished by loading the same file again.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels, Generation
from domain.dossier_columns import BITS, count_bits
from domain.periods import civil_day_of_number
from pipeline.ingest.dossier_resolver import Corrected, DossierResolver
from pipeline.ingest.dossier_rows import decision_columns, distinct_messages, message_columns
from sinks.contract.catalogue_recounts import CatalogueRecounts
from sinks.contract.dossiers import DossierIndex
from sinks.contract.exclusions import is_decision
from sinks.contract.level_notes import civil_day_numbers, is_message

_FULL = np.uint16(1 << BITS.index("settled_full_any_return"))


@dataclass(frozen=True, slots=True)
class RecountPlan:
    """The agencies and days of a recount.

    Attributes:
        loads: agency -> the load with which its stored dossiers are to be counted.
        days: civil day to recount -> number of its messages.
    """

    loads: Mapping[str, Generation] = field(default_factory=dict)
    days: Mapping[dt.date, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LevelChanges:
    """Numbers of dossiers that a new catalogue makes toàn trình (``to_full``) or no longer toàn trình (``from_full``).

    Keys are the unit of the settled event and the first day of its month.
    """

    to_full: Counter[tuple[str, dt.date]] = field(default_factory=Counter)
    from_full: Counter[tuple[str, dt.date]] = field(default_factory=Counter)

    def __add__(self, other: LevelChanges) -> LevelChanges:
        """The sum of two results about different dossiers."""
        return LevelChanges(self.to_full + other.to_full, self.from_full + other.from_full)

    def as_list(self) -> list[dict[str, Any]]:
        """The numbers as plain values, sorted by month and unit."""
        keys = sorted(self.to_full.keys() | self.from_full.keys(), key=lambda key: (key[1], key[0]))
        return [
            {
                "month": f"{month:%Y-%m}",
                "agency_code": agency,
                "to_full": self.to_full[agency, month],
                "from_full": self.from_full[agency, month],
            }
            for agency, month in keys
        ]

    @classmethod
    def from_list(cls, rows: Collection[Mapping[str, Any]]) -> LevelChanges:
        """The reverse of ``as_list``."""
        found = cls()
        for row in rows:
            key = row["agency_code"], dt.date.fromisoformat(f"{row['month']}-01")
            found.to_full[key] += row["to_full"]
            found.from_full[key] += row["from_full"]
        return found


class RecountSteps(Protocol):
    """The steps of a recount, done in this process or in a running one."""

    def unfinished(self) -> Collection[str]:
        """The agencies whose stored dossiers have not all been counted with the agency's last load."""
        ...

    def plan(self, agencies: Collection[str]) -> RecountPlan:
        """The plan of the recounts of these agencies; without loads and days when their recounts are finished."""
        ...

    def recount_day(self, day: dt.date, agencies: Collection[str]) -> LevelChanges:
        """Count again the dossiers of a day whose level may have changed; return which became toàn trình, or no longer are."""
        ...

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that the recounts with these loads are finished."""
        ...


def recount_all(
    steps: RecountSteps, agencies: Collection[str], *, advance: Callable[[int, int], None] = lambda _done, _all: None
) -> LevelChanges:
    """Count again all dossiers that the last loads of some agencies may change; return what changed.

    ``advance`` is called before the first day and after each day, with the number of messages that are done and of all.

    Raises:
        SinkError: the storage does not answer. The same call later finishes the recount.
    """
    plan = steps.plan(agencies)
    total, done, found = sum(plan.days.values()), 0, LevelChanges()
    advance(0, total)
    for day, messages in plan.days.items():
        found += steps.recount_day(day, sorted(plan.loads))
        done += messages
        advance(done, total)
    if plan.loads:
        steps.finish(plan.loads)
    return found


class CatalogueRecount:
    """Implements ``RecountSteps`` on the storage.

    Args:
        recounts: the storage's record of loads and of unfinished recounts.
        index: the index of dossiers.
        recount: counts a civil day of some agencies again in every tier.
    """

    def __init__(
        self, recounts: CatalogueRecounts, *, index: DossierIndex, recount: Callable[[dt.date, tuple[str, ...]], object]
    ) -> None:
        self._recounts, self._index, self._recount = recounts, index, recount
        self._resolver = DossierResolver(index)

    def unfinished(self) -> Collection[str]:
        """The agencies whose stored dossiers have not all been counted with the agency's last load, sorted."""
        return sorted(self._recounts.unfinished())

    def plan(self, agencies: Collection[str]) -> RecountPlan:
        """The plan of the recounts. Loads are read before days, so that no day that these loads change is missing."""
        loads = self._recounts.unfinished(agencies)
        return RecountPlan(loads, self._recounts.days(sorted(loads)) if loads else {})

    def recount_day(self, day: dt.date, agencies: Collection[str]) -> LevelChanges:
        """Count a day again; see ``day_steps``."""
        steps = self.day_steps(day, agencies)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast("LevelChanges", end.value)

    def day_steps(self, day: dt.date, agencies: Collection[str]) -> Generator[str, None, LevelChanges]:
        """``recount_day`` as a generator that pauses after every write, so that a test can end it there."""
        before, after = self._recounts.levels_before(agencies), self._recounts.levels(agencies)
        found, parts = LevelChanges(), []
        for dossiers in self._recounts.dossiers(agencies, day):
            found += changes_between(self._index.histories(pa.table({"dossier": dossiers})), day, before, after)
            corrected = yield from self._resolver.recount_steps(dossiers)
            if corrected.claims.num_rows:
                parts.append(corrected)
        if not parts:
            return found
        corrected = Corrected.merged(parts)
        for touched, units in days_of(corrected).items():
            self._recount(touched, units)
            yield "recounted"
        self._resolver.confirm(corrected)
        yield "confirmed"
        return found

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that the recounts with these loads are finished."""
        self._recounts.finish(loads)


def changes_between(histories: pa.Table, day: dt.date, before: CatalogueLevels, after: CatalogueLevels) -> LevelChanges:
    """Which dossiers settled on a day are toàn trình with one of two catalogues and not with the other.

    Args:
        histories: all messages and decisions of dossiers (``DossierIndex.histories``).
        day: the civil day.
        before: the levels of the earlier catalogue.
        after: the levels of the later catalogue.
    """
    found = LevelChanges()
    columns, facts = message_columns(histories), histories.column("facts").to_numpy()
    decided = np.flatnonzero(is_decision(facts))
    decisions = decision_columns(columns, decided) if len(decided) else None
    sent = np.flatnonzero(is_message(facts))
    rows, columns = histories.take(pa.array(sent)), columns.take(sent)
    _, first = distinct_messages(columns, rows.column("claim").to_numpy())
    judged = count_bits(columns.take(first), decisions)
    rows = rows.take(pa.array(first)).select(["occurred_at", "agency", "procedure_code"])
    asking = np.flatnonzero(judged.if_full & _FULL)
    rows = rows.take(pa.array(asking))
    days = civil_day_numbers(rows.column("occurred_at").cast(pa.int64()).to_numpy()).tolist()
    for number, agency, procedure in zip(
        days, rows.column("agency").to_pylist(), rows.column("procedure_code").to_pylist(), strict=True
    ):
        if civil_day_of_number(number) != day:  # it is counted on its own day
            continue
        was, is_now = (levels(agency, procedure, day) == "toan_trinh" for levels in (before, after))
        if was != is_now:
            (found.to_full if is_now else found.from_full)[agency, day.replace(day=1)] += 1
    return found


def days_of(corrected: Corrected) -> Mapping[dt.date, tuple[str, ...]]:
    """Civil day -> agencies, of the corrected messages, by day."""
    found: dict[dt.date, set[str]] = {}
    for number, agency in zip(civil_day_numbers(corrected.instants).tolist(), corrected.agencies.to_pylist(), strict=True):
        found.setdefault(civil_day_of_number(number), set()).add(agency)
    return {day: tuple(sorted(found[day])) for day in sorted(found)}
