"""Files of a catalogue: every way to write one, and a sentence for everything that can be wrong with it."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import zipfile
from dataclasses import replace

import openpyxl
import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS, CatalogueEntry
from domain.errors import ConfigurationError
from pipeline.catalogue import files, opening
from pipeline.catalogue.faults import MAX_LISTED, CatalogueFaultsError
from pipeline.catalogue.files import read_catalogue
from pipeline.catalogue.json_format import entry_as_dict, to_csv
from tests.cases import FOLDER

REGISTRY = AgencyRegistry.packaged()
NEW_YEAR = dt.datetime(2018, 1, 1)  # noqa: DTZ001 - a workbook knows no zones
HEADER = ",".join(COLUMNS)
LINE = "H55,1.000001,Cấp đất,toan_trinh,4,true,15,2018-01-01,2018-12-31"
ENTRY = CatalogueEntry(
    agency="H55",
    procedure_code="1.000001",
    name="Cấp đất",
    service_level="toan_trinh",
    legacy_level=4,
    eligible=True,
    longest_days=15,
    valid_from=dt.date(2018, 1, 1),
    valid_to=dt.date(2018, 12, 31),
)
FIELDS = {
    "agency_code": "H55",
    "procedure_code": "1.000001",
    "name": "Cấp đất",
    "service_level": "toan_trinh",
    "legacy_level": 4,
    "eligible": True,
    "longest_days": 15,
    "valid_from": "2018-01-01",
    "valid_to": "2018-12-31",
}


@pytest.fixture
def read(tmp_path):
    """Reads content as a file."""

    def reader(content, name="catalogue.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_catalogue(path, REGISTRY)

    return reader


def faults_of(read, content, name="catalogue.csv"):
    """The sentences about a file that has faults, without the folder of the test."""
    with pytest.raises(CatalogueFaultsError) as caught:
        read(content, name)
    return [text[text.index(name) :] for text in caught.value.faults.listed]


def workbook(*rows, sheets=("Danh mục",), change=lambda _sheet: None) -> bytes:
    """A workbook with some rows in its first sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = sheets[0]
    for row in rows:
        sheet.append(row)
    for title in sheets[1:]:
        book.create_sheet(title)
    change(sheet)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def in_workbook(**parts) -> bytes:
    """A good workbook with parts added or replaced by these bytes; __ in a name stands for /."""
    packed = io.BytesIO()
    original = io.BytesIO(workbook(COLUMNS, tuple(FIELDS.values())))
    with zipfile.ZipFile(original) as good, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as changed:
        named = {name.replace("__", "/") + ".xml": content for name, content in parts.items()}
        for name in good.namelist():
            changed.writestr(name, named.pop(name, good.read(name)))
        for name, content in named.items():
            changed.writestr(name, content)
    return packed.getvalue()


# ---- ways to write a catalogue


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (f"{HEADER}\n{LINE}\n", "c.csv"),
        (f"\ufeff{HEADER}\r\n{LINE}\r\n", "c.csv"),
        (f"{HEADER}\n{LINE}".replace(",", ";"), "c.csv"),
        (f"{HEADER}\n{LINE}".replace(",", "\t"), "c.tsv"),
        (f"sep=;\n{HEADER}\n\n{LINE}\n".replace(",", ";"), "c.csv"),
        (f"{HEADER},,\n{LINE},,\n,,,\n", "c.csv"),
        (f"{HEADER.upper()}\n{LINE.replace('Cấp đất', chr(34) + 'Cấp' + chr(10) + ' đất' + chr(34))}\n", "c.csv"),
        (gzip.compress(f"{HEADER}\n{LINE}\n".encode()), "c.csv.gz"),
        (gzip.compress(f"{HEADER}\n{LINE}\n".encode()), "c.csv"),
        (json.dumps([FIELDS], indent=1), "c.json"),
        (json.dumps(FIELDS, ensure_ascii=False) + "\n", "c.ndjson"),
        (gzip.compress(json.dumps([FIELDS]).encode()), "c.json.gz"),
        (json.dumps([FIELDS | {"legacy_level": "4", "eligible": "true", "longest_days": "15"}]), "c.json"),
        (workbook(COLUMNS, tuple(FIELDS.values())), "c.xlsx"),
        (workbook((), COLUMNS, (), tuple(FIELDS.values())), "without ending"),
        (
            workbook(COLUMNS, (*list(FIELDS.values())[:4], 4.0, True, 15.0, NEW_YEAR, dt.date(2018, 12, 31))),
            "c.xlsx",
        ),
    ],
)
def test_a_catalogue_may_be_written_in_many_ways(read, content, name):
    """CSV with any delimiter, mark and packing, JSON, NDJSON and workbooks give the same entry; the content decides."""
    found = read(content, name)
    assert found.entries == (ENTRY,)
    assert found.warnings == ()


