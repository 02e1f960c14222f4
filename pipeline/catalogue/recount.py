"""Counts stored dossiers again with a catalogue that was loaded, a civil day at a time, as a worker would.

Each step may be repeated, and workers may write meanwhile: DECISIONS.md says why that is enough. A recount is finished when all
its days are done; loading the same file again finishes one that broke off.
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
    """What a recount is about.

    Attributes:
        loads: the load of each agency with which all its dossiers are going to be counted.
        days: the civil days to be done, and the number of messages of each.
    """

    loads: Mapping[str, Generation] = field(default_factory=dict)
    days: Mapping[dt.date, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LevelChanges:
    """Dossiers that are toàn trình with a catalogue and were not with the one before it, and the reverse.

    By unit and first day of the month of the settled event.
    """

    to_full: Counter[tuple[str, dt.date]] = field(default_factory=Counter)
    from_full: Counter[tuple[str, dt.date]] = field(default_factory=Counter)

    def __add__(self, other: LevelChanges) -> LevelChanges:
        """Both together; their dossiers are different ones."""
        return LevelChanges(self.to_full + other.to_full, self.from_full + other.from_full)

    def as_list(self) -> list[dict[str, Any]]:
        """Plain values, by month and unit."""
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
    """The steps of a recount, here or in a running process."""

    def unfinished(self) -> Collection[str]:
        """The agencies whose stored dossiers were not all counted with their last load."""
        ...

    def plan(self, agencies: Collection[str]) -> RecountPlan:
        """What must be counted again for these agencies; nothing when their recounts are finished."""
        ...

    def recount_day(self, day: dt.date, agencies: Collection[str]) -> LevelChanges:
        """Count the dossiers of a day again that a changed level may touch."""
        ...

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that all days of a plan are done."""
        ...


def recount_all(
    steps: RecountSteps, agencies: Collection[str], *, advance: Callable[[int, int], None] = lambda _done, _all: None
) -> LevelChanges:
    """Count everything again that the last loads of some agencies touch; returns what changed.

    ``advance`` is told after each day, and before the first, how many messages are done and how many there are.

    Raises:
        SinkError: the storage does not answer. The same call again finishes it.
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
        recounts: knows what a load changed.
        index: the index of dossiers.
        recount: counts a civil day of some agencies again in every tier.
    """

    def __init__(
        self, recounts: CatalogueRecounts, *, index: DossierIndex, recount: Callable[[dt.date, tuple[str, ...]], object]
    ) -> None:
        self._recounts, self._index, self._recount = recounts, index, recount
        self._resolver = DossierResolver(index)

    def unfinished(self) -> Collection[str]:
        """The agencies whose stored dossiers were not all counted with their last load."""
        return sorted(self._recounts.unfinished())

    def plan(self, agencies: Collection[str]) -> RecountPlan:
        """What must be counted again. The loads are read before the days, so each day belongs to one of them or a later one."""
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
        """The steps of ``recount_day``, pausing between any two effects, so that a test can end them anywhere."""
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
        """Record finished recounts."""
        self._recounts.finish(loads)


def changes_between(histories: pa.Table, day: dt.date, before: CatalogueLevels, after: CatalogueLevels) -> LevelChanges:
    """What two catalogues make different of the dossiers that are settled on a day.

    Args:
        histories: all messages and decisions of dossiers (``DossierIndex.histories``).
        day: the civil day.
        before: the levels of one catalogue.
        after: those of the other one.
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
    """The civil days of corrected messages, ascending, and the agencies of each."""
    found: dict[dt.date, set[str]] = {}
    for number, agency in zip(civil_day_numbers(corrected.instants).tolist(), corrected.agencies.to_pylist(), strict=True):
        found.setdefault(civil_day_of_number(number), set()).add(agency)
    return {day: tuple(sorted(found[day])) for day in sorted(found)}
