"""The registry: which agency is responsible for a code on a day."""

from __future__ import annotations

import csv
import datetime as dt
import unicodedata
from importlib import resources

import pytest

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY

HEADER = "code,name_vi,name_en,short_name_vi,official_name_vi,block,valid_from,valid_to,successor_code,reports_from\n"


def a_registry(*lines: str) -> AgencyRegistry:
    """A registry of these lines."""
    return AgencyRegistry.from_csv(HEADER + "\n".join(lines) + "\n")


def row(code, *, first="2016-04-01", last="", successor="", block="province", reports="") -> str:
    """One line of a registry."""
    return f"{code},{code} vi,{code} en,{code},Tỉnh {code},{block},{first},{last},{successor},{reports}"


def test_the_packaged_registry_before_and_after_the_mergers(registry):
    """63 provinces until 30/06/2025, 34 from the next day; 23 ministries that report until 28/02/2025, 17 from the next day."""

    def in_block(day, block):
        return sum(agency.block == block for agency in registry.expected(day))

    assert in_block(dt.date(2024, 8, 20), "province") == 63
    assert in_block(dt.date(2025, 6, 30), "province") == 63
    assert in_block(dt.date(2025, 7, 1), "province") == 34
    before, after = in_block(dt.date(2025, 2, 28), "ministry"), in_block(dt.date(2025, 3, 1), "ministry")
    assert (before, after) == (23, 17)


def test_the_packaged_successions_agree_with_the_registry(registry):
    """Every merger of successions.csv ends the old code the day before and has the same successor."""
    text = resources.files("domain").joinpath("data/successions.csv").read_text(encoding="utf-8")
    mergers = [line for line in csv.DictReader(text.splitlines()) if line["old_code"] != line["new_code"]]
    assert len(mergers) > 30
    for merger in mergers:
        day = dt.date.fromisoformat(merger["effective_date"])
        assert registry.responsible(merger["old_code"], day).code == merger["new_code"]
        assert registry.responsible(merger["old_code"], day - dt.timedelta(days=1)).code == merger["old_code"]
    merged = {code for code in registry.codes if registry.responsible(code, dt.date(2030, 1, 1)).code != code}
    assert merged == {merger["old_code"] for merger in mergers}


def test_a_renamed_agency_keeps_its_code(registry):
    """H57 is Thừa Thiên Huế until the end of 2024, then Huế."""
    assert registry.at("H57", dt.date(2024, 12, 31)).name_vi == "Thừa Thiên Huế"
    assert registry.at("H57", dt.date(2025, 1, 1)).name_vi == "Huế"
    assert len(registry.spans("H57")) == 2
    assert registry.spans("H99") == ()


def test_successions_may_be_chained():
    """A unit that was merged into one that was merged later belongs to the last one, each from its own day."""
    registry = a_registry(
        row("A01", last="2020-12-31", successor="B02"),
        row("B02", last="2022-12-31", successor="C03"),
        row("C03"),
    )
    assert [registry.responsible("A01", dt.date(year, 6, 1)).code for year in (2020, 2022, 2023)] == ["A01", "B02", "C03"]


def test_successions_that_once_ran_in_a_circle_end():
    """While two units have ended and name each other as successor nobody is responsible, until one of them is in force again."""
    registry = a_registry(
        row("A01", last="2020-12-31", successor="B02"),
        row("B02", last="2020-12-31", successor="A01"),
        row("A01", first="2022-01-01"),
    )
    assert registry.responsible("A01", dt.date(2021, 1, 1)) is None
    assert registry.responsible("B02", dt.date(2022, 1, 1)).code == "A01"


def test_an_agency_may_not_be_expected_to_report():
    """Without reports_from an agency is in force and not expected to report; with it, it is expected from that day on."""
    registry = a_registry(row("A01"), row("B02", reports="2020-01-01"), row("C03", last="2019-12-31", reports="2016-04-01"))

    def expected(day):
        return [agency.code for agency in registry.expected(dt.date.fromisoformat(day))]

    assert expected("2016-03-31") == []
    assert expected("2019-12-31") == ["C03"]
    assert expected("2020-01-01") == ["B02"]
    assert [agency.code for agency in registry.in_force(dt.date(2020, 1, 1))] == ["A01", "B02"]


def test_codes_without_a_responsible_agency():
    """A code that is not yet in force, ended without a successor, or unknown has no responsible agency."""
    registry = a_registry(row("A01", first="2025-01-01"), row("B02", last="2020-12-31"))
    assert registry.responsible("A01", dt.date(2024, 12, 31)) is None
    assert registry.responsible("B02", dt.date(2021, 1, 1)) is None
    assert registry.responsible("Z99", dt.date(2021, 1, 1)) is None
    assert registry.at("A01", dt.date(2024, 12, 31)) is None


