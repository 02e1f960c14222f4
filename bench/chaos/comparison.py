"""Compares ClickHouse with what was sent: nothing lost, nothing double, every figure in every tier the one of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.chaos.identity import IDENTITY
from bench.chaos.traffic import Traffic
from deploy.native.services.clickhouse_server import ClickHouseServer
from producers.portals.tier_truth import TALLIED, TIERS, Key, figure_differences, read_table, table_sql
from producers.portals.truth_comparison import shortened


@dataclass(frozen=True, slots=True)
class Comparison:
    """Totals and differences.

    ``messages`` in Kafka (repeats included), ``expected`` distinct messages of them, ``raw`` rows before merges, ``distinct``
    messages stored. ``events``: distinct events, ``tallied`` by tier. ``lost``: expected messages that are not stored.
    ``double``: events above the expected number of an agency's minute, day or day and procedure, in the worst tier. ``figures``:
    how many figures were compared with the ledger. ``wrong``: agencies with any figure that is not the true one, by tier.
    ``differences``: the first of them, as sentences.
    """

    messages: int
    expected: int
    raw: int
    distinct: int
    events: int
    tallied_minutes: int
    tallied_days: int
    tallied_procedures: int
    lost: int
    double: int
    figures: int
    wrong: Mapping[str, tuple[str, ...]]
    differences: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing is lost, nothing double and every figure is the true one."""
        tallied = {self.tallied_minutes, self.tallied_days, self.tallied_procedures}
        counted = self.distinct == self.expected and tallied == {self.events}
        return counted and not (self.lost or self.double or any(self.wrong.values()) or self.differences)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(traffic: Traffic, server: ClickHouseServer, database: str) -> Comparison:
    """Compare every number; the traffic must be paused.

    Raises:
        UnavailableError: ClickHouse refuses a query.
    """
    true = traffic.tables()
    found = {table: read_table(table, server.query(table_sql(database, table), timeout=120)) for table in TIERS}
    answer = server.query(f"SELECT {IDENTITY} FROM {database}.dossier_messages FINAL", timeout=120)
    stored = np.array(answer.split(), np.uint64)
    due = {table: _events(true[table]) for table in TIERS}
    is_ = {table: _events(found[table]) for table in TIERS}
    differences = [f"{table}: {difference}" for table in TIERS for difference in figure_differences(true[table], found[table])]
    return Comparison(
        messages=traffic.sent.acknowledged,
        expected=traffic.sent.distinct,
        raw=int(server.query(f"SELECT count() FROM {database}.dossier_messages", timeout=120)),
        distinct=len(stored),
        events=traffic.sent.events,
        tallied_minutes=sum(is_["agency_minute"].values()),
        tallied_days=sum(is_["agency_day"].values()),
        tallied_procedures=sum(is_["agency_day_procedure"].values()),
        lost=len(np.setdiff1d(traffic.sent.identities(), stored)),
        double=max(excess(due[table], is_[table]) for table in TIERS),
        figures=sum(len(true[table]) * len(TALLIED) for table in TIERS),
        wrong={table: wrong_agencies(true[table], found[table]) for table in TIERS},
        differences=tuple(shortened(differences)),
    )


def _events(figures: Mapping[Key, tuple[int, ...]]) -> dict[Key, int]:
    """Key -> events."""
    place = TALLIED.index("events")
    return {key: counts[place] for key, counts in figures.items()}


def excess(expected: Mapping[Any, int], found: Mapping[Any, int]) -> int:
    """Events counted above what was expected, summed over the keys that have too many."""
    return sum(max(0, events - expected.get(key, 0)) for key, events in found.items())


def wrong_agencies(expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> tuple[str, ...]:
    """Agencies (first part of every key) with figures that are not exact; keys without anything above 0 are omitted."""
    return tuple(sorted({key[0] for key in {*expected, *found} if expected.get(key) != found.get(key)}))
