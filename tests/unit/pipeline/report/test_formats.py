"""How a report is printed: each form has the integers of the report, and rates that are cut."""

from __future__ import annotations

import csv
import io
import re

import openpyxl
import pytest
from rich.console import Console

from domain.errors import ConfigurationError
from domain.indicators import Ratio, ReturnAtCounter
from domain.rounding import Rounding, percent
from pipeline.report.completeness import Completeness, NotFinal, Reason
from pipeline.report.formats.choice import Choice, Order, choice
from pipeline.report.formats.csv_file import CsvForm, to_csv
from pipeline.report.formats.html_page import to_html
from pipeline.report.formats.style import NO_DATA, Language, Style
from pipeline.report.formats.table import as_tables, excluded_table, explanation_tables
from pipeline.report.formats.xlsx_file import rate_formula, to_xlsx
from tests.reports import FINAL, report_of
from tests.unit.pipeline.report.test_figures import Figures, settled

NOT_FINAL = Completeness(FINAL.asked_at, 1234, (Reason(NotFinal.MESSAGES_WAITING, "1,234 messages wait."),))


def a_report(**more):
    """Two agencies with data, one of them in the period before as well."""
    counts = {"H17": settled(3247, 5000, online=1, submitted=3), "G02": settled(48, 965), "H26": settled(0, 7)}
    reader = Figures(before={"H17": settled(1, 2)}, **counts)
    return report_of(reader, **({"from_": "2024-01-01", "to": "2024-08-20"} | more)).as_dict()


def shown(renderables, width=80):
    """What a console shows."""
    console = Console(width=width, record=True, file=io.StringIO())
    for each in renderables:
        console.print(each)
    return console.export_text()


def test_a_table_for_people():
    """Names, counts and cut rates in Vietnamese form fit 80 columns; no data is a dash."""
    text = shown(as_tables(a_report(), choice=Choice(order=Order.RANK), style=Style()))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    danang = next(line for line in lines if "Đà Nẵng" in line)
    for part in ("1", "H17", "3.247/5.000", "64,94", "1/3", "33,33"):
        assert part in danang
    assert "4,97" in next(line for line in lines if "G02" in line)
    assert NO_DATA in next(line for line in lines if "H18" in line)
    assert [line.split()[1] for line in lines if re.match(r" +[123] +[GH]\d", line)] == ["H17", "G02", "H26"]
    # Ministries have long names; none is cut.
    assert "…" not in text


def test_a_table_with_a_comparison():
    """Each indicator has a table of its own, with the rate of before and the change in points."""
    tables = as_tables(a_report(compare="previous"), choice=Choice(), style=Style())
    assert len(tables) == 2
    text = shown(tables[:1])
    assert max(map(len, text.splitlines())) <= 80
    danang = next(line for line in text.splitlines() if "Đà Nẵng" in line)
    assert "50,00" in danang
    assert "+14,94" in danang


@pytest.mark.parametrize(
    ("style", "printed"),
    [
        (Style(), "4,97"),
        (Style(decimals=1, rounding=Rounding.HALF_UP), "5,0"),
        (Style(decimals=0), "4"),
        (Style(decimals=6), "4,974093"),
        (Style(language=Language.EN), "4.97"),
    ],
)
def test_decimals_rounding_and_language(style, printed):
    """A document's own decimals and rounding are options; every form prints the same text."""
    report = a_report()
    text = shown(as_tables(report, choice=Choice(), style=style))
    assert printed in next(line for line in text.splitlines() if "G02" in line).split()
    page = to_html(report, choice=Choice(), style=style)
    row = re.search(r'<tr class="agency" data-code="G02">(.*?)</tr>', page)[1]
    assert f'<td class="number">{printed}</td>' in row
    line = next(line for line in to_csv(report, choice=Choice(), style=style, form=CsvForm.PLAIN).splitlines() if ",G02," in line)
    assert line.split(",")[5] == printed.replace(",", ".")


@pytest.mark.parametrize("form", list(CsvForm))
def test_csv_holds_what_json_holds(form):
    """The CSV has the report's rows and figures, an empty cell for no data; Excel's has a mark, semicolons and commas."""
    report = a_report(compare="previous")
    text = to_csv(report, choice=Choice(), style=Style(), form=form)
    excel = form is CsvForm.EXCEL
    assert text.startswith("\ufeff") is excel
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";" if excel else ","))
    assert len(lines) == len(report["rows"])
    danang = next(line for line in lines if line["code"] == "H17")
    assert danang["name"] == "Đà Nẵng"
    assert [danang[f"I1_{part}"] for part in ("numerator", "denominator", "class", "rank")] == ["3247", "5000", "met", "1"]
    assert danang["I1_percent"] == ("64,94" if excel else "64.94")
    assert danang["I1_before_numerator"] == "1"
    assert danang["I1_change_points"] == ("+14,94" if excel else "+14.94")
    assert next(line for line in lines if line["code"] == "H18")["I1_percent"] == ""


