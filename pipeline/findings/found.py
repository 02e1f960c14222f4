"""The result of a search for findings: numbers of dossiers by unit, day and kind, with examples, also as JSON."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from domain.findings import WITHOUT_EVENT, FindingKind

#: Examples of each kind.
EXAMPLES: Final = 5
#: Codes of each kind that is about a code: they are listed, because no day and no unit leads to them.
LISTED: Final = 500


def examples_of(kind: FindingKind) -> int:
    """How many dossiers with a finding of a kind are named at most."""
    return LISTED if kind in WITHOUT_EVENT else EXAMPLES


class Place(NamedTuple):
    """The unit and day for which dossiers with a finding are counted; None for findings about a code, not an event."""

    agency: str | None
    day: dt.date | None


@dataclass(frozen=True, slots=True)
class Example:
    """A dossier with a finding, and the place where it is counted. ``code`` is empty when its messages are deleted by now."""

    code: str
    place: Place


@dataclass(frozen=True, slots=True)
class Found:
    """Findings of some dossiers.

    Attributes:
        dossiers: (unit and day, kind) -> number of dossiers, above 0.
        examples: kind -> some dossiers.
    """

    dossiers: Mapping[tuple[Place, FindingKind], int] = field(default_factory=dict)
    examples: Mapping[FindingKind, tuple[Example, ...]] = field(default_factory=dict)

    def __add__(self, other: Found) -> Found:
        """The sum of two results about different dossiers; of each kind at most ``examples_of`` examples."""
        dossiers = Counter(self.dossiers)
        dossiers.update(other.dossiers)
        return Found(
            dossiers,
            {
                kind: (*self.examples.get(kind, ()), *other.examples.get(kind, ()))[: examples_of(kind)]
                for kind in FindingKind
                if kind in self.examples or kind in other.examples
            },
        )

    def without_days(self) -> Found:
        """The result with the numbers summed over the days."""
        dossiers: Counter[tuple[Place, FindingKind]] = Counter()
        for (place, kind), number in self.dossiers.items():
            dossiers[Place(place.agency, None), kind] += number
        return Found(dossiers, self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON. Rows without a day have no field ``day``."""
        order = {kind: number for number, kind in enumerate(FindingKind)}
        rows = sorted(self.dossiers.items(), key=lambda row: (*_texts(row[0][0]), order[row[0][1]]))
        return {
            "findings": [{**_place(place), "kind": kind.value, "dossiers": number} for (place, kind), number in rows],
            "examples": {
                kind.value: [{"dossier_code": example.code, **_place(example.place)} for example in self.examples[kind]]
                for kind in FindingKind
                if kind in self.examples
            },
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Found:
        """The reverse of ``as_dict``."""
        return cls(
            {(_place_of(row), FindingKind(row["kind"])): row["dossiers"] for row in fields["findings"]},
            {
                FindingKind(kind): tuple(Example(example["dossier_code"], _place_of(example)) for example in examples)
                for kind, examples in fields["examples"].items()
            },
        )

    def by_kind(self) -> Iterator[tuple[FindingKind, int]]:
        """Each kind, and the number of its dossiers in all units and days."""
        totals: Counter[FindingKind] = Counter()
        for (_, kind), number in self.dossiers.items():
            totals[kind] += number
        for kind in FindingKind:
            yield kind, totals[kind]


def _texts(place: Place) -> tuple[str, str]:
    return place.agency or "", place.day.isoformat() if place.day else ""


def _place(place: Place) -> dict[str, Any]:
    return {"agency": place.agency, **({"day": place.day.isoformat()} if place.day else {})}


def _place_of(fields: Mapping[str, Any]) -> Place:
    return Place(fields["agency"], dt.date.fromisoformat(fields["day"]) if "day" in fields else None)