def test_the_recorded_catalogue_is_read_as_it_is():
    """The catalogue of Thái Nguyên has five of the columns; missing ones are not stated."""
    found = read_catalogue(FOLDER / "02_thai_nguyen_catalogue.csv.gz", REGISTRY)
    assert len(found.entries) == 1_756
    assert found.entries[0] == CatalogueEntry("H55", "1.000000", dt.date(2018, 1, 1), legacy_level=4)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("text", "day"),
    [("2024-02-01", dt.date(2024, 2, 1)), ("01/02/2024", dt.date(2024, 2, 1)), (" 31/12/2024 ", dt.date(2024, 12, 31))],
)
def test_a_day_has_two_forms(read, text, day):
    """2024-02-01, and 01/02/2024 for the first of February."""
    [entry] = read(f"agency_code,procedure_code,legacy_level,valid_from\nH55,1,4,{text}\n").entries
    assert entry.valid_from == day


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("service_level", "Toàn trình", "toan_trinh"),
        ("service_level", "MỘT PHẦN", "mot_phan"),
        ("service_level", "Cung cấp thông tin", "cung_cap_thong_tin"),
        ("service_level", "", ""),
        ("eligible", "Có", True),
        ("eligible", "không", False),
        ("eligible", "0", False),
        ("eligible", "", None),
        ("longest_days", "0", 0),
        ("longest_days", "", None),
    ],
)
def test_words_of_the_field_are_understood(read, column, text, value):
    """Levels by code or official name, yes and no in both languages; an empty cell is not stated."""
    columns = ["agency_code", "procedure_code", "legacy_level", "valid_from", column]
    [entry] = read(f"{','.join(columns)}\nH55,1,4,2018-01-01,{text}\n").entries
    assert getattr(entry, column) == value


