"""Compares ClickHouse with what was sent: nothing lost, nothing double, every agency exact in every tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.chaos.traffic import Traffic
from deploy.native.services.clickhouse_server import ClickHouseServer

#: An event's number: the last twelve digits of its identity.
_NUMBER = "reinterpretAsUInt64(reverse(unhex(substring(toString(event_id), 25, 12))))"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Totals and differences.

    ``messages`` in Kafka (repeats included), ``expected`` distinct events of them, ``raw`` rows before merges, ``distinct``
    events stored, ``tallied`` by tier. ``lost``: expected events that are not stored. ``double``: events above the expected
    number of an agency's minute, day or day and procedure, in the worst tier. ``wrong``: agencies with any number that is not
    exact, by tier.
    """

    messages: int
    expected: int
    raw: int
    distinct: int
    tallied_minutes: int
    tallied_days: int
    tallied_procedures: int
    lost: int
    double: int
    wrong: Mapping[str, tuple[str, ...]]

    @property
    def exact(self) -> bool:
        """Whether nothing is lost, nothing double and every number is the expected one."""
        totals = {self.distinct, self.tallied_minutes, self.tallied_days, self.tallied_procedures}
        return totals == {self.expected} and not (self.lost or self.double or any(self.wrong.values()))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(traffic: Traffic, server: ClickHouseServer, database: str) -> Comparison:
    """Compare every number; the traffic must be paused.

    Raises:
        UnavailableError: ClickHouse refuses a query.
    """
    expected = traffic.expected()

    def rows(sql: str) -> list[list[str]]:
        return [line.split("\t") for line in server.query(sql.format(db=database), timeout=120).splitlines()]

    tiers: dict[str, tuple[dict[Any, int], dict[Any, int]]] = {
        "agency_minute": (
            {**expected.minutes()},
            {
                (agency, int(minute)): int(events)
                for agency, minute, events in rows("SELECT agency, toUnixTimestamp(minute), events FROM {db}.agency_minute FINAL")
            },
        ),
        "agency_day": (
            {**expected.days()},
            {
                (agency, int(day)): int(events)
                for agency, day, events in rows("SELECT agency, toInt32(day), events FROM {db}.agency_day FINAL")
            },
        ),
        "agency_day_procedure": (
            {**expected.procedures()},
            {
                (agency, int(day), procedure): int(events)
                for agency, day, procedure, events in rows(
                    "SELECT agency, toInt32(day), procedure_code, events FROM {db}.agency_day_procedure FINAL"
                )
            },
        ),
    }
    stored = np.array([int(number) for (number,) in rows(f"SELECT {_NUMBER} FROM {{db}}.dossier_events FINAL")], np.int64)
    ((raw,),) = rows("SELECT count() FROM {db}.dossier_events")
    return Comparison(
        messages=traffic.messages,
        expected=len(expected.agency),
        raw=int(raw),
        distinct=len(stored),
        tallied_minutes=sum(tiers["agency_minute"][1].values()),
        tallied_days=sum(tiers["agency_day"][1].values()),
        tallied_procedures=sum(tiers["agency_day_procedure"][1].values()),
        lost=len(np.setdiff1d(traffic.numbers(), stored)),
        double=max(excess(*tier) for tier in tiers.values()),
        wrong={name: wrong_agencies(*tier) for name, tier in tiers.items()},
    )


def excess(expected: Mapping[Any, int], found: Mapping[Any, int]) -> int:
    """Events counted above what was expected, summed over the keys that have too many."""
    return sum(max(0, events - expected.get(key, 0)) for key, events in found.items())


def wrong_agencies(expected: Mapping[Any, int], found: Mapping[Any, int]) -> tuple[str, ...]:
    """Agencies (first part of every key) with a number that is not exact."""
    return tuple(sorted({key[0] for key in {*expected, *found} if expected.get(key, 0) != found.get(key, 0)}))
