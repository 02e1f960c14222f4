"""Compares the truth of simulated portals with the figures found, unit by unit and day by day; differences are sentences.

Tests, the demo, chaos runs and benches use it. The figures found come from tallies (``tallies_sql`` and ``read_tallies``), from
findings, or from the report of the HTTP interface.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from domain.agencies import BLOCKS, AgencyRegistry
from domain.indicators import INDICATORS, Ratio
from producers.portals.ledger import COUNTS, FINDINGS
from producers.portals.truth import Place, Truth

#: What a tally counts.
TALLIED: Final = ("events", *COUNTS)
NATION: Final = "nation"
#: How many differences ``shortened`` shows.
_SHOWN: Final = 10


def tallies_sql(table: str) -> str:
    """A query that returns every count of the day tallies; ``read_tallies`` reads the answer.

    Args:
        table: with its database, e.g. ``portalpulse.agency_day``.
    """
    return f"SELECT agency AS unit, toString(day) AS day, {', '.join(TALLIED)} FROM {table} FINAL FORMAT JSONEachRow"  # noqa: S608


def read_tallies(answer: str) -> dict[Place, dict[str, int]]:
    """(unit, day) -> counts, from the answer to ``tallies_sql`` (one JSON object a line)."""
    found: dict[Place, dict[str, int]] = {}
    for line in answer.splitlines():
        row = json.loads(line)
        place = row.pop("unit"), dt.date.fromisoformat(row.pop("day"))
        found[place] = {name: int(number) for name, number in row.items()}
    return found


def tally_differences(
    truth: Truth,
    found: Mapping[Place, Mapping[str, int]],
    *,
    names: Sequence[str] = TALLIED,
    days: tuple[dt.date, dt.date] | None = None,
) -> list[str]:
    """A sentence for every count of a unit and day that differs from the true one; empty when all are equal.

    Args:
        truth: what must be found.
        found: (unit, day) -> counts; a missing place or count is 0.
        names: the counts to compare.
        days: compare only these days, first and last included; None: all.
    """
    places = sorted({*truth.by_place, *found})
    return [
        f"{unit} on {day}: {name} is {is_:,}, the truth is {due:,}."
        for unit, day in places
        if days is None or days[0] <= day <= days[1]
        for name in names
        if (is_ := found.get((unit, day), {}).get(name, 0)) != (due := truth.by_place.get((unit, day), {}).get(name, 0))
    ]


def finding_differences(truth: Truth, found: Mapping[Place, Mapping[str, int]]) -> list[str]:
    """A sentence for every unit, day and kind of finding whose number of dossiers differs from the true one.

    Args:
        truth: what must be found.
        found: (unit, day) -> kind of the finding -> dossiers.
    """
    unknown = sorted({kind for kinds in found.values() for kind in kinds} - {*FINDINGS})
    return [
        *(f"There are findings of the kind {kind}, which the portals do not send." for kind in unknown),
        *tally_differences(truth, found, names=FINDINGS),
    ]


def report_differences(
    truth: Truth, rows: Iterable[Mapping[str, Any]], *, first: dt.date, last: dt.date, registry: AgencyRegistry
) -> list[str]:
    """A sentence for every numerator and denominator of a report that differs from the true one.

    Args:
        truth: what must be found.
        rows: the rows of a report of the period, as the HTTP interface gives them.
        first: the first day of the period.
        last: the last day of the period, included.
        registry: tells the block of each agency.
    """
    reported = {
        (row["scope"], row["code"], indicator): (figure["numerator"], figure["denominator"])
        for row in rows
        for indicator, figure in row["indicators"].items()
    }
    true = _ratios(truth, first, last, registry)
    return [
        f"{key[1]} from {first} to {last}: {key[2]} is {_shown(is_)}, the truth is {_shown(due)}."
        for key in sorted({*true, *reported})
        if (is_ := reported.get(key, (0, 0))) != (due := true.get(key, (0, 0)))
    ]


def _ratios(truth: Truth, first: dt.date, last: dt.date, registry: AgencyRegistry) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(scope, code, indicator) -> the true numerator and denominator."""
    sums: dict[tuple[str, str, str], Ratio] = {}
    units = truth.of_units(first, last)
    for indicator in INDICATORS.values():
        for scope, code in (*(("block", block) for block in BLOCKS), (NATION, "VN")):
            sums[scope, code, indicator.code] = Ratio(0, 0)
        for unit, counts in units.items():
            ratio = Ratio(counts.get(indicator.numerator, 0), counts.get(indicator.denominator, 0))
            sums["agency", unit, indicator.code] = ratio
            sums["block", registry.spans(unit)[-1].block, indicator.code] += ratio
            sums[NATION, "VN", indicator.code] += ratio
    return {key: (ratio.numerator, ratio.denominator) for key, ratio in sums.items()}


def _shown(ratio: tuple[int, int]) -> str:
    return f"{ratio[0]:,} of {ratio[1]:,}"


def shortened(differences: Sequence[str], *, shown: int = _SHOWN) -> Iterator[str]:
    """The first ``shown`` differences, then a line that tells how many more there are."""
    yield from differences[:shown]
    if len(differences) > shown:
        yield f"... and {len(differences) - shown:,} more differences."