# ---- faults of rows


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"agency_code": "H99"}, "'H99' is not an agency of the registry; write a level-1 code such as H55 or G01."),
        ({"agency_code": ""}, "column agency_code: it is empty; write a level-1 code such as H55."),
        ({"agency_code": "000.00.12.H55"}, "'000.00.12.H55' is a full agency code; write its level-1 code, H55."),
        ({"procedure_code": "a b"}, "column procedure_code: 'a b' is not a procedure code; write one such as 1.001612: "),
        ({"procedure_code": 1.00161}, "column procedure_code: 1.00161 is a number, in which zeros at the end are lost; write it"),
        ({"name": "x" * 1_001}, "...' has 1,001 characters; write at most 1,000."),
        ({"name": "a\x07b"}, "has a control character; write it without."),
        ({"service_level": "mức 4"}, "'mức 4' is not a service level; write toan_trinh, mot_phan or cung_cap_thong_tin, or"),
        ({"legacy_level": "5"}, "column legacy_level: '5' is not a legacy level; write 1, 2, 3 or 4, or nothing."),
        ({"legacy_level": 0}, "column legacy_level: 0 is not a legacy level"),
        ({"legacy_level": "4,0"}, "column legacy_level: '4,0' is not a whole number; write digits only, or nothing."),
        ({"legacy_level": True}, "column legacy_level: True is not a whole number"),
        ({"legacy_level": 3.5}, "column legacy_level: 3.5 is not a whole number"),
        ({"eligible": "maybe"}, "'maybe' is neither yes nor no; write true or false (or có, không, 1, 0), or nothing."),
        ({"longest_days": "-1"}, "column longest_days: '-1' is not a whole number"),
        ({"longest_days": "4000"}, "'4000' is too long; write at most 3,650 calendar days, or nothing."),
        ({"longest_days": [1]}, "column longest_days: [1] is not a whole number"),
        ({"name": {"a": 1}}, "column name: {'a': 1} is not a text; write it as text."),
        ({"valid_from": None}, "column valid_from: it is empty; write the first day"),
        ({"valid_from": "8/20/2018"}, "'8/20/2018' can be read as two days; write it as 2024-08-20 or, day before month"),
        ({"valid_from": "01-02-2018"}, "'01-02-2018' can be read as two days"),
        ({"valid_from": "08/20/2018"}, "'08/20/2018' is not a day of the calendar, read as DD/MM/YYYY; write it as 2024-08-20"),
        ({"valid_from": "2018-02-30"}, "'2018-02-30' is not a day of the calendar; write it as 2024-08-20 or 20/08/2024."),
        ({"valid_from": "2018"}, "'2018' is not a day of the calendar"),
        ({"valid_from": 43101}, "column valid_from: 43101 is not a day; write it as 2024-08-20"),
        ({"valid_from": "2010-01-01"}, "'2010-01-01' is before H55 is in the registry; write 2016-04-01, or a later day"),
        ({"valid_to": "2017-12-31"}, "column valid_to: '2017-12-31' is before valid_from, 2018-01-01; write the last day"),
        ({"valid_to": "2200-01-01"}, "'2200-01-01' is not a day for which events can be counted; write one from 1976-01-01 to"),
        ({"agency_code": "H03", "valid_from": "2025-07-01", "valid_to": None}, "write the row for its successor, H55."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence(read, changed, sentence):
    """The sentence names file, entry, column and value, and says what to write."""
    [found] = faults_of(read, json.dumps([FIELDS, FIELDS | {"procedure_code": "1.2"} | changed]), "c.json")
    assert found.startswith("c.json, entry 2, column ")
    assert sentence in found
    assert found.endswith(".")


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [
        ([LINE, LINE], ["c.csv, line 3, column procedure_code: H55 1.000001 repeats line 2; remove one of them."]),
        (
            [LINE, LINE.replace("2018-01-01", "2018-06-01"), LINE.replace("2018-01-01,2018-12-31", "2019-01-01,")],
            ["from 2018-06-01 to 2018-12-31 contradicts line 2, from 2018-01-01 to 2018-12-31; end one (valid_to)"],
        ),
        (
            [LINE.replace(",2018-12-31", ","), LINE.replace("2018-01-01", "2018-02-01"), LINE.replace("-01-01", "-03-01")],
            ["contradicts line 2, from 2018-01-01 on; end", "contradicts line 2, from 2018-01-01 on; end"],
        ),
        ([LINE, LINE.replace("toan_trinh", "mot_phan")], ["contradicts line 2"]),
        ([LINE + ",x"], ["line 2: it has 10 fields, the header has 9; write 9 fields between delimiters ','"]),
    ],
)
def test_rows_that_contradict_each_other_are_refused(read, lines, sentences):
    """Repeats and spans that share a day name both lines."""
    found = faults_of(read, "\n".join([HEADER, *lines]), "c.csv")
    assert len(found) == len(sentences)
    for text, sentence in zip(found, sentences, strict=True):
        assert sentence in text


def test_all_faults_are_told_up_to_twenty(read):
    """Every row is checked before anything is returned: the number is that of all faults, the list that of the first."""
    lines = [HEADER, *(f"H55,1.{number},,,7,,,2018-01-01," for number in range(25)), LINE]
    with pytest.raises(
        CatalogueFaultsError, match=r"c\.csv has 25 faults, and nothing is loaded\. .*line 2, column legacy_level"
    ):
        read("\n".join(lines), "c.csv")
    assert len(faults_of(read, "\n".join(lines), "c.csv")) == MAX_LISTED


