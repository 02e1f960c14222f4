"""The published figures of a period."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.errors import ConfigurationError
from domain.indicators import INDICATORS, Ratio, ReturnAtCounter
from pipeline.report.explanation import contributions_of, explain
from pipeline.report.formats.choice import Choice
from pipeline.report.gaps import interruptions
from pipeline.report.request import read_request
from sinks.contract.tallies import Counts, ServicesWithDossiers
from tests.reports import LATER, report_of

YEAR = {"from_": "2024-01-01", "to": "2024-08-20"}
OVER_THE_MERGER = {"year": "2025"}
DAY = dt.timedelta(days=1)


class Figures:
    """A reader of day tallies that holds these counts, for every period or by its first year."""

    def __init__(self, before=None, **counts):
        self.counts, self.before, self.asked = counts, before or {}, []

    def counts_of_days(self, first, last):
        self.asked.append((str(first), str(last)))
        return self.counts if len(self.asked) == 1 else self.before

    def active_days(self, first, last):
        """Every agency with events has them on all days."""
        return {code: np.ones((last - first).days + 1, dtype=bool) for code, counts in self.counts.items() if counts.events}


class Channels:
    """A reader of whole dossiers without any."""

    def counts(self, *_):
        return {}


def settled(full, total, *, online=0, submitted=0):
    """Counts of an agency."""
    return Counts(events=total + submitted, settled=total, settled_full=full, submitted=submitted, submitted_online=online)


def rows_of(report):
    """The lines of a report by scope and code."""
    return {(row.scope, row.code): row for row in report.rows}


def test_blocks_and_nation_are_pooled():
    """A block's rate is the sum of its counts divided once, never a mean of its agencies' rates."""
    reader = Figures(H17=settled(1, 1), H18=settled(0, 999), G01=settled(10, 1000))
    rows = rows_of(report_of(reader, **YEAR))
    assert rows["block", "province"].ratio("I1") == Ratio(1, 1000)
    assert rows["block", "ministry"].ratio("I1") == Ratio(10, 1000)
    assert rows["nation", "VN"].ratio("I1") == Ratio(11, 2000)
    assert reader.asked == [("2024-01-01", "2024-08-20")]


def test_no_data_is_no_zero():
    """Without a denominator there is no percentage and no rank; with one and no numerator it is 0.00."""
    figures = report_of(Figures(H17=settled(0, 3)), **YEAR).as_dict()
    found = {row["code"]: row["indicators"] for row in figures["rows"]}
    assert (found["H17"]["I1"]["percent"], found["H17"]["I1"]["class"], found["H17"]["I1"]["rank"]) == ("0.00", "zero", 1)
    for code, name in (("H17", "I5"), ("H18", "I1")):
        assert [found[code][name][field] for field in ("percent", "class", "rank")] == [None, "no_data", None]


def test_every_agency_that_reports_is_listed(registry):
    """Agencies without events have a row; the order is agencies by code, blocks, nation."""
    rows = report_of(Figures(), **YEAR).rows
    codes = [row.code for row in rows if row.scope == "agency"]
    assert codes == [agency.code for agency in registry.expected(dt.date(2024, 8, 20))]
    assert len(codes) == 86
    assert [(row.scope, row.code) for row in rows[-3:]] == [("block", "ministry"), ("block", "province"), ("nation", "VN")]


def test_an_agency_that_need_not_report():
    """An agency that is not expected to report is listed only with figures, and then its block contains them."""
    assert ("agency", "G27") not in rows_of(report_of(Figures(), **YEAR))
    assert ("agency", "G27") not in rows_of(report_of(Figures(G27=Counts()), **YEAR))
    rows = rows_of(report_of(Figures(G27=settled(3, 10)), **YEAR))
    assert rows["agency", "G27"].ratio("I1") == rows["block", "ministry"].ratio("I1") == Ratio(3, 10)
    assert ("agency", "G28") not in rows


def test_a_unit_merged_away_keeps_its_line():
    """A unit that ended within the period is listed with its own figures, and its block contains them; silent ones are not."""
    rows = rows_of(report_of(Figures(H02=settled(3, 10), H05=settled(1, 10)), **OVER_THE_MERGER))
    assert rows["agency", "H02"].ratio("I1") == Ratio(3, 10)
    assert rows["agency", "H02"].name == "Bắc Giang"
    assert rows["block", "province"].ratio("I1") == Ratio(4, 20)
    assert ("agency", "H03") not in rows


def test_by_later_units_the_parts_are_summed():
    """By the units of a later day the counts of merged units are summed, and block and nation stay what they are."""
    counts = {"H02": settled(3, 10), "H05": settled(1, 10), "G13": settled(1, 4), "G10": settled(0, 6)}
    by_event = rows_of(report_of(Figures(**counts), **OVER_THE_MERGER))
    joined = rows_of(report_of(Figures(**counts), **OVER_THE_MERGER, units="2025-12-31"))
    assert joined["agency", "H05"].ratio("I1") == Ratio(4, 20)
    assert joined["agency", "G10"].ratio("I1") == Ratio(1, 10)
    assert joined["agency", "G10"].name == "Bộ Nông nghiệp và Môi trường"
    assert not {("agency", "H02"), ("agency", "G13")} & set(joined)
    for place in (("block", "province"), ("block", "ministry"), ("nation", "VN")):
        assert joined[place].counts == by_event[place].counts


def test_a_code_that_left_the_registry_is_not_lost_in_silence():
    """Figures of a code that is not in the registry are in no row, so they must not be in the sums either."""
    rows = rows_of(report_of(Figures(X99=settled(5, 5)), **YEAR))
    assert ("agency", "X99") not in rows
    assert rows["nation", "VN"].ratio("I1") == Ratio(0, 0)


@pytest.mark.parametrize("parameters", [YEAR, OVER_THE_MERGER, OVER_THE_MERGER | {"units": "today"}])
def test_the_nation_is_the_sum_of_its_agencies(registry, parameters):
    """The rows of agencies, blocks and the nation add up for any figures, by any units."""
    reader = Figures(
        **{code: settled(number, 2 * number, online=number, submitted=3 * number) for number, code in enumerate(registry.codes)}
    )
    report = report_of(reader, **parameters)
    for kpi in INDICATORS:
        for scope in ("agency", "block"):
            total = sum((row.ratio(kpi) for row in report.rows if row.scope == scope), Ratio(0, 0))
            assert total == report.rows[-1].ratio(kpi)


def test_a_comparison():
    """Each figure stands beside that of before, with the exact difference in points and the growth in percent."""
    reader = Figures(H17=settled(1, 3), before={"H17": settled(2, 9), "H18": settled(1, 2)})
    report = report_of(reader, month="2024-08", compare="previous").as_dict()
    assert reader.asked == [("2024-08-01", "2024-08-31"), ("2024-07-01", "2024-07-31")]
    assert report["compared_with"]["name"] == "2024-07"
    rows = {row["code"]: row["indicators"]["I1"] for row in report["rows"]}
    assert rows["H17"]["before"] == {"numerator": 2, "denominator": 9, "percent": "22.22"}
    assert (rows["H17"]["change_points"], rows["H17"]["change_percent"]) == ("+11.11", "+50.00")
    assert (rows["H18"]["change_points"], rows["H18"]["before"]["percent"]) == (None, "50.00")
    assert rows["VN"]["before"] == {"numerator": 3, "denominator": 11, "percent": "27.27"}


def test_a_report_is_json():
    """The plain values are JSON as they are."""
    report = report_of(Figures(H17=settled(3247, 5000)), **YEAR, compare="last-year").as_dict()
    assert json.loads(json.dumps(report)) == report


def test_silent_units_are_named_and_change_nothing():
    """A unit without an event in the period is named; one with events and without dossiers is not."""
    report = report_of(Figures(H17=settled(1, 2), H18=Counts(events=3)), **YEAR)
    assert "H19" in report.silent
    assert not {"H17", "H18"} & set(report.silent)


def test_interruptions():
    """A unit is interrupted on days that are busy for most others; nobody is interrupted by a weekend."""
    monday = dt.date(2024, 8, 5)
    texts = {
        "a": "1111100 1111100",
        "b": "1111100 1111100",
        "c": "1100000 0111100",
        "d": "1110000 1111100",
        "e": "0000000 0000000",
    }
    active = {unit: np.array([sign == "1" for sign in text.replace(" ", "")[:14]]) for unit, text in texts.items()}
    c = (monday + 2 * DAY, monday + 7 * DAY)
    assert interruptions(active, first=monday, expected=4) == {"c": [c]}
    d = (monday + 3 * DAY, monday + 4 * DAY)
    assert interruptions(active, first=monday, expected=4, min_days=2) == {"c": [c], "d": [d]}
    assert interruptions(active, first=monday, expected=90) == {}
    assert interruptions({}, first=monday, expected=4) == {}


@pytest.mark.parametrize(
    ("parameters", "problem", "remedy"),
    [
        ({}, "needs a period", "one of day"),
        ({"month": "2024-08", "year": "2024"}, "month and the parameter year", "Give from and to"),
        ({"from_": "2024-08-01"}, "The parameter to is missing", "together with the parameter from"),
        ({"month": "2024-13"}, "month", "2024-12"),
        ({"month": "2024-08", "calendar": "lunar"}, "calendar is not a calendar", "civil or nd09"),
        ({"month": "2024-08", "compare": "before"}, "compare: 'before' is not a period", "previous, last-year"),
        ({"month": "2024-08", "compare": "2024-01-01..2023-01-01"}, "compare", "Swap"),
        ({"month": "2024-08", "units": "2024-01-01"}, "units", "2024-08-31"),
        ({"month": "2024-08", "min_volume": "0"}, "min_volume: 0 dossiers", "from 1"),
        ({"last": "x"}, "last: 'x' is not a number", "30"),
        ({"ytd": "2024-02-30"}, "ytd", "2024-02-29"),
        ({"year": "2010"}, "no agency from 2010-01-01", "2016-04-01"),
    ],
)
def test_a_wrong_request_names_parameter_and_remedy(parameters, problem, remedy):
    """One sentence that names the parameter, and what to write; a period without a registry is not a row of zeros."""
    with pytest.raises(ConfigurationError) as caught:
        report_of(Figures(), **parameters)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def a_catalogue():
    """Three procedures of Bắc Giang and two of Bắc Ninh; one procedure is offered by both, at other levels."""
    begin = dt.date(2020, 1, 1)
    offered = (("H02", "1.1", "toan_trinh"), ("H02", "1.2", "mot_phan"), ("H02", "1.3", "cung_cap_thong_tin"))
    offered += (("H05", "1.1", "mot_phan"), ("H05", "1.4", "toan_trinh"))
    return Catalogue([CatalogueEntry(agency, code, begin, service_level=level) for agency, code, level in offered])


class Services(Figures):
    """Also holds the services with a dossier."""

    def __init__(self, submitted, submitted_online, **counts):
        super().__init__(**counts)
        self.services = ServicesWithDossiers(frozenset(submitted), frozenset(submitted_online))

    def services_with_dossiers(self, *_):
        return self.services


def test_what_is_offered_is_in_the_report():
    """With a catalogue the rows have I2 to I4; joined units add services, and count a procedure once at its highest level."""
    online = [("H02", "1.1"), ("H05", "1.1")]
    reader = Services([*online, ("H02", "1.3")], online, H02=settled(1, 2))
    rows = rows_of(report_of(reader, month="2025-06", catalogue=a_catalogue()))
    assert rows["agency", "H02"].ratio("I4") == Ratio(1, 2)
    assert rows["agency", "H02"].ratio("I2b") == Ratio(1, 2)
    assert rows["agency", "H05"].ratio("I3") == Ratio(2, 2)
    assert rows["agency", "H17"].ratio("I4") == Ratio(0, 0)
    assert rows["block", "province"].ratio("I4") == Ratio(2, 4)
    joined = report_of(reader, month="2025-06", units="2025-07-01", compare="previous", catalogue=a_catalogue())
    found = rows_of(joined)
    assert found["agency", "H05"].ratio("I2a") == Ratio(2, 4)
    assert found["agency", "H05"].ratio("I4") == found["nation", "VN"].ratio("I4") == Ratio(2, 4)
    figure = next(row for row in joined.as_dict()["rows"] if row["code"] == "H05")["indicators"]["I4"]
    assert (figure["percent"], figure["change_points"], figure["rank"]) == ("50.00", "0.00", 1)


@pytest.mark.parametrize(("at_counter", "numerator"), [(ReturnAtCounter.EXCLUDED, 3), (ReturnAtCounter.COUNTED, 4)])
def test_results_handed_out_at_the_counter_count_as_the_setting_says(at_counter, numerator):
    """The setting chooses between two stored counts for I1, now, before and for each procedure; nothing else changes."""
    counts = Counts(events=10, submitted=10, submitted_online=9, settled=5, settled_full=3, settled_full_any_return=4)
    report = report_of(Figures(before={"H17": counts}, H17=counts), month="2024-08", compare="previous", at_counter=at_counter)
    plain = report.as_dict()
    assert plain["return_at_counter"] == at_counter.value
    for scope, code in (("agency", "H17"), ("block", "province"), ("nation", "VN")):
        row = rows_of(report)[scope, code]
        assert row.ratio("I1") == row.ratio_before("I1") == Ratio(numerator, 5)
        assert row.ratio("I5") == Ratio(9, 10)
    figure = next(row for row in plain["rows"] if row["code"] == "H17")
    assert figure["indicators"]["I1"]["numerator"] == figure["indicators"]["I1"]["before"]["numerator"] == numerator
    assert (figure["counts"]["settled_full"], figure["counts"]["settled_full_any_return"]) == (3, 4)

    class Procedures:
        def counts_of_procedures(self, *_):
            return {"1.1": counts}

    more = {"return_at_counter": at_counter, "today": LATER}
    found = explain(Procedures(), Channels(), report.request, unit="H17", indicator="I1", **more)
    assert found["return_at_counter"] == at_counter.value
    assert found["procedures"][0]["after"] == {"numerator": numerator, "denominator": 5}


def test_without_a_catalogue_nothing_is_said_of_what_is_offered():
    """Without an entry the rows have I1 and I5 alone; printing another one says what to load."""
    report = report_of(Figures(), **YEAR, catalogue=Catalogue([])).as_dict()
    assert set(report["rows"][0]["indicators"]) == {"I1", "I5"}
    with pytest.raises(ConfigurationError, match="catalogue") as caught:
        Choice(("I4",)).rows(report)
    assert "catalogue load" in caught.value.remedy


def test_an_explanation_lists_the_procedures_of_the_unit():
    """The counts of each procedure in both periods, of every code that belongs to the unit; contributions sum to the change."""

    class Procedures:
        def counts_of_procedures(self, agencies, first, last):
            assert list(agencies) == ["H02", "H05"]
            june = {"1.1": settled(1, 2), "1.2": settled(0, 1)}
            return june if (first.month, last.day) == (6, 30) else {"1.1": settled(0, 2), "1.3": settled(1, 1)}

    registry = AgencyRegistry.packaged()
    asked = {"month": "2025-06", "compare": "previous", "units": "2025-07-01"}
    request = read_request(asked, registry=registry, today=dt.date(2025, 8, 1))
    found = explain(Procedures(), Channels(), request, unit="H05", indicator="I1", today=LATER)
    assert [each["procedure"] for each in found["procedures"]] == ["1.1", "1.2", "1.3"]
    assert sum(part.change for part in contributions_of(found)) == 0
    for more, remedy in (({"unit": "H02"}, "part of H05"), ({"unit": "h17"}, "H17"), ({"indicator": "I4"}, "I1")):
        with pytest.raises(ConfigurationError) as caught:
            explain(Procedures(), Channels(), request, **({"unit": "H05", "indicator": "I1", "today": LATER} | more))
        assert remedy in caught.value.remedy