def test_both_ends_of_a_span_are_included():
    """A row is valid on its first and on its last day."""
    registry = a_registry(row("A01", first="2020-01-01", last="2020-12-31"))
    inside = [
        bool(registry.at("A01", dt.date.fromisoformat(day))) for day in ("2019-12-31", "2020-01-01", "2020-12-31", "2021-01-01")
    ]
    assert inside == [False, True, True, False]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([row("A01"), row("A01", first="2020-01-01")], "line 3, column valid_from: there are two rows for A01 on 2020-01-01."),
        (
            [row("A01", first="2020-01-01"), row("A01", last="2020-01-01")],
            "line 2, column valid_from: there are two rows for A01 on 2020-01-01.",
        ),
        (
            [row("A01", last="2020-01-01", successor="Z99")],
            "line 2, column successor_code: Z99, the successor of A01, is not in the registry.",
        ),
        (
            [row("C03"), row("A01", last="2020-12-31", successor="B02"), row("B02", last="2021-12-31", successor="A01")],
            "line 3, column successor_code: the successions run in a circle: A01 -> B02 -> A01.",
        ),
        (
            [row("A01", last="2020-12-31", successor="B02"), row("B02", last="2021-12-31", successor="B02")],
            "line 3, column successor_code: the successions run in a circle: B02 -> B02.",
        ),
        (
            [row("A01", successor="B02"), row("B02")],
            "line 2, column successor_code: A01 has the successor B02 and does not end.",
        ),
        ([row("A01", last="2016-03-31")], "line 2, column valid_to: A01 ends on 2016-03-31, before it begins on 2016-04-01."),
        ([row("A01", first="01/04/2016")], "line 2, column valid_from: '01/04/2016' is not a day."),
        ([row("A01", first="")], "line 2, column valid_from: '' is not a day."),
        ([row("A01", last="20161231")], "line 2, column valid_to: '20161231' is not a day."),
        ([row("A01", last="2023-02-29")], "line 2, column valid_to: '2023-02-29' is not a day."),
        ([row("A01", reports="yes")], "line 2, column reports_from: 'yes' is not a day."),
        ([row("A01", first="1975-12-31")], "line 2, column valid_from: 1975-12-31 of A01 is not a day from 1976-01-01"),
        (
            [row("A01", last="9999-12-31")],
            "line 2, column valid_to: 9999-12-31 of A01 is not a day from 1976-01-01 to 2106-02-06.",
        ),
        ([row("A01", reports="0001-01-01")], "line 2, column reports_from: 0001-01-01 of A01 is not a day"),
        ([row("A01", block="city")], "line 2, column block: 'city' is not a block."),
        ([row("a01")], "line 2, column code: 'a01' is not a code."),
        ([row("A01", last="2020-01-01", successor="H17.12")], "line 2, column successor_code: 'H17.12' is not a code."),
        ([row("A01").replace("A01 en", " ")], "line 2, column name_en: ' ' is not a name."),
        ([row("A01").replace("A01 vi", "A01\u2028vi")], r"line 2, column name_vi: 'A01\u2028vi' is not a name."),
        ([row("A01"), "", "A02,too,short"], "line 4: it has 3 fields, the first line has 10."),
        ([row("A01"), row("A02") + ","], "line 3: it has 11 fields, the first line has 10."),
        ([row("A01"), row("A02").replace("A02 vi", '"A02'), row("A03")], "line 3: it is not CSV"),
    ],
)
def test_a_wrong_registry_is_refused(lines, words):
    """Every kind of fault is one sentence that names file, line and column, with a remedy."""
    with pytest.raises(ConfigurationError) as refused:
        AgencyRegistry.from_csv(HEADER + "\n".join(lines) + "\n", name="units.csv")
    assert refused.value.problem.startswith(f"units.csv, {words}")
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "units.csv, line 1: the column code is missing."),
        (HEADER.replace(",reports_from", "").encode(), "units.csv, line 1: the column reports_from is missing."),
        (HEADER.replace(",", ";").encode(), "units.csv, line 1: the column code is missing."),
        (
            HEADER.replace("reports_from", "reports_from,block").encode(),
            "units.csv, line 1, column block: this column is there twice.",
        ),
        (HEADER.encode(), "units.csv has no agencies."),
        (f"{HEADER}{row('A01')}\n{row('A02')}\n".encode("utf-16"), "units.csv, line 1: the byte 0xFF is not UTF-8."),
        (f"\ufeff{HEADER}{row('A01')}\n".encode() + b"A02,\xe3x\n", "units.csv, line 3: the byte 0xE3 is not UTF-8."),
    ],
)
def test_a_file_that_is_not_a_registry_is_refused(content, words):
    """A file without the columns, without agencies or in another encoding is refused, with the place of the fault."""
    with pytest.raises(ConfigurationError) as refused:
        AgencyRegistry.from_csv(content, name="units.csv")
    assert refused.value.problem == words
    assert refused.value.remedy