def test_a_formula_is_not_a_value(read):
    """A cell with a formula or an error of the sheet is refused, with its row and column, whatever it last gave."""
    row = (*list(FIELDS.values())[:4], "=2+2", *list(FIELDS.values())[5:])
    assert faults_of(read, workbook(COLUMNS, row), "c.xlsx") == [
        "c.xlsx, row 2, column legacy_level: '=2+2' is a formula; write the value itself."
    ]
    error = (*list(FIELDS.values())[:4], "#REF!", *list(FIELDS.values())[5:])
    assert "'#REF!' is an error of the sheet; write the value itself." in faults_of(read, workbook(COLUMNS, error), "c.xlsx")[0]
    number = ("H55", 1.00161, *list(FIELDS.values())[2:])
    assert "is a number, in which zeros at the end are lost" in faults_of(read, workbook(COLUMNS, number), "c.xlsx")[0]
    hour = (*list(FIELDS.values())[:7], NEW_YEAR + dt.timedelta(hours=8), None)
    assert "has a time of day" in faults_of(read, workbook(COLUMNS, hour), "c.xlsx")[0]


def test_a_line_that_is_not_json_is_a_fault(read):
    """The other lines are checked all the same."""
    found = faults_of(read, json.dumps(FIELDS) + "\n{oops\n[1]\n" + json.dumps(FIELDS | {"legacy_level": 9}), "c.ndjson")
    assert [text.split(":")[0] for text in found] == [
        "c.ndjson, line 2",
        "c.ndjson, line 3",
        "c.ndjson, line 4, column legacy_level",
    ]


# ---- what is unusual


def test_unknown_columns_are_ignored_and_named(read):
    """A column that is not known gives a warning, with the name that was probably meant."""
    found = read(f"{HEADER},valid_two,x\n{LINE},1,2\n")
    assert found.entries == (ENTRY,)
    assert [text[text.index("the column") :] for text in found.warnings] == [
        "the column 'valid_two' is not known, and is ignored. Was valid_to meant?",
        "the column 'x' is not known, and is ignored.",
    ]
    assert "'ghi chú'" in read(json.dumps([FIELDS | {"ghi chú": 1}]), "c.json").warnings[0]


def test_rows_without_a_level_and_other_sheets_are_named(read):
    """They are accepted with a warning."""
    assert "1 rows have neither" in read("agency_code,procedure_code,legacy_level,valid_from\nH55,1,,2018-01-01\n").warnings[0]
    found = read(workbook(COLUMNS, tuple(FIELDS.values()), sheets=("a", "b", "c")), "c.xlsx")
    assert found.warnings[0].endswith("only the first sheet is read, not b, c.")