@pytest.mark.parametrize("style", [Style(), Style(decimals=1, rounding=Rounding.HALF_UP), Style(decimals=0)])
def test_a_workbook_holds_numbers_and_formulas(style):
    """Counts are numbers, rates are formulas whose stored value is the printed rate; no data is a dash."""
    report = a_report()
    body = to_xlsx(report, choice=Choice(), style=style)
    formulas = openpyxl.load_workbook(io.BytesIO(body))
    values = openpyxl.load_workbook(io.BytesIO(body), data_only=True)
    sheet, cached = formulas.worksheets[0], values.worksheets[0]
    codes = {sheet.cell(number, 1).value: number for number in range(6, sheet.max_row + 1)}
    row = codes["H17"]
    assert [sheet.cell(row, column).value for column in (2, 4, 5)] == ["Đà Nẵng", 3247, 5000]
    assert sheet.cell(row, 6).value == rate_formula(f"D{row}", f"E{row}", style)
    assert cached.cell(row, 6).value == float(percent(Ratio(3247, 5000), decimals=style.decimals, rounding=style.rounding))
    assert sheet.cell(codes["H18"], 6).value == NO_DATA
    counts = formulas.worksheets[1]
    found = {counts.cell(number, 1).value: counts.cell(number, 5).value for number in range(6, counts.max_row + 1)}
    assert (found["H17"], found["VN"]) == (5000, 5972)


def test_a_workbook_holds_every_integer():
    """Numerators, denominators and ranks of each row in both periods, and all its counts, are the report's."""
    report = a_report(compare="previous")
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx(report, choice=Choice(), style=Style())))
    figures, counts = book.worksheets
    assert figures.max_row == counts.max_row == 5 + len(report["rows"])
    for number, row in enumerate(report["rows"], start=6):
        due = []
        for name in ("I1", "I5"):
            figure = row["indicators"][name]
            numbers = (figure["numerator"], figure["denominator"], figure["before"]["numerator"], figure["before"]["denominator"])
            due.append((row["code"], figure["rank"], *numbers))
        found = [
            tuple(figures.cell(number, column).value for column in (1, *places))
            for places in ((3, 4, 5, 8, 9), (12, 13, 14, 17, 18))
        ]
        assert found == due
        del row["counts"]["events"]
        assert [counts.cell(number, column).value for column in range(3, 12)] == list(row["counts"].values())


@pytest.mark.parametrize("numerator", [0, 1, 47, 48, 49, 95, 96, 97, 964, 965])
def test_the_formula_of_a_workbook_cuts_as_the_report_does(numerator):
    """In the arithmetic of a spreadsheet, which has binary fractions, the formula gives the printed rate."""
    for denominator in (965, 1000, 3, 7, 10_000_019):
        numerator = min(numerator, denominator)
        truncated = int(numerator * 10_000 / denominator) / 100
        assert truncated == float(percent(Ratio(numerator, denominator)))


def test_a_name_is_never_a_formula():
    """A text that begins with an equals sign stays a text in a workbook, and is escaped in the page."""
    report = a_report()
    report["rows"][0]["name"] = "=1+1 <script>"
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx(report, choice=Choice(), style=Style())))
    assert book.worksheets[0].cell(6, 2).data_type == "s"
    assert "<script>" not in to_html(report, choice=Choice(), style=Style())


def test_the_page_stands_alone():
    """The page has no script, no address and no other file, one tile a province, the islands, and every figure once."""
    page = to_html(a_report(), choice=Choice(indicators=("I1",)), style=Style())
    assert not re.search(r"<script|https?://|src=|url\(|@import", page)
    assert page.count('class="tile" width') == 63 + 2
    assert "Hoàng Sa" in page
    assert "Trường Sa" in page
    assert 'data-value="3247">3.247</td>' in page
    assert "Số liệu đã chốt." in page
    later = to_html(a_report(units="2026-01-01"), choice=Choice(), style=Style())
    assert later.count('class="tile" width') == 2 * (34 + 2)