def test_a_registry_may_come_from_a_spreadsheet():
    """A mark at the beginning, other line ends and columns, and letters that are composed of several characters are accepted."""
    columns = HEADER.strip().split(",")
    values = dict(zip(columns, row("A01").split(","), strict=True)) | {"name_vi": "Hue\u0302\u0301", "official_name_vi": "A, B"}
    lines = [",".join([*reversed(columns), "note"]), ",".join([*(f'"{values[name]}"' for name in reversed(columns)), ""])]
    (agency,) = AgencyRegistry.from_csv(("\ufeff" + "\r\n".join(lines)).encode())
    assert (agency.name_vi, agency.official_name_vi, agency.reports_from) == ("Huế", "A, B", None)


def packaged_lines() -> list[dict[str, str]]:
    """The lines of the packaged registry."""
    text = resources.files("domain").joinpath("data/agencies.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_packaged_names_have_one_style():
    """A province is printed without its kind, except TP. Hồ Chí Minh; a ministry with its official name. English alike."""
    for line in packaged_lines():
        if line["block"] == "ministry":
            assert line["name_vi"] == line["official_name_vi"]
        elif line["code"] == "H29":
            assert (line["name_vi"], line["official_name_vi"]) == ("TP. Hồ Chí Minh", "Thành phố Hồ Chí Minh")
        else:
            assert line["official_name_vi"] in {f"Tỉnh {line['name_vi']}", f"Thành phố {line['name_vi']}"}
            letters = unicodedata.normalize("NFD", line["name_vi"].replace("Đ", "D").replace("đ", "d"))
            plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
            assert line["name_en"] == {"Ha Noi": "Hanoi"}.get(plain, plain)
        assert len(line["short_name_vi"]) <= len(line["name_vi"])
        assert line["name_en"].isascii()
        assert all(unicodedata.is_normalized("NFC", value) for value in line.values())


def test_the_packaged_cities_are_those_of_the_law(registry):
    """Centrally run cities by day: five, then Huế from 01/01/2025, then Đồng Nai from 30/04/2026."""

    def cities(day):
        agencies = registry.in_force(dt.date.fromisoformat(day))
        return {agency.code for agency in agencies if agency.official_name_vi.startswith("Thành phố ")}

    assert cities("2024-12-31") == {"H13", "H17", "H24", "H26", "H29"}
    assert cities("2025-01-01") == cities("2026-04-29") == cities("2024-12-31") | {"H57"}
    assert cities("2026-04-30") == cities("2025-01-01") | {"H19"}


def test_the_packaged_agencies_that_need_not_report(registry):
    """The three media agencies are in the registry, so their events count, and are not expected to report; all others are."""
    for agency in registry:
        assert (agency.reports_from is None) == (agency.code in {"G27", "G28", "G30"}), agency.code
        assert agency.reports_from in {None, agency.valid_from}


def test_the_packaged_confidence_says_what_the_decision_settles():
    """Quyết định 09/2025/QĐ-TTg settles every succession but two; a row is as sure as its least sure claim."""
    text = resources.files("domain").joinpath("data/successions.csv").read_text(encoding="utf-8")
    successions = {(line["old_code"], line["new_code"]): line["confidence"] for line in csv.DictReader(text.splitlines())}
    assert {codes for codes, confidence in successions.items() if confidence != "law"} == {("G24", "G12"), ("H19", "H19")}
    found = {}
    for line in packaged_lines():
        found.setdefault(line["confidence"], set()).add(line["code"])
    assert set(found) == {"law", "seen", "sequence", "unconfirmed"}
    assert found["law"] == {"G06", "G09", "G10", "G12", "G17", "G21", "G27", "G28", "G30", "H57"}
    assert found["unconfirmed"] == {"G24", "H19"}
    assert {"H15", "H49"} <= found["seen"]
    assert {"H02", "H03", "H04", "H05", "H16", "H23", "H24", "H25"} <= found["sequence"]


def test_an_agency_may_be_in_force_from_the_first_day():
    """The first day that can be counted is a day like any other."""
    assert "A01" in a_registry(row("A01", first=FIRST_DAY.isoformat()))


def test_codes_are_sorted(registry):
    """The codes are sorted and distinct: their positions are the columns' dictionary."""
    assert list(registry.codes) == sorted(set(registry.codes))
    assert [agency.code for agency in registry.in_force(dt.date(2024, 1, 1))] == sorted(
        agency.code for agency in registry.in_force(dt.date(2024, 1, 1))
    )