# ---- what is not a catalogue


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("\ufeff\n \n", "is empty"),
        (f"{HEADER}\n", "has no rows below its columns"),
        ("[]", "has no rows below its columns"),
        ("agency_code,valid_from\nH55,2018-01-01\n", "does not have the column procedure_code"),
        ("agency_code,procedure_code,valid_from\nH55,1,2018-01-01\n", "does not have the column service_level or legacy_level"),
        ("<html>", "does not have the column agency_code and procedure_code and valid_from"),
        (f"{HEADER},name\n{LINE},x\n", "line 1, names the column name twice"),
        (f'{HEADER}\n"{LINE}\n{LINE}\n', "line 2, is not well-formed CSV: a quote is opened and not closed"),
        (f"{HEADER}\n{LINE}".encode("utf-16"), "is not UTF-8 but UTF-16"),
        (f"{HEADER}\n{LINE}\n".encode() + b"\xff\n", "line 3, is not UTF-8"),
        (f"{HEADER}\nH55\0\n", "holds a NUL byte"),
        ('[{"a": 1},\n{]', "line 2, is not JSON"),
        ("[" * 100_000, "cannot be read: it is nested too deep"),
        ('[{"agency_code": "H55", "agency_code": "H17"}]', "cannot be read: the field 'agency_code' stands twice in one object"),
        (b"\x28\xb5\x2f\xfd....", "is packed with zstd. Unpack it, or pack it with gzip"),
        (b"\xfd7zXZ\x00....", "is packed with xz"),
        (b"BZh91AY&SY", "is packed with bzip2"),
        (gzip.compress(gzip.compress(b"x")), "is packed with gzip twice"),
        (gzip.compress(f"{HEADER}\n{LINE}\n".encode() * 9)[:-9], "is packed with gzip and damaged or cut off"),
        (b"\xd0\xcf\x11\xe0" + bytes(20) + "EncryptedPackage".encode("utf-16-le"), "is protected by a password. Save it without"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "is an old Excel workbook (.xls). Save it as .xlsx"),
        (b"PAR1....", "is a Parquet file"),
        (b"%PDF-1.7", "is a PDF"),
        (workbook(COLUMNS)[:-30], "is a damaged workbook or ZIP archive"),
        (workbook(), "The first sheet of"),
        (workbook(("name", "name")), "row 1, names the column name twice"),
        (in_workbook(xl__worksheets__sheet1=b"<worksheet><sheetData><row>"), "is a damaged workbook"),
        (in_workbook(xl__workbook=b"<x/>"), "is a damaged workbook"),
    ],
)
def test_what_is_not_a_catalogue_is_refused_in_a_sentence(read, content, problem):
    """Empty, cut off, packed in another way, protected, of another kind: the sentence says what to do."""
    with pytest.raises(ConfigurationError) as caught:
        read(content)
    assert problem in str(caught.value)
    assert "catalogue.csv" in str(caught.value)


def test_other_archives_are_named(read):
    """A ZIP that is not a workbook is not taken for one."""

    def packed(*names):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, "x")
        return file.getvalue()

    for names, problem in ((["xl/workbook.bin"], ".xlsb"), (["mimetype"], "OpenDocument"), (["a.csv"], "is a ZIP archive")):
        with pytest.raises(ConfigurationError, match=problem):
            read(packed(*names))


def test_a_hostile_workbook_is_refused_before_it_is_parsed(read):
    """XML that grows, parts in another encoding, and parts that unpack to very much are refused by their sizes and bytes."""
    entities = b'<?xml version="1.0"?>' + b" " * (1 << 20) + b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>'
    with pytest.raises(ConfigurationError, match="defines XML entities"):
        read(in_workbook(xl__sharedStrings=entities))
    with pytest.raises(ConfigurationError, match="XML that is not UTF-8"):
        read(in_workbook(xl__sharedStrings='<?xml version="1.0"?><a/>'.encode("utf-16-le")))
    with pytest.raises(ConfigurationError, match="unpacks to more than a catalogue can be"):
        read(in_workbook(xl__sharedStrings=bytes(65 << 20)))
    with pytest.raises(ConfigurationError, match="unpacks to more than a catalogue can be"):
        read(in_workbook(**{f"a{number}": b"" for number in range(1_001)}))