def test_figures_that_are_not_final_say_so():
    """Every form for people says first that the figures are not final, in its language."""
    report = report_of(Figures(H17=settled(1, 2)), completeness=NOT_FINAL, month="2024-08").as_dict()
    assert Style().warning(report) == "SỐ LIỆU CHƯA CHỐT: Còn 1.234 bản tin chưa được tính."
    assert Style(language=Language.EN).warning(report) == "NOT FINAL: 1,234 messages wait."
    assert "SỐ LIỆU CHƯA CHỐT" in to_html(report, choice=Choice(), style=Style())
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx(report, choice=Choice(), style=Style())))
    assert book.worksheets[0]["A3"].value.startswith("SỐ LIỆU CHƯA CHỐT")


@pytest.mark.parametrize("at_counter", list(ReturnAtCounter))
@pytest.mark.parametrize("language", list(Language))
def test_every_form_says_which_numerator_i1_has(at_counter, language):
    """Whether results handed out at the counter count stands in every form that prints I1, and in none without it."""
    style, report = Style(language=language), a_report(at_counter=at_counter)
    counted = at_counter is ReturnAtCounter.COUNTED
    note = {
        (Language.VI, True): "I1: hồ sơ trả kết quả tại bộ phận một cửa cũng tính là toàn trình.",
        (Language.VI, False): "I1: hồ sơ trả kết quả tại bộ phận một cửa không tính là toàn trình.",
        (Language.EN, True): "I1: a dossier whose result was handed out at the counter counts as toàn trình as well.",
        (Language.EN, False): "I1: a dossier whose result was handed out at the counter does not count as toàn trình.",
    }[language, counted]
    assert style.return_note(report, ("I1",)) == note

    def printed(chosen):
        book = openpyxl.load_workbook(io.BytesIO(to_xlsx(report, choice=chosen, style=style)))
        yield " ".join(shown(as_tables(report, choice=chosen, style=style)).split())
        yield to_html(report, choice=chosen, style=style)
        yield from (str(sheet["A4"].value) for sheet in book.worksheets)

    assert all(note in text for text in printed(Choice()))
    assert not any(note in text for text in printed(Choice(indicators=("I5",))))
    for form in CsvForm:
        lines = to_csv(report, choice=Choice(), style=style, form=form).splitlines()
        assert lines[0].endswith("return_at_counter")
        assert all(line.endswith(at_counter.value) for line in lines[1:])
        assert "return_at_counter" not in to_csv(report, choice=Choice(indicators=("I5",)), style=style, form=form)
    part = {"numerator": 1, "denominator": 2}
    explanation = {
        "unit": "H17", "indicator": "I1", "return_at_counter": at_counter.value,
        "procedures": [{"procedure": "1.1", "before": part, "after": part}],
        "channels": [{"channel": "online", "before": part, "after": part}],
    }  # fmt: skip
    assert note in " ".join(shown(explanation_tables(explanation, style=style), width=160).split())


def test_what_is_printed_is_chosen():
    """Agencies can be chosen and ordered; the sums of blocks and nation stay those of all agencies."""
    report = a_report()
    codes = [row["code"] for row in Choice(units=("H17", "G02"), order=Order.VOLUME).rows(report)]
    assert codes == ["H17", "G02", "ministry", "province", "VN"]
    assert [row["code"] for row in Choice(block="ministry").rows(report)][-2:] == ["ministry", "VN"]
    nation = Choice(units=("G02",)).rows(report)[-1]
    assert nation["indicators"]["I1"]["denominator"] == 5972


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: choice(indicators=["I9"], units=(), block=None, order=Order.CODE), "I1"),
        (lambda: choice(indicators=(), units=(), block="city", order=Order.CODE), "ministry or province"),
        (lambda: Choice(units=("h17",)).rows(a_report()), "H17"),
        (lambda: Choice(units=("danang",)).rows(a_report()), "for example"),
    ],
)
def test_a_wrong_choice_names_the_nearest(make, remedy):
    """The error says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert remedy in caught.value.remedy


def test_excluded_dossiers_for_people():
    """Each with what it would count as; what an untrusted reader may not know is a dash, and nothing is read as markup."""
    place = {"name": "settled", "unit": "H17", "day": "2024-08-20", "procedure": "1.000"}
    known = {
        "dossier_code": "H17-240820-0001",
        "reason": "a [bold]test",
        "name": "Lan",
        "decided_at": "2024-09-01T08:00:00.000+07:00",
    }
    hidden = known | dict.fromkeys(("dossier_code", "reason", "name"))
    text = shown([excluded_table({"excluded": [each | {"milestones": [place]} for each in (known, hidden)]})], width=160)
    for part in ("H17-240820-0001", "settled H17 2024-08-20", "a [bold]test", "Lan", "2024-09-01T08:00:00", "—"):
        assert part in text
