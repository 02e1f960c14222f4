"""The truth about what simulated portals send: counts and findings by unit and day, and dossier by dossier on request.

``truth.json`` holds only days with a count above 0. ``producers.portals.truth_comparison`` compares it with the figures found.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from domain.errors import ConfigurationError, UnavailableError
from domain.periods import VIETNAM
from pipeline.texts import read_json
from pipeline.whole_files import whole_file, write_whole
from producers.portals.ledger import COUNTS, FINDINGS, MILESTONES, Ledger, level_name
from producers.portals.schedule import date_of
from producers.portals.simulate import ScenarioStream

_SCHEMA: Final = 1

#: Unit and civil day.
Place = tuple[str, dt.date]


@dataclass(frozen=True, slots=True)
class Truth:
    """The counts and findings that the product must find.

    Attributes:
        source: name of the scenario or of the traffic.
        seed: the seed with which the messages were made.
        dossiers: how many dossiers there are.
        messages: how many messages are sent, repeats included.
        by_place: (unit, day) -> name of a count (``events`` included) or finding -> number above 0.
    """

    source: str
    seed: int
    dossiers: int
    messages: int
    by_place: Mapping[Place, Mapping[str, int]]

    @property
    def events(self) -> int:
        """Distinct events, as the tallies count them."""
        return self.total("events")

    def total(self, name: str) -> int:
        """The number of a count or finding over all units and days."""
        return sum(counts.get(name, 0) for counts in self.by_place.values())

    def totals(self) -> dict[str, int]:
        """Name -> number of every count and finding over all units and days."""
        return {name: self.total(name) for name in ("events", *COUNTS, *FINDINGS)}

    def of_units(self, first: dt.date, last: dt.date) -> dict[str, dict[str, int]]:
        """Unit -> counts and findings of a period, both days included."""
        found: dict[str, dict[str, int]] = {}
        for (unit, day), counts in self.by_place.items():
            if first <= day <= last:
                of_unit = found.setdefault(unit, {})
                for name, number in counts.items():
                    of_unit[name] = of_unit.get(name, 0) + number
        return found

    @classmethod
    def of(cls, stream: ScenarioStream, *, seed: int) -> Self:
        """The truth about a scenario."""
        by_place: dict[Place, dict[str, int]] = {}
        for (unit, day), number in stream.events_by_day().items():
            by_place.setdefault((unit, date_of(day)), {})["events"] = number
        for ledger in stream.ledgers:
            for place, name, number in counts_of(ledger):
                counts = by_place.setdefault(place, {})
                counts[name] = counts.get(name, 0) + number
        dossiers = sum(len(portal.plan) for portal in stream.portals)
        return cls(stream.scenario.name, seed, dossiers, stream.total, by_place)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``truth.json``."""
        return {
            "schema": _SCHEMA,
            "source": self.source,
            "seed": self.seed,
            "dossiers": self.dossiers,
            "messages": self.messages,
            "totals": self.totals(),
            "days": [{"unit": unit, "day": day.isoformat(), **counts} for (unit, day), counts in sorted(self.by_place.items())],
        }

    def write(self, path: Path) -> None:
        """Write ``truth.json``.

        Raises:
            UnavailableError: the file cannot be written.
        """
        try:
            write_whole(path, json.dumps(self.as_dict(), indent=1).encode() + b"\n")
        except OSError as error:
            raise UnavailableError(f"{path} cannot be written: {error.strerror}.", remedy="Name another file.") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """The truth in a file of ``write``.

        Raises:
            ConfigurationError: the file is not one that ``write`` wrote.
        """
        try:
            content = read_json(path.read_text(encoding="utf-8"))
            _require_schema(content["schema"])
            by_place = {}
            for row in content["days"]:
                place = row.pop("unit"), dt.date.fromisoformat(row.pop("day"))
                by_place[place] = {name: int(number) for name, number in row.items()}
            return cls(content["source"], content["seed"], content["dossiers"], content["messages"], by_place)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} is not a truth of simulated portals: {error}.",
                remedy="Write one with `portalpulse produce --truth FILE`.",
            ) from error


def _require_schema(schema: object) -> None:
    if schema != _SCHEMA:
        raise ValueError(f"schema {schema} is not {_SCHEMA}")


def counts_of(ledger: Ledger) -> Iterator[tuple[Place, str, int]]:
    """Every number of a ledger: (unit, day), name of the count or finding, number of dossiers."""
    for name, rows, steps in ledger.counts():
        keys = ledger.units[rows, steps].astype(np.int64) << 32 | ledger.days[rows, steps]
        for key, number in zip(*(part.tolist() for part in np.unique(keys, return_counts=True)), strict=True):
            yield (ledger.codes[key >> 32], date_of(key & 0xFFFFFFFF)), name, number


def dossier_records(stream: ScenarioStream) -> Iterator[dict[str, Any]]:
    """For each dossier, one after the other, its true milestones and findings with day and unit."""
    for number, ledger in enumerate(stream.ledgers):
        steps = {name: column.tolist() for name, column in ledger.steps.items()}
        for row in range(len(stream.portals[number].plan)):
            made = {name: column[row] for name, column in steps.items() if column[row] >= 0}
            where = {
                name: {
                    "day": date_of(int(ledger.days[row, step])).isoformat(),
                    "unit": ledger.codes[ledger.units[row, step]],
                }
                for name, step in made.items()
            }
            record: dict[str, Any] = {
                "code": stream.dossier_code(row + int(stream.offsets[number])),
                **{name: where.get(name) for name in MILESTONES},
                "channel": int(ledger.channel[row]) or None,
                "online": bool(ledger.online[row]),
                "level": level_name(int(ledger.level[row])) or None,
                "settled_full": bool(ledger.full[row]),
                "settled_full_any_return": bool(ledger.full_any_return[row]),
                "due_at": None,
                "findings": {name: where[name] for name in FINDINGS if name in where},
            }
            if ledger.due[row] >= 0:
                record["due_at"] = dt.datetime.fromtimestamp(int(ledger.due[row]) / 1000, VIETNAM).isoformat()
            yield record


def write_dossiers(stream: ScenarioStream, path: Path) -> None:
    """Write the true milestones and findings of each dossier as a line of JSON.

    Raises:
        UnavailableError: the file cannot be written.
    """
    try:
        with whole_file(path) as file:
            for record in dossier_records(stream):
                file.write(json.dumps(record).encode() + b"\n")
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {error.strerror}.", remedy="Name another file.") from error