def test_what_unpacks_to_very_much_is_refused(read, monkeypatch):
    """A packed file is unpacked up to a limit only, and so is the number of rows limited, and the size of a plain file."""
    monkeypatch.setattr(opening, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(ConfigurationError, match="unpacks to more than 1 MiB"):
        read(gzip.compress(bytes(8 << 20)))
    monkeypatch.setattr(opening, "MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(ConfigurationError, match="is larger than 1 MiB"):
        read(bytes((1 << 20) + 1))
    monkeypatch.setattr(files, "MAX_ROWS", 3)
    with pytest.raises(ConfigurationError, match="has more than 3 rows"):
        read("\n".join([HEADER, *(LINE.replace("1.000001", str(number)) for number in range(4))]))


def test_a_sheet_that_lies_about_its_size_is_read_whole(read):
    """Rows beyond the dimension that the sheet states are read, and a dimension of all columns costs nothing."""
    rows = [COLUMNS, *((FIELDS | {"procedure_code": f"1.{number}"}).values() for number in range(5))]
    with zipfile.ZipFile(io.BytesIO(workbook(*map(tuple, rows)))) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b'<dimension ref="A1:I6"' in sheet
    for stated in (b'<dimension ref="A1:B2"', b'<dimension ref="A1:XFD1048576"'):
        lying = in_workbook(xl__worksheets__sheet1=sheet.replace(b'<dimension ref="A1:I6"', stated))
        assert len(read(lying, "c.xlsx").entries) == 5


def test_a_sheet_with_impossible_places_costs_nothing(read):
    """A row beyond those of Excel and a cell in its last column are not waited for; a cell beyond it is a damaged workbook."""
    rows = [COLUMNS, tuple(FIELDS.values())]
    with zipfile.ZipFile(io.BytesIO(workbook(*rows))) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    end = b"</sheetData>"
    for cell in (b'<row r="999999999999"><c><v>1</v></c></row>', b'<row r="3"><c r="XFD3"><v>1</v></c></row>'):
        assert read(in_workbook(xl__worksheets__sheet1=sheet.replace(end, cell + end)), "c.xlsx").entries == (ENTRY,)
    damaged = sheet.replace(end, b'<row r="3"><c r="ZZZZZ3"><v>1</v></c></row>' + end)
    with pytest.raises(ConfigurationError, match="is a damaged workbook"):
        read(in_workbook(xl__worksheets__sheet1=damaged), "c.xlsx")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    """A missing file and a folder are named."""
    with pytest.raises(ConfigurationError, match=r"x\.csv cannot be read: No such file"):
        read_catalogue(tmp_path / "x.csv", REGISTRY)
    with pytest.raises(ConfigurationError, match="is a folder"):
        read_catalogue(tmp_path, REGISTRY)


def test_progress_is_told_in_steps(tmp_path):
    """The reader says how many rows are to come, and reports every thousand."""

    class Progress:
        seen: list = []  # noqa: RUF012 - of one test

        def begin(self, stage, total):
            self.seen.append((stage, total))

        def advance(self, steps):
            self.seen.append(steps)

    path = tmp_path / "c.csv"
    path.write_text("\n".join([HEADER, *(LINE.replace("1.000001", str(number)) for number in range(2_500))]) + "\n")
    read_catalogue(path, REGISTRY, Progress())
    assert Progress.seen == [("checking rows", 2_501), 1_000, 1_000]


def test_a_column_stands_once_in_an_object(read):
    """A line of JSON that names a column twice, in another case, too, is a fault: one of the values would be dropped."""
    same = '{"agency_code": "H55", "agency_code": "H17"}'
    case = '{"agency_code": "H55", "Agency_Code": "H17"}'
    first, second = faults_of(read, f"{same}\n{case}\n")
    assert "line 1: the field 'agency_code' stands twice in one object" in first
    assert "line 2: it names a column twice; write each column once" in second


NAMES = ['=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(A1)", "'=1", "''=1", "'a'", "Cấp lại thẻ", "- Cấp lại", "=", "a=1", "＝1"]


def test_no_name_is_a_formula_of_a_spreadsheet(read):
    """A CSV that is printed holds no cell that a spreadsheet computes, and loading it gives the same names."""
    entries = [CatalogueEntry("H17", f"1.{number:06d}", dt.date(2024, 1, 1), name=name) for number, name in enumerate(NAMES)]
    entries = [replace(entry, service_level="mot_phan") for entry in entries]
    text = to_csv([entry_as_dict(entry) for entry in entries])
    cells = [row["name"] for row in csv.DictReader(io.StringIO(text))]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert [entry.name for entry in read(text).entries] == NAMES
    typed = "agency_code,procedure_code,name,service_level,valid_from\nH17,1.000001,=1,mot_phan,2024-01-01\n"
    assert [entry.name for entry in read(typed).entries] == ["=1"]
