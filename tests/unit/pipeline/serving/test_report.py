"""The published figures of a period."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json

import pytest

from domain.indicators import INDICATORS, Ratio
from domain.periods import Period
from pipeline.serving.report import build_report, to_csv, to_json
from sinks.contract.tallies import Counts

YEAR = Period(dt.date(2024, 1, 1), dt.date(2024, 8, 20))
OVER_THE_MERGER = Period(dt.date(2025, 1, 1), dt.date(2025, 12, 31))


class Figures:
    """A reader of day tallies that holds these counts."""

    def __init__(self, **counts):
        self.counts = counts

    def counts_of_days(self, first, last):
        self.asked = (first, last)
        return self.counts


def settled(full, total, *, online=0, submitted=0):
    """Counts of an agency."""
    return Counts(events=total + submitted, settled=total, settled_full=full, submitted=submitted, submitted_online=online)


def rows_of(report):
    """The lines of a report by scope and code."""
    return {(row.scope, row.code): row for row in report.rows}


def test_blocks_and_nation_are_pooled(registry):
    """A block's rate is the sum of its counts divided once, never a mean of its agencies' rates."""
    reader = Figures(H17=settled(1, 1), H18=settled(0, 999), G01=settled(10, 1000))
    rows = rows_of(build_report(reader, registry, YEAR))
    assert rows["block", "province"].indicators["I1"] == Ratio(1, 1000)
    assert rows["block", "ministry"].indicators["I1"] == Ratio(10, 1000)
    assert rows["nation", "VN"].indicators["I1"] == Ratio(11, 2000)
    assert reader.asked == (YEAR.start, YEAR.end)


def test_no_data_is_no_zero(registry):
    """Without a denominator there is no percentage; with one and no numerator it is 0.00."""
    figures = build_report(Figures(H17=settled(0, 3)), registry, YEAR).as_dict()
    found = {row["code"]: row["indicators"] for row in figures["rows"]}
    assert found["H17"]["I1"] == {"numerator": 0, "denominator": 3, "percent": "0.00"}
    assert found["H17"]["I5"] == {"numerator": 0, "denominator": 0, "percent": None}
    assert found["H18"]["I1"]["percent"] is None


def test_every_agency_that_reports_is_listed(registry):
    """Agencies without events have a row; the order is agencies by code, blocks, nation."""
    rows = build_report(Figures(), registry, YEAR).rows
    codes = [row.code for row in rows if row.scope == "agency"]
    assert codes == [agency.code for agency in registry.expected(YEAR.end)]
    assert len(codes) == 86
    assert [(row.scope, row.code) for row in rows[-3:]] == [("block", "ministry"), ("block", "province"), ("nation", "VN")]
    assert all(set(row.indicators) == set(INDICATORS) for row in rows)


def test_an_agency_that_need_not_report(registry):
    """An agency that is not expected to report is listed only with figures, and then its block contains them."""
    assert ("agency", "G27") not in rows_of(build_report(Figures(), registry, YEAR))
    assert ("agency", "G27") not in rows_of(build_report(Figures(G27=Counts()), registry, YEAR))
    rows = rows_of(build_report(Figures(G27=settled(3, 10)), registry, YEAR))
    assert rows["agency", "G27"].indicators["I1"] == rows["block", "ministry"].indicators["I1"] == Ratio(3, 10)
    assert ("agency", "G28") not in rows


def test_a_unit_merged_away_keeps_its_line(registry):
    """A unit that ended within the period is listed with its own figures, and its block contains them; silent ones are not."""
    rows = rows_of(build_report(Figures(H02=settled(3, 10), H05=settled(1, 10)), registry, OVER_THE_MERGER))
    assert rows["agency", "H02"].indicators["I1"] == Ratio(3, 10)
    assert rows["agency", "H02"].name == "Bắc Giang"
    assert rows["block", "province"].indicators["I1"] == Ratio(4, 20)
    assert ("agency", "H03") not in rows


def test_a_code_that_left_the_registry_is_not_lost_in_silence(registry):
    """Figures of a code that is not in the registry are in no row, so they must not be in the sums either."""
    rows = rows_of(build_report(Figures(X99=settled(5, 5)), registry, YEAR))
    assert ("agency", "X99") not in rows
    assert rows["nation", "VN"].indicators["I1"] == Ratio(0, 0)


def test_json_and_csv_hold_the_same(registry):
    """The CSV has the JSON's rows and figures, an empty cell for no data."""
    figures = build_report(Figures(H17=settled(3247, 5000, online=1, submitted=3)), registry, YEAR).as_dict()
    assert json.loads(to_json(figures)) == figures
    assert "Đà Nẵng" in to_json(figures)
    lines = list(csv.DictReader(io.StringIO(to_csv(figures))))
    assert len(lines) == len(figures["rows"])
    danang = next(line for line in lines if line["code"] == "H17")
    assert danang["name"] == "Đà Nẵng"
    assert (danang["I1_numerator"], danang["I1_denominator"], danang["I1_percent"]) == ("3247", "5000", "64.94")
    assert danang["I5_percent"] == "33.33"
    assert next(line for line in lines if line["code"] == "H18")["I1_percent"] == ""
    assert figures["period"] == {"from": "2024-01-01", "to": "2024-08-20"}


@pytest.mark.parametrize("period", [YEAR, OVER_THE_MERGER])
def test_the_nation_is_the_sum_of_its_agencies(registry, period):
    """The rows of agencies, blocks and the nation add up for any figures."""
    reader = Figures(
        **{code: settled(number, 2 * number, online=number, submitted=3 * number) for number, code in enumerate(registry.codes)}
    )
    report = build_report(reader, registry, period)
    for kpi in INDICATORS:
        for scope in ("agency", "block"):
            total = sum((row.indicators[kpi] for row in report.rows if row.scope == scope), Ratio(0, 0))
            assert total == report.rows[-1].indicators[kpi]
