"""Groups of figures in a report: what they sum to, how they are divided and printed, and a bulletin that was published."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
from collections import Counter

import openpyxl
import pytest
from rich.console import Console

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.contributions import contributions
from domain.errors import ConfigurationError
from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from domain.indicators import ALL_INDICATORS
from pipeline.report.explanation import contributions_of, explain
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.csv_file import CsvForm, to_csv
from pipeline.report.formats.html_page import to_html
from pipeline.report.formats.style import NO_DATA, Language, Style
from pipeline.report.formats.table import as_tables, explanation_tables
from pipeline.report.formats.xlsx_file import rate_formula, to_xlsx
from pipeline.report.group_figures import FigureSources
from pipeline.report.request import read_request
from pipeline.report.verification.differences import differences, integers_of
from pipeline.report.verification.recomputed import Recomputed
from pipeline.report.verification.service import VerificationService, VerificationSources
from sinks.contract.audit import HashShard
from tests import cases
from tests.contract.test_dossier_figures import dossiers
from tests.contract.test_exclusions import in_memory
from tests.factories import rows_of
from tests.fakes import MemoryDossierFigures, MemoryRawMessages, MemoryStore
from tests.reports import LATER, report_of

REGISTRY = AgencyRegistry.packaged()
ENGLISH = Style(language=Language.EN)
BULLETIN = {"month": "2021-09", "figures": ",".join(name for name, group in GROUPS.items() if not group.in_tallies)}
CATALOGUE = Catalogue([CatalogueEntry("H62", "1", dt.date(2020, 1, 1), longest_days=3)])


def report(store, **asked):
    """A report of a store in memory."""
    sources = FigureSources(MemoryDossierFigures(store))
    return report_of(store, registry=REGISTRY, sources=sources, catalogue=CATALOGUE, **asked).as_dict()


def verified(store, found, **asked):
    """What a verification finds wrong in a report."""
    request = read_request(asked, registry=REGISTRY, today=LATER)
    service = VerificationService(MemoryRawMessages(store), VerificationSources(store.excluded, lambda _: tuple(CATALOGUE)))
    part = Recomputed.from_dict(service.recomputed(request, HashShard(0, 1), today=LATER).as_dict())
    reported = integers_of([*found["rows"], *found["parts"]])
    recomputed = integers_of(service.rows(request, part, today=LATER))
    assert len(recomputed) > 100
    found = differences(reported, reported, recomputed, counted=True)
    return [each for each in found if each.figure.startswith("figures.")]


@pytest.fixture(scope="module")
def bulletin():
    """The dossiers of Vĩnh Phúc, September 2021, stored and not tallied: no group of whole dossiers needs that."""
    store = MemoryStore()
    messages = cases.dossiers("16_vinh_phuc_2021_09.ndjson.gz", REGISTRY).values()
    store.insert_events(rows_of([event for events in messages for event in events]))
    return store


@pytest.fixture(scope="module")
def wild():
    """Dossiers with every fault around a merger."""
    storage = in_memory()
    storage.take([event for dossier in dossiers(random.Random(11), 150) for event in dossier.events])
    return storage.store


def counts_of(found, group):
    """(scope, code) -> counts of a group that are not 0."""
    return {
        (row["scope"], row["code"]): Counter({name: n for name, n in row["figures"][group]["counts"].items() if n})
        for row in found["rows"]
    }


def test_the_bulletin_of_vinh_phuc_comes_out(bulletin):
    """6.302 = 4.131 + 2.171, 4.157 of 4.169 on time, 90 given back, 1.598 online; by report and by verification."""
    found = report(bulletin, **BULLETIN)
    row = next(row for row in found["rows"] if row["code"] == "H62")["figures"]
    counts = {**row["due"]["counts"], **row["balance"]["counts"]}
    checks = [each for each in cases.EXPECTED["checks"] if each.get("file", "").startswith("16_") and each["indicator"] != "I5"]
    for check in checks:
        assert counts[check["indicator"]] == check["numerator"], check["indicator"]
        if "denominator" in check:
            rate = row["due"]["rates"][check["indicator"]]
            assert (rate["numerator"], rate["denominator"]) == (check["numerator"], check["denominator"])
    assert len(checks) == 10
    assert counts["in_hand"] == counts["settled"] + counts["given_back"] + counts["open"]
    assert row["due"]["rates"]["on_time"]["percent"] == "99.71"
    assert row["due"]["rates"]["late_or_overdue"]["percent"] == "0.28"  # cut; the bulletin prints 0,29
    assert verified(bulletin, found, **BULLETIN) == []
    wrong = next(row for row in found["rows"] if row["code"] == "H62")
    wrong["figures"]["due"]["counts"]["on_time"] += 1
    assert [(each.code, each.figure) for each in verified(bulletin, found, **BULLETIN)] == [("H62", "figures.due.counts.on_time")]


@pytest.mark.parametrize("units", ["event", "2025-07-15", "today"])
def test_units_sum_to_blocks_and_the_nation(wild, units):
    """In every map; the balance closes in each row; and parts sum to their unit."""
    asked = {"from_": "2025-06-25", "to": "2025-07-10", "figures": "all", "units": units}
    found = report(wild, **asked)
    for group in GROUPS:
        counts = counts_of(found, group)
        agencies = [row for row in found["rows"] if row["scope"] == "agency"]
        for block in ("ministry", "province"):
            summed = sum((counts["agency", row["code"]] for row in agencies if row["block"] == block), Counter())
            assert counts["block", block] == summed, group
        assert counts["nation", "VN"] == counts["block", "ministry"] + counts["block", "province"]
        assert counts["nation", "VN"], group
    for each in counts_of(found, "balance").values():
        assert each["received"] + each["carried_over"] == each["settled"] + each["given_back"] + each["open"] == each["in_hand"]
    for by in (Grouping.SUB_UNIT, Grouping.PROCEDURE):
        divided = report(wild, **asked, by=by.value)
        for group in set(divided["figures"]) & set(GROUPS):
            parts = Counter()
            for part in divided["parts"]:
                assert part["scope"] == by.value
                parts.update({(part["unit"], name): n for name, n in part["figures"][group]["counts"].items()})
            whole = counts_of(divided, group)
            assert parts == Counter(
                {(code, name): n for (scope, code), each in whole.items() if scope == "agency" for name, n in each.items()}
            )
        assert verified(wild, divided, **{name.rstrip("_"): text for name, text in asked.items()}, by=by.value) == []


def test_adjacent_periods_sum_where_dossiers_are_counted_by_day(wild):
    """Counts of dossiers by day add up over two periods; carried over, in hand, open and 766 do not."""
    stocks = {"carried_over", "in_hand", "open", *GROUPS["due-766"].counts}
    days = [("2025-06-20", "2025-06-30"), ("2025-07-01", "2025-07-10")]
    halves = [report(wild, from_=first, to=last, figures="all", units="2025-07-15") for first, last in days]
    whole = report(wild, from_=days[0][0], to=days[1][1], figures="all", units="2025-07-15")
    for group in GROUPS:
        first, second = (counts_of(each, group)["nation", "VN"] for each in halves)
        both, total = first + second, counts_of(whole, group)["nation", "VN"]
        for name in set(GROUPS[group].counts) - stocks:
            assert both[name] == total[name], (group, name)


def test_contributions_of_channels_and_procedures_sum_to_the_change(wild):
    """Each sums to the change of the rate, exactly, and both have the same whole."""
    asked = {"from": "2025-07-01", "to": "2025-07-10", "compare": "previous"}
    request = read_request(asked, registry=REGISTRY, today=LATER)
    for indicator in ("I1", "I5"):
        found = explain(wild, MemoryDossierFigures(wild), request, unit="H62", indicator=indicator, today=LATER)
        changes = [sum(part.change for part in contributions_of(found, by=by)) for by in ("procedure", "channel")]
        assert changes[0] == changes[1]
        rows = [
            sum(each[when][name] for each in found[by])
            for by in ("procedures", "channels")
            for when in ("before", "after")
            for name in ("numerator", "denominator")
        ]
        assert rows[:4] == rows[4:]
        assert contributions_of(found, by="channel")
        tables = explanation_tables(found, style=ENGLISH)
        assert len(tables) == 2
        assert "online" in shown(tables[1:])
    assert contributions({}, {}) == ()


def shown(renderables, width=80):
    """What a console shows."""
    console = Console(width=width, record=True, file=io.StringIO())
    for each in renderables:
        console.print(each)
    return console.export_text()


def test_every_form_prints_the_integers_of_a_group(bulletin):
    """Table, CSV, workbook and page have the same counts, and rates that are cut."""
    found = report(bulletin, month="2021-09", figures="due", compare="previous")
    choice, style = Choice(units=("H62",)), Style()
    text = shown(as_tables(found, choice=choice, style=style))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for part in ("4.157", "4.169", "99,71", "Đúng hạn", "kỳ báo cáo"):
        assert part in text
    for form, delimiter in ((CsvForm.EXCEL, ";"), (CsvForm.PLAIN, ",")):
        body = to_csv(found, choice=choice, style=style, form=form).removeprefix("\ufeff")
        line = next(csv.DictReader(io.StringIO(body), delimiter=delimiter))
        assert (line["due_due"], line["due_on_time"]) == ("4169", "4157")
        assert line["due_on_time_percent"].replace(",", ".") == "99.71"
        assert not any(name.startswith("I1") for name in line)
    body = to_xlsx(found, choice=choice, style=style)
    formulas, values = (openpyxl.load_workbook(io.BytesIO(body), data_only=cached).worksheets[0] for cached in (False, True))
    place = {cell.value: cell.column for cell in formulas[5]}
    on_time, due, rate = (formulas.cell(6, place[name]) for name in ("Đúng hạn", "Đến hạn", "Đúng hạn tỷ lệ (%)"))
    assert (on_time.value, due.value, values[rate.coordinate].value) == (4157, 4169, 99.71)
    assert rate.value == rate_formula(on_time.coordinate, due.coordinate, style)
    before, rate = (formulas.cell(6, place[name]) for name in ("Đúng hạn, kỳ so sánh", "Đúng hạn, kỳ so sánh tỷ lệ (%)"))
    assert (before.value, rate.value) == (0, NO_DATA)
    page = to_html(found, choice=choice, style=style)
    assert 'data-group="due"' in page
    assert 'data-value="4157"' in page
    assert 'data-indicator="' not in page


def test_parts_are_printed_below_their_unit(wild):
    """By sub-unit and by procedure, with the indicators of each; only those of the units that are printed."""
    found = report(wild, from_="2025-05-01", to="2025-06-30", figures="indicators,due", by="sub-unit")
    codes = [part["code"] for part in found["parts"] if part["unit"] == "H62"]
    assert len(codes) > 3
    choice = Choice(units=("H62",))
    for text in (
        shown(as_tables(found, choice=choice, style=ENGLISH), width=120),
        to_html(found, choice=choice, style=ENGLISH),
        to_csv(found, choice=choice, style=ENGLISH),
    ):
        assert all(code in text for code in codes)
    lines = list(csv.DictReader(io.StringIO(to_csv(found, choice=choice, style=ENGLISH, form=CsvForm.PLAIN))))
    parts = [line for line in lines if line["scope"] == "sub-unit"]
    assert {line["unit"] for line in parts} == {"H62"}
    whole = next(line for line in lines if line["code"] == "H62")
    for name in ("I5_numerator", "I5_denominator", "I1_denominator", "due_due", "due_online_level_4"):
        assert sum(int(line[name]) for line in parts) == int(whole[name]) > 0, name
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx(found, choice=choice, style=ENGLISH)))
    assert [row[0].value for row in book.worksheets[2].iter_rows(min_row=7, max_row=6 + len(codes))] == codes
    assert not [row for row in to_csv(found, choice=Choice(units=("H17",)), style=ENGLISH).splitlines() if "sub-unit" in row]


def test_what_needs_a_due_date_says_that_there_is_none():
    """A rate of dossiers without due dates is no data, and every form says why."""
    storage = in_memory()
    one = next(iter(cases.dossiers("16_vinh_phuc_2021_09.ndjson.gz", REGISTRY).values()))
    storage.take(
        [event.__class__(**{name: getattr(event, name) for name in event.__slots__} | {"due_at": None}) for event in one]
    )
    found = report(storage.store, year="2021", figures="due,settled-due,due-766")
    row = next(row for row in found["rows"] if row["code"] == "H62")["figures"]
    for group, rate in (("due", "on_time"), ("due-766", "on_time_766"), ("settled-due", "settled_on_due")):
        assert row[group]["rates"][rate]["percent"] is None
        assert row[group]["rates"][rate]["no_due_date"], group
    assert row["settled-due"]["rates"]["settled_without_due_date"]["percent"] == "100.00"
    choice = Choice(units=("H62",))
    for style, words in ((Style(), "không có ngày hẹn trả"), (ENGLISH, "no due date")):
        assert words in to_html(found, choice=choice, style=style)
        assert words in to_csv(found, choice=choice, style=style)
        assert words.rpartition(" ")[2] in shown(as_tables(found, choice=choice, style=style))
        cells = [
            cell.value
            for row in openpyxl.load_workbook(io.BytesIO(to_xlsx(found, choice=choice, style=style))).worksheets[0]
            for cell in row
        ]
        assert words in cells
    assert "no_due_date" in to_csv(found, choice=choice, style=Style(), form=CsvForm.PLAIN)


def test_a_report_has_only_the_figures_that_it_is_asked_for(wild):
    """By default none is read from whole dossiers; figures have an order, and wrong names are refused with the valid ones."""
    found = report(wild, year="2025")
    assert (found["figures"], found["by"], found["parts"]) == (["indicators"], "unit", [])
    assert all(row["figures"] == {} for row in found["rows"])
    assert report(wild, year="2025", figures="due,balance")["figures"] == ["balance", "due"]
    assert "refused" not in report(wild, year="2025", figures="all", by="sub-unit")["figures"]
    for asked, words in (
        ({"figures": "dues"}, "indicators, balance"),
        ({"figures": ""}, "indicators, balance"),
        ({"by": "block"}, "unit, sub-unit"),
        ({"figures": "refused", "by": "sub-unit"}, "procedure"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read_request({"year": "2025", **asked}, registry=REGISTRY, today=LATER)
        assert words in caught.value.remedy


def test_each_figure_of_a_group_is_defined():
    """Name in both languages, what it divides, its day and its source; codes of a group are its counts."""
    for group in GROUPS.values():
        assert len(set(group.counts)) == len(group.counts)
        for figure in group.figures:
            assert all((figure.name_vi, figure.name_en, figure.placed_by, figure.source)), figure.code
            assert figure.numerator == figure.code
            assert not figure.denominator or figure.denominator in group.counts
    assert not set(GROUPS) & set(ALL_INDICATORS)
