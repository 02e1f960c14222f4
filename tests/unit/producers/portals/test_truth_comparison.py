"""What was found is compared with the truth place by place; a difference is one sentence."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from producers.portals.truth import Truth
from producers.portals.truth_comparison import (
    TALLIED,
    finding_differences,
    read_tallies,
    report_differences,
    shortened,
    tallies_sql,
    tally_differences,
)

MONDAY, TUESDAY = dt.date(2025, 2, 3), dt.date(2025, 2, 4)
TRUTH = Truth(
    "test",
    1,
    9,
    40,
    {
        ("H17", MONDAY): {"events": 12, "submitted": 4, "submitted_online": 3, "settled": 3, "settled_full": 2, "reopened": 1},
        ("G02", TUESDAY): {"events": 9, "submitted": 5, "submitted_online": 5, "settled": 1},
    },
)
PERIOD = {"first": dt.date(2025, 2, 1), "last": dt.date(2025, 2, 28), "registry": AgencyRegistry.packaged()}


def found(**changes):
    """What the truth says, with changes at H17 on Monday."""
    places = {place: dict(counts) for place, counts in TRUTH.by_place.items()}
    places["H17", MONDAY].update(changes)
    return places


def row(scope, code, i1, i5):
    """A row of a report."""
    figures = {"I1": i1, "I5": i5}
    return {
        "scope": scope,
        "code": code,
        "indicators": {name: {"numerator": pair[0], "denominator": pair[1]} for name, pair in figures.items()},
    }


ROWS = (
    row("agency", "H17", (2, 3), (3, 4)),
    row("agency", "G02", (0, 1), (5, 5)),
    row("agency", "G01", (0, 0), (0, 0)),
    row("block", "province", (2, 3), (3, 4)),
    row("block", "ministry", (0, 1), (5, 5)),
    row("nation", "VN", (2, 4), (8, 9)),
)


def test_equal_tallies_have_no_differences():
    """Nothing is said when every count of every place is right."""
    assert not tally_differences(TRUTH, found())
    assert not finding_differences(TRUTH, {("H17", MONDAY): {"reopened": 1}})
    assert not report_differences(TRUTH, ROWS, **PERIOD)


def test_every_wrong_missing_or_surplus_count_is_a_sentence():
    """One too many, one missing, and a place that should not be there."""
    assert tally_differences(TRUTH, found(settled=4)) == ["H17 on 2025-02-03: settled is 4, the truth is 3."]
    assert tally_differences(TRUTH, found(settled=0)) == ["H17 on 2025-02-03: settled is 0, the truth is 3."]
    surplus = found() | {("H26", MONDAY): {"events": 1}}
    assert tally_differences(TRUTH, surplus) == ["H26 on 2025-02-03: events is 1, the truth is 0."]
    assert len(tally_differences(TRUTH, {})) == 9
    assert not tally_differences(TRUTH, found(settled=4), days=(TUESDAY, TUESDAY))


def test_findings_are_compared_by_kind():
    """A finding of another kind, or on another day, is a difference."""
    assert finding_differences(TRUTH, {}) == ["H17 on 2025-02-03: reopened is 0, the truth is 1."]
    assert len(finding_differences(TRUTH, {("H17", TUESDAY): {"reopened": 1}})) == 2
    (unknown, _) = finding_differences(TRUTH, {("H17", MONDAY): {"excluded": 1}})
    assert "excluded" in unknown


@pytest.mark.parametrize("position", range(len(ROWS)))
def test_every_row_of_a_report_counts(position):
    """Agencies, blocks and nation are compared; one numerator too many is named."""
    changed = [dict(row) for row in ROWS]
    old = changed[position]["indicators"]
    changed[position]["indicators"] = {**old, "I1": {**old["I1"], "numerator": 99}}
    differences = report_differences(TRUTH, changed, **PERIOD)
    if ROWS[position]["code"] == "G01":  # an agency that is not in the truth must have nothing
        assert differences == ["G01 from 2025-02-01 to 2025-02-28: I1 is 99 of 0, the truth is 0 of 0."]
    else:
        assert len(differences) == 1


def test_the_answer_of_clickhouse_is_read():
    """The query asks for every count by name, and its lines become places."""
    assert all(name in tallies_sql("p.agency_day") for name in TALLIED)
    lines = [json.dumps({"unit": unit, "day": str(day), **counts}) for (unit, day), counts in TRUTH.by_place.items()]
    assert read_tallies("\n".join(lines)) == TRUTH.by_place


def test_many_differences_are_shortened():
    """Ten are enough to see what is wrong; the rest is counted."""
    assert list(shortened(["a."] * 3)) == ["a."] * 3
    assert list(shortened(["a."] * 30))[10:] == ["... and 20 more differences."]


def test_a_truth_is_read_as_it_was_written(tmp_path):
    """Written and read, it is the same; another file is refused."""
    path = tmp_path / "truth.json"
    TRUTH.write(path)
    assert Truth.read(path) == TRUTH
    path.write_text("[]")
    with pytest.raises(ConfigurationError, match="--truth FILE"):
        Truth.read(path)
