"""A file is what it holds: known packings and formats are read whatever their name, all others are refused before any message."""

from __future__ import annotations

import bz2
import csv
import decimal
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
from contextlib import suppress

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from producers.replay.sources.files import FileSource
from producers.replay.sources.formats import Format

EVENTS = [
    {
        "event_id": f"0190163d-8694-8f6a-a123-{number:012x}",
        "dossier_code": f"H26-240502-{number:04d}",
        "agency_code": "H26",
        "status": 9,
        "occurred_at": f"2024-05-02T08:30:0{number}.000+07:00",
        "portal_id": "Hà Nội",
    }
    for number in range(5)
]
NDJSON = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in EVENTS)
BOM = b"\xef\xbb\xbf"


def in_columns(delimiter=",", events=EVENTS, **options):
    """The events as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(EVENTS[0]), delimiter=delimiter, **options)
    writer.writeheader()
    writer.writerows(events)
    return text.getvalue().encode()


def zstd(data):
    """Packed by zstd."""
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as file:
        file.write(data)
    return buffer.getvalue().to_pybytes()


def parquet(**columns):
    """A Parquet file of five rows; a column given replaces that of the events."""
    table = {name: pa.array([event[name] for event in EVENTS]) for name in EVENTS[0]} | columns
    sink = io.BytesIO()
    pq.write_table(pa.table({name: column for name, column in table.items() if column is not None}), sink)
    return sink.getvalue()


def zipped(data):
    """An archive with one file."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("events.ndjson", data)
    return sink.getvalue()


PACK = {"gzip": gzip.compress, "zstd": zstd, "xz": lzma.compress, "bzip2": bz2.compress}


def source_of(tmp_path, name, data, **options):
    """A file with these bytes, as a source."""
    path = tmp_path / name
    path.write_bytes(data)
    return FileSource((str(path),), **options)


def events_of(source):
    """What it sends after the check."""
    source.check()
    return [msgspec.json.decode(message.value) for message in source()]  # as the worker does; json would take a byte order mark


def refusal_of(source):
    """The sentence with which a source is refused before the first message."""
    with pytest.raises(ConfigurationError) as caught:
        source.check()
    assert caught.value.remedy
    return str(caught.value)


def sent_before(source):
    """Messages that came before the sentence with which reading ended, and the sentence."""
    source.check()
    messages = []
    with pytest.raises(ConfigurationError) as caught:
        messages.extend(source())
    assert caught.value.remedy
    return messages, str(caught.value)


@pytest.mark.parametrize("name", ["events.ndjson", "UPPER.NDJSON.GZ", "events.gz", "events.csv", "events.parquet", "events"])
@pytest.mark.parametrize("packing", [None, *PACK])
@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_the_content_decides_not_the_name(tmp_path, name, packing, form):
    """Whatever a file is called, its first bytes say how it is packed and what it is."""
    data = {"ndjson": NDJSON, "csv": in_columns(), "parquet": parquet()}[form]
    assert events_of(source_of(tmp_path, name, PACK[packing](data) if packing else data)) == EVENTS


@pytest.mark.parametrize("packing", PACK)
def test_several_members_are_one_file(tmp_path, packing):
    """Packed files that were written one behind the other are read to their end."""
    pack = PACK[packing]
    assert len(events_of(source_of(tmp_path, "e", pack(NDJSON) + pack(NDJSON)))) == 10


@pytest.mark.parametrize("packing", ["gzip", "xz", "bzip2"])
def test_zero_bytes_after_a_member_are_padding(tmp_path, packing):
    """Zero bytes behind a member, as xz and tapes write them, end nothing: the members after them are read."""
    pack = PACK[packing]
    data = pack(NDJSON) + bytes(8) + pack(b"") + pack(NDJSON) + bytes(70_000)
    assert events_of(source_of(tmp_path, "e", data)) == EVENTS + EVENTS


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_of_nothing_holds_no_message(tmp_path, packing):
    """Members of no bytes are members, the first one, too."""
    pack = PACK[packing]
    assert events_of(source_of(tmp_path, "e", pack(b""))) == []
    assert events_of(source_of(tmp_path, "e", pack(b"") + pack(NDJSON))) == EVENTS


@pytest.mark.parametrize("packing", [None, *PACK])
def test_files_that_were_joined_keep_no_mark(tmp_path, packing):
    """A byte order mark in front of a line is not part of an event: joined files have one where each of them began."""
    pack = PACK[packing] if packing else bytes
    for data in (NDJSON, in_columns(), in_columns(quoting=csv.QUOTE_ALL)):
        more = data if data == NDJSON else data.split(b"\r\n", 1)[1]  # without the header
        assert events_of(source_of(tmp_path, "e", pack(BOM + BOM + data) + pack(BOM + more))) == EVENTS + EVENTS


def test_a_damaged_page_of_parquet_is_no_value(tmp_path):
    """Where pages have checksums, a value that changed on the disk is an error and no event."""
    sink = io.BytesIO()
    table = pa.table({name: [event[name] for event in EVENTS] for name in EVENTS[0]})
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True)
    assert events_of(source_of(tmp_path, "e.parquet", sink.getvalue())) == EVENTS
    damaged = sink.getvalue().replace(b"H26-240502-0003", b"H25-240502-0003")
    messages, sentence = sent_before(source_of(tmp_path, "e.parquet", damaged))
    assert not messages
    assert "damaged" in sentence


@pytest.mark.parametrize(
    "column",
    [
        *("portal_id ", " portal_id", "Portal_ID", "portal_id\u00a0", "\uff50ortal_id"),
        *("portal_id\u200b", "\ufeffportal_id", "portal\u00ad_id", "\u202aportal_id\u202c", "portal_id\x01", "portal_id\u2028"),
        *("portal_id\ufe0f", "portal_id\u3164", "portal_id\u2800", "portal\u034f_id", "portal_id\U000e0001"),
        *("portal id", "portal-id", "portalId", "PORTALID", "portal__id", "portal\u2011id", "portal\u203fid"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_column_that_is_nearly_a_field_is_refused(tmp_path, column, form):
    """A column whose name looks like that of a field is named: its values would be omitted without a word."""
    data = {
        "csv": in_columns().replace(b"portal_id", column.encode()),
        "parquet": parquet(portal_id=None, **{column: pa.array(["p"] * 5)}),
    }[form]
    sentence = refusal_of(source_of(tmp_path, "e", data))
    assert f"the column {column!a}" in sentence
    assert "Write it as portal_id" in sentence


@pytest.mark.parametrize("field", EVENTS[0])
@pytest.mark.parametrize("mark", ["\ufeff", "\u200b"])
def test_no_column_hides_behind_an_invisible_character(tmp_path, field, mark):
    """A required field is named as it is written, too, and not listed as missing beside its double."""
    columns = {field: None, field + mark: pa.array([event[field] for event in EVENTS])}
    assert f"the column {field + mark!a}" in refusal_of(source_of(tmp_path, "e.parquet", parquet(**columns)))


@pytest.mark.parametrize(
    "column", ["note", "portal", "trạng thái", "status của hồ sơ", "số", "渠道channel", "status_2", "x_channel"]
)
def test_other_columns_are_the_business_of_their_file(tmp_path, column):
    """A column that looks like no field is sent with the others."""
    assert events_of(source_of(tmp_path, "e.parquet", parquet(**{column: pa.array(["a"] * 5)})))[0][column] == "a"


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("damage", ["other bytes", "a damaged head", "a head that is cut off"])
def test_what_follows_a_member_is_read_or_named(tmp_path, packing, damage):
    """Nothing behind a whole member is dropped without a word: it is another member, padding, or an error after its messages."""
    large = b"".join(json.dumps({"n": number}).encode() + b"\n" for number in range(20_000))
    second = PACK[packing](NDJSON)
    tail = {"other bytes": NDJSON, "a damaged head": second[:1] + b"!" + second[2:], "a head that is cut off": second[:2]}[damage]
    messages, sentence = sent_before(source_of(tmp_path, "e", PACK[packing](large) + tail))
    assert 0 < len(messages) <= 20_000
    assert f"its {packing} data are" in sentence


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (bytes.fromhex("28b52ffd2305000000012900006f6e650a"), "zstd -d -D"),  # names dictionary 5
        (bytes.fromhex("28b52ffd00a0010000"), "--long=31"),  # a window of a GiB
    ],
)
def test_zstd_data_that_need_more_than_themselves_are_not_called_damaged(tmp_path, data, remedy):
    """A dictionary or a large window is named, with the command that unpacks it."""
    with pytest.raises(ConfigurationError) as caught:
        source_of(tmp_path, "e.zst", data).check()
    assert remedy in str(caught.value.remedy)
    assert "damaged" not in caught.value.problem


def v7_tar():
    """A tar archive of the oldest form, which has no magic: GNU's without its mark, summed up again."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("events.ndjson")
        member.size = len(NDJSON)
        archive.addfile(member, io.BytesIO(NDJSON))
    data = bytearray(file.getvalue())
    data[257:512] = bytes(255)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["events.ndjson"]
    return bytes(data)


V7_TAR = v7_tar()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("e.zip", zipped(NDJSON), "ZIP archive"),
        ("e.ndjson", bytes(range(128, 256)) * 600, "not a recording of events"),
        ("e.ndjson.gz", gzip.compress(gzip.compress(NDJSON)), "packed twice: gzip in gzip"),
        ("e.ndjson.gz", gzip.compress(lzma.compress(NDJSON)), "packed twice: xz in gzip"),
        ("e.ndjson.gz", b"", "is empty, and a gzip file is not"),
        ("e.ndjson.gz", gzip.compress(NDJSON)[:15], "cannot be read: its gzip data are cut off"),
        ("e.ndjson.gz", gzip.compress(NDJSON)[:12] + b"<html>" * 50, "its gzip data are damaged"),
        ("e.ndjson.gz", gzip.compress(b"<!DOCTYPE html><html>Log in</html>"), "HTML or XML"),
        ("e.ndjson", b"<?xml version='1.0'?>\n<a/>", "HTML or XML"),
        ("e.ndjson", b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        ("e.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        ("e.pdf", b"%PDF-1.7\n", "PDF"),
        ("e.ndjson", NDJSON.decode().encode("utf-16"), "UTF-16"),
        ("e.ndjson", NDJSON.decode().encode("utf-16-le"), "UTF-16"),
        ("e.csv", in_columns().decode().encode("utf-16"), "UTF-16"),
        ("e.csv", in_columns().decode().encode("utf-32"), "UTF-16 or UTF-32"),
        ("e.json", json.dumps(EVENTS).encode(), "JSON array"),
        ("e.json", json.dumps(EVENTS, indent=1).encode(), "JSON array"),
        ("e.json", json.dumps(EVENTS[0], indent=1).encode(), "JSON object on one line"),
        ("e.ndjson", NDJSON.replace(b"\n", b"\r"), "carriage return"),
        ("e.txt", b"dear all,\nplease find attached\n", "begins with 'dear all,'"),
        ("e.parquet", parquet()[:-20], "not a Parquet file, or a damaged one"),
        ("e.parquet", b"", "not a Parquet file"),
        ("e.parquet", parquet(event_id=None), "no column event_id"),
        ("e.csv", b"", "has no column"),
        ("e.csv", b"\n\n", "has no column"),
        ("e.csv", b"a;b;c\n1;2;3\n", "has no column"),
        ("e.csv", b"event_id,dossier_code,occurred_at,status,status\n", "column status twice"),
        ("e.arrow", b"ARROW1\0\0", "Arrow"),
        ("e.avro", b"Obj\x01", "Avro"),
        ("e.db", b"SQLite format 3\0", "SQLite"),
        ("e.tar", b"x" * 257 + b"ustar" + bytes(100), "tar archive"),
        ("e.tar", V7_TAR, "tar archive"),
        ("e.tar.gz", gzip.compress(V7_TAR), "tar archive"),
        ("e.tar", bytes(10_240), "an empty tar archive, or was not copied completely"),
        ("e.ndjson", bytes(1 << 20) + NDJSON, "begins with zero bytes"),
        ("e.lz4", b"\x04\x22\x4d\x18" + bytes(20), "lz4"),
        ("e.json", b"[\n" + b",\n".join(NDJSON.splitlines()) + b"\n]\n", "JSON array"),
        ("e.json", b"[\n " + b"\n,".join(NDJSON.splitlines()) + b"\n]\n", "JSON array"),
        ("e.json", b"[\n" + b",\n".join(NDJSON.splitlines()[:2]) + b"\n]\n", "JSON array"),
        ("e.json", b'{"events": [\n' + b",\n".join(NDJSON.splitlines()[:2]) + b"\n]}\n", "JSON object on one line"),
        ("e.json", b",\n".join(NDJSON.splitlines()), "JSON object on one line"),
        ("e.ndjson", NDJSON.replace(b"\n", b"") * 100, "JSON object on one line"),
        ("e.ndjson", NDJSON.replace(b"\n", b" ") * 100, "JSON object on one line"),
        ("e.ndjson", NDJSON.replace(b"\n", b"\r") * 100, "carriage return"),
        ("e.ndjson", NDJSON.replace(b"{", b'{"v": NaN, '), "it holds NaN, which JSON does not have. Write null in its place."),
        ("e.ndjson", NDJSON.replace(b"{", b'{"v": -Infinity, '), "it holds -Infinity, which JSON does not have"),
        ("e.ndjson", NDJSON.replace(b"{", b'{"v": "\\ud800", '), "it holds half of a surrogate pair"),
        ("e.ndjson", NDJSON.replace(b"{", b'{"v": "\x01", '), "it holds a control character that is not escaped"),
        ("e.ndjson", NDJSON.replace(b"{", b'{"v": 01, '), "Expecting ',' delimiter, at character 8."),
        ("e.ndjson", NDJSON.replace(b"{", b'{"v": %s, ' % (b"[" * 3000 + b"]" * 3000)), "a value in it is too long or too deep"),
        ("e.ndjson", NDJSON.replace(b"\n", "\u2028".encode()), r"U+2028 separates the objects in place of a line feed. Convert"),
        ("e.ndjson", NDJSON.replace(b"\n", "\u2029".encode()), r"with `sed 's/\xe2\x80\xa9/\n/g'`"),
        ("e.ndjson", NDJSON.replace(b"\n", b"\x0c"), "U+000C separates the objects"),
        ("e.lzma", lzma.compress(NDJSON, format=lzma.FORMAT_ALONE), "packed with lzma"),
        ("e.zip", b"PK\x05\x06" + bytes(18), "ZIP archive without files"),
        ("e.parquet", b"PARE" + bytes(20), "encrypted Parquet"),
        ("e.feather", b"FEA1" + bytes(20), "old Feather"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",  # packed data hold the time, which no name may
)
def test_what_is_no_recording_is_refused_before_the_first_message(tmp_path, name, data, words):
    """Archives, images, pages, other encodings and other formats are named, with what to do."""
    assert words in refusal_of(source_of(tmp_path, name, data))


LINES = NDJSON.splitlines()
WRAPPED = b'{"total": 5, "events": [\n' + b",\n".join(LINES) + b"\n]}\n"
#: Layouts of JSON that are not an object a line, by the command that converts them.
LAYOUTS = [
    ("jq -c '.[]'", b"[\n" + LINES[0] + b"\n]\n"),
    ("jq -c '.[]'", b"[\n" + b"\n,\n".join(LINES) + b"\n]\n"),
    ("jq -c '.[]'", b"[\r\n" + b"\r\n,\r\n".join(LINES) + b"\r\n]\r\n"),
    ("jq -c '.[]'", b"[\n" + b",\n".join(LINES) + b"]"),
    ("jq -c '.[]'", b"[" + b",\n".join(LINES) + b"]"),
    ("jq -c '.[]'", json.dumps(EVENTS).encode()),
    ("jq -c '.events[]'", WRAPPED),
    ("jq -c '.events[]'", b'{"events":[\n' + LINES[0] + b"\n]}\n"),
    ("jq -c '.events[]'", json.dumps({"events": EVENTS}, indent=2).encode()),
    ("""jq -c '.["hồ sơ"][]'""", WRAPPED.replace(b"events", "hồ sơ".encode())),
    ("sed -E 's/^[[:space:]]*,|,[[:space:]]*$//g'", b",\n".join(LINES) + b"\n"),
    ("sed -E 's/^[[:space:]]*,|,[[:space:]]*$//g'", b",\n".join(LINES) + b",\n"),
    ("sed -E 's/^[[:space:]]*,|,[[:space:]]*$//g'", b",\r\n".join(LINES) + b",\r\n"),
    ("sed -E 's/^[[:space:]]*,|,[[:space:]]*$//g'", b"\n, ".join(LINES) + b"\n"),
    ("sed -E 's/^[[:space:]]*,|,[[:space:]]*$//g'", b"\n,\n".join(LINES) + b"\n"),
    (r"tr '\0' '\n'", b"\0".join(LINES)),
    (r"tr '\0' '\n'", b"\0".join(LINES) + b"\0"),
    ("(echo '['; cat FILE; echo ']') | jq -c '.[]'", b", ".join(LINES)),
    ("jq -c .", b"".join(LINES)),
    ("jq -c .", b"".join(json.dumps(event, indent=2).encode() for event in EVENTS)),
    ("jq -c .", json.dumps(EVENTS[0] | {"notes": [{"a": 1}]}, indent=2).encode()),
]


@pytest.mark.parametrize(("command", "data"), LAYOUTS)
def test_a_layout_of_json_is_refused_with_a_command_that_converts_it(tmp_path, command, data):
    """Every layout of one document is refused before the first message, and what the sentence says to do works."""
    source = source_of(tmp_path, "e.json", data)
    path = source.names[0]
    assert f"`{command}`" in refusal_of(source)
    if "jq" in command and shutil.which("jq") is None:
        return
    converted = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("FILE", path)], input=data, capture_output=True, check=True, timeout=30
    ).stdout
    events = events_of(source_of(tmp_path, "converted.ndjson", converted))
    assert [{name: event[name] for name in EVENTS[0]} for event in events] == EVENTS[: len(events)]
    assert len(events) == data.count(b'"event_id"')


@pytest.mark.parametrize(
    "first", [b'{"event_id": "0190163d-8694', b"[INFO] begin", b"[1]", b'{"a": [1, 2', b"[", b"null,"], ids=ascii
)
def test_a_first_line_that_is_no_event_makes_no_document(tmp_path, first):
    """A message that was cut off, or a line of a log, is a message beside events; only an opened array is not."""
    source = source_of(tmp_path, "e.ndjson", first + b"\n" + NDJSON)
    if first == b"[":
        assert "JSON array" in refusal_of(source)
    else:
        source.check()
        assert [message.value for message in source()] == [first, *LINES]


def test_every_file_is_looked_at_before_the_first_is_sent(tmp_path):
    """A second file that is not a recording is found before a message of the first one is sent."""
    good = source_of(tmp_path, "good.ndjson", NDJSON)
    bad = source_of(tmp_path, "bad.ndjson", b"\x89PNG\r\n")
    assert "bad.ndjson is a PNG" in refusal_of(FileSource(good.names + bad.names))


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\n"])
def test_nothing_is_no_message(tmp_path, data):
    """An empty file of lines, or one of blank lines, holds no messages."""
    assert events_of(source_of(tmp_path, "e.ndjson", data)) == []


def test_a_header_alone_is_no_message(tmp_path):
    """A CSV or Parquet without rows holds no messages."""
    assert events_of(source_of(tmp_path, "e.csv", in_columns(events=[]))) == []
    empty = parquet(**{name: pa.array([], pa.string()) for name in EVENTS[0]})
    assert events_of(source_of(tmp_path, "e.parquet", empty)) == []


def test_lines_that_are_no_events_are_messages_beside_events(tmp_path):
    """One JSON object among the first lines makes a recording; what stands around it is judged by the worker."""
    source = source_of(tmp_path, "e.ndjson", b"no json\n\xff\xfe\n" + NDJSON + b"[1]")
    source.check()
    assert [message.value for message in source()] == [b"no json", b"\xff\xfe", *NDJSON.splitlines(), b"[1]"]


def test_a_format_that_is_said_is_not_guessed(tmp_path):
    """--format ndjson sends lines of anything; a format that cannot be is refused."""
    source = source_of(tmp_path, "e.txt", b"poison\n\0\n", format=Format.NDJSON)
    source.check()
    assert [message.value for message in source()] == [b"poison", b"\0"]
    assert "is a Parquet file" in refusal_of(source_of(tmp_path, "e.txt", parquet(), format=Format.NDJSON))


@pytest.mark.parametrize("data", [BOM + NDJSON, BOM + in_columns(), NDJSON.replace(b"\n", b"\r\n"), NDJSON.rstrip(b"\n")])
@pytest.mark.parametrize("packing", [None, "gzip"])
def test_marks_and_line_ends_are_no_part_of_an_event(tmp_path, data, packing):
    """A byte order mark, CRLF and a missing last line end change no event."""
    assert events_of(source_of(tmp_path, "e", PACK[packing](data) if packing else data)) == EVENTS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_header_tells_the_delimiter(tmp_path, delimiter, quoting, end):
    """Comma, semicolon, tab and bar are understood, with any line ends."""
    data = in_columns(delimiter, quoting=quoting, lineterminator=end)
    assert events_of(source_of(tmp_path, "e.csv", data)) == EVENTS


@pytest.mark.parametrize("more", [12_000, 12_001, 12_002, 12_003, 12_004, 12_005, 40_000])
def test_a_header_may_be_longer_than_what_is_examined(tmp_path, more):
    """A header that goes on behind the first bytes is not judged by the part of a name that they end with."""
    header, *rows = in_columns().splitlines()
    columns = b"".join(b",c%d" % number for number in range(more))
    data = b"\n".join([header + columns, *(row + b"," * more for row in rows)])
    assert events_of(source_of(tmp_path, "e.csv", data)) == EVENTS
    with pytest.raises(ConfigurationError, match=r"has the column c5 twice"):
        events_of(source_of(tmp_path, "e.csv", header + columns + b",c5\n" + rows[0] + b"," * (more + 1)))


def test_another_delimiter_is_said(tmp_path):
    """--delimiter forces one; Excel's line for it is understood, too."""
    assert events_of(source_of(tmp_path, "e.csv", in_columns("^"), delimiter="^")) == EVENTS
    assert events_of(source_of(tmp_path, "e.csv", b"sep=;\r\n" + in_columns(";"))) == EVENTS


ROW = b"0190163d-8694-8f6a-a123-0000000000ff,H26-240502-0009,H26,9,2024-05-02T08:30:00.000+07:00,x\r\n"


@pytest.mark.parametrize(
    ("broken", "line", "words"),
    [
        (b'"' + ROW + 500 * ROW, 7, "a quote is opened and not closed"),
        (b'"' + ROW + ROW + b'"' + ROW, 7, "expected after"),
        (ROW.replace(b",x", b',"x') + ROW + ROW.replace(b",x", b',x"'), 7, "holds whole rows"),
        (b'"' + ROW + b"y" * (2 << 20), 7, "longer than"),
        (b'a"b' + ROW.replace(b"H26-", b'"H26"-'), 7, "expected after"),
        (b"1,2,3\r\n", 7, "it has 3 fields, the header has 6"),
        (ROW.rstrip() + b",more\r\n", 7, "it has 7 fields"),
        (ROW + ROW[:30], 8, "it has 1 fields"),
        (ROW.replace(b"x", b"\xff"), 7, "not UTF-8"),
        (ROW.replace(b"x", b"\0"), 7, "NUL"),
    ],
)
def test_a_csv_that_is_not_well_formed_ends_at_its_line(tmp_path, broken, line, words):
    """What breaks the format is refused with line and reason; the rows before it are sent, none behind it vanishes in a field."""
    messages, said = sent_before(source_of(tmp_path, "e.csv", in_columns() + broken))
    assert [json.loads(message.value) for message in messages[:5]] == EVENTS
    assert len(messages) == line - 2
    assert f"line {line}, is not well-formed CSV" in said
    assert words in said


@pytest.mark.parametrize(
    ("cell", "sent"),
    [("9", 9), (" 9 ", 9), ("²", "²"), ("٣", "٣"), ("9" * 5_000, "9" * 5_000), ("-1", "-1"), ("9.0", "9.0"), ("nine", "nine")],
)
def test_an_odd_value_is_sent_as_it_is(tmp_path, cell, sent):
    """A cell that is not a number is sent as text: the worker dead-letters it."""
    events = events_of(source_of(tmp_path, "e.csv", in_columns(events=[EVENTS[0] | {"status": cell}])))
    assert events == [EVENTS[0] | {"status": sent}]


def test_digits_in_a_text_stay_a_text(tmp_path):
    """Only fields that are numbers become numbers: a portal called 007 keeps its name."""
    events = events_of(source_of(tmp_path, "e.csv", in_columns(events=[EVENTS[0] | {"portal_id": "007"}])))
    assert events == [EVENTS[0] | {"portal_id": "007"}]


def test_a_cell_of_several_lines_is_a_value(tmp_path):
    """A quoted field may hold line breaks and delimiters, as long as no whole row is in it."""
    event = EVENTS[0] | {"portal_id": 'a "b",\nc\r\nd'}
    assert events_of(source_of(tmp_path, "e.csv", in_columns(events=[event, EVENTS[1]]))) == [event, EVENTS[1]]


@pytest.mark.parametrize(
    ("column", "kind", "values", "sent"),
    [
        ("occurred_at", pa.timestamp("us", "UTC"), [253402300799000000] * 5, "9999-12-31T23:59:59.000+00:00"),
        ("occurred_at", pa.timestamp("ms", "UTC"), [253402275599999] * 5, "9999-12-31T23:59:59.999+07:00"),
        ("occurred_at", pa.timestamp("s", "UTC"), [-62135596800] * 5, "0001-01-01T00:00:00.000+00:00"),
        ("due_at", pa.timestamp("us", "+07:00"), [1_718_051_400_000_000] * 5, "2024-06-11T03:30:00.000+07:00"),
        # A time of day on a clock that is not known: it is sent as it is written.
        ("printed_at", pa.timestamp("us"), [1_718_051_400_000_000] * 5, "2024-06-10T20:30:00.000"),
        ("occurred_at", pa.timestamp("ms", "ICT"), [0] * 5, "1970-01-01T08:00:00.000+08:00"),
        ("occurred_at", pa.timestamp("ns", "Mars/Olympus"), [1_700_000_000_000_000_000] * 5, "2023-11-15T05:13:20.000+07:00"),
        ("occurred_at", pa.date32(), [0] * 5, "1970-01-01"),
        ("status", pa.float64(), [9.0, None, float("nan"), 9.0, 9.0], 9),
        ("status", pa.float64(), [9.5] * 5, 9.5),
        ("status", pa.float64(), [float("inf")] * 5, "inf"),
        ("status", pa.decimal128(5, 2), [decimal.Decimal(9)] * 5, 9),
        ("status", pa.bool_(), [True] * 5, True),
        ("portal_id", pa.binary(), [b"H\xc3\xa0"] * 5, "Hà"),
        ("portal_id", pa.dictionary(pa.int8(), pa.string()), ["a"] * 5, "a"),
        ("portal_id", pa.list_(pa.int64()), [[1, 2]] * 5, [1, 2]),
        ("portal_id", pa.struct([("a", pa.int64())]), [{"a": 1}] * 5, {"a": 1}),
    ],
)
def test_columns_of_any_type_are_sent(tmp_path, column, kind, values, sent):
    """Extremes of time, zones that are unknown here, decimals, bytes and nested values are expressed in JSON."""
    events = events_of(source_of(tmp_path, "e.parquet", parquet(**{column: pa.array(values, kind)})))
    assert events[0][column] == sent
    if values[1] is None:
        assert [column in event for event in events] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        ("occurred_at", pa.timestamp("us", "UTC"), [0, 0, 2**63 - 1, 0, 0]),
        ("occurred_at", pa.timestamp("us", "UTC"), [0, 0, -(2**63), 0, 0]),
        ("occurred_at", pa.timestamp("ms", "UTC"), [0, 0, -62135596800001, 0, 0]),
        ("printed_at", pa.timestamp("ms"), [0, 0, -62135596800001, 0, 0]),
        ("occurred_at", pa.date64(), [0, 0, 2**60, 0, 0]),
        ("portal_id", pa.binary(), [b"a", b"a", b"\xff", b"a", b"a"]),
    ],
)
def test_what_json_cannot_express_is_named_with_row_and_column(tmp_path, column, kind, values):
    """A year beyond 9999 or bytes that are not text end the reading with file, row and column."""
    _, said = sent_before(source_of(tmp_path, "e.parquet", parquet(**{column: pa.array(values, kind)})))
    assert "e.parquet, row 3" in said
    assert "column" not in said or f"column {column}" in said


@pytest.mark.parametrize("column", ["occurred_at", "due_at"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_without_a_zone_is_no_instant(tmp_path, column, unit):
    """A Parquet time without a zone is refused before the first message: read as UTC it would move by seven hours."""
    good = source_of(tmp_path, "good.ndjson", NDJSON)
    bad = source_of(tmp_path, "e.parquet", parquet(**{column: pa.array([0] * 5, pa.timestamp(unit))}))
    sentence = refusal_of(FileSource(good.names + bad.names))
    assert f"e.parquet, column {column}: its times have no time zone" in sentence
    assert 'tz_localize("Asia/Ho_Chi_Minh")' in sentence
    assert "TIMESTAMPTZ" in sentence


def test_old_times_of_parquet_without_a_zone_are_refused(tmp_path):
    """INT96, which Spark and Impala write, keeps no zone; a dictionary of times has none either."""
    times = pa.array([0] * 5, pa.timestamp("ns", "UTC"))
    table = pa.table({name: pa.array([event[name] for event in EVENTS]) for name in EVENTS[0]} | {"occurred_at": times})
    sink = io.BytesIO()
    pq.write_table(table, sink, use_deprecated_int96_timestamps=True)
    assert "no time zone" in refusal_of(source_of(tmp_path, "e.parquet", sink.getvalue()))
    words = parquet(occurred_at=pa.array([0] * 5, pa.timestamp("us")).dictionary_encode())
    assert "no time zone" in refusal_of(source_of(tmp_path, "e.parquet", words))


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_that_is_cut_off_says_how_far_it_came(tmp_path, packing):
    """Half of a packed file is read as far as it goes; then the sentence names the last line."""
    many = b"".join(
        b'{"event_id":"%030d","dossier_code":"%s"}\n' % (number, os.urandom(20).hex().encode()) for number in range(60_000)
    )
    packed = PACK[packing](many)
    messages, said = sent_before(source_of(tmp_path, "e", packed[: len(packed) // 2]))
    assert 0 < len(messages) < 60_000
    assert f"cannot be read beyond line {len(messages):,}: its {packing} data are cut off" in said


@pytest.mark.parametrize("packing", ["gzip", "xz", "bzip2"])
def test_a_packed_file_that_is_damaged_is_an_error(tmp_path, packing):
    """A byte that was turned over within the packed data does not pass."""
    packed = bytearray(PACK[packing](NDJSON * 3_000))
    packed[len(packed) // 2] ^= 0xFF
    _, said = sent_before(source_of(tmp_path, "e.ndjson", bytes(packed)))
    assert f"its {packing} data are" in said


def test_a_line_without_end_is_not_kept_in_memory(tmp_path, monkeypatch):
    """A line that is longer than any event ends the reading with its number."""
    monkeypatch.setattr("producers.replay.sources.files._LONGEST_LINE", 1_000)
    messages, said = sent_before(source_of(tmp_path, "e.ndjson", NDJSON + b"x" * 5_000))
    assert len(messages) == 5
    assert "line 6 is longer than" in said


def test_a_file_that_changes_is_named(tmp_path):
    """A file that is cut, written to or replaced while it is read, or between two loops, ends the replay."""
    source = source_of(tmp_path, "e.ndjson", NDJSON)
    source.check()
    path = tmp_path / "e.ndjson"
    reading = source()
    next(reading)
    os.truncate(path, len(NDJSON) // 2)
    with pytest.raises(ConfigurationError, match="changed while it was replayed"):
        list(reading)
    with pytest.raises(ConfigurationError, match="changed while it was replayed"):
        list(source())
    path.unlink()
    with pytest.raises(ConfigurationError, match="no such file"):
        list(source())


@pytest.mark.parametrize("packing", [None, *PACK])
@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_a_pipe_is_read_once_and_whole(tmp_path, packing, form):
    """Bytes that were examined before the first message are read again."""
    data = {"ndjson": NDJSON, "csv": in_columns(), "parquet": parquet()}[form]
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = FileSource((str(path),))
    assert not source.repeatable
    writer = threading.Thread(target=path.write_bytes, args=(PACK[packing](data) if packing else data,))
    writer.start()
    assert events_of(source) == EVENTS
    writer.join()


def test_a_pipe_that_pauses_is_not_waited_for(tmp_path):
    """One line is enough to begin with: a live stream is replayed as it comes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = FileSource((str(path),))
    lines = NDJSON.splitlines(keepends=True)
    with os.fdopen(os.open(path, os.O_RDWR), "wb", buffering=0) as writer:
        writer.write(lines[0])
        source.check()
        reading = source()
        assert json.loads(next(reading).value) == EVENTS[0]
        writer.write(lines[1])
        assert json.loads(next(reading).value) == EVENTS[1]


def test_standard_input_that_is_closed_is_one_sentence(monkeypatch):
    """Services start programs without a standard input."""
    monkeypatch.setattr("sys.stdin", None)
    assert "Standard input is closed" in refusal_of(FileSource(("-",)))


def test_a_pipe_that_is_named_twice_is_refused(tmp_path):
    """The second name would take bytes out of the middle of what the first one reads."""
    pipe, other = tmp_path / "pipe", tmp_path / "other"
    os.mkfifo(pipe)
    other.symlink_to(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)
    try:
        os.write(writing, NDJSON)
        assert "named twice" in refusal_of(FileSource((str(pipe), str(other))))
    finally:
        os.close(writing)
        os.close(reading)


def test_a_folder_is_named(tmp_path):
    """A folder is not a recording; the sentence says how to name its files."""
    assert f"{tmp_path} is a folder. Name its files" in refusal_of(FileSource((str(tmp_path),)))


def test_a_message_is_found_again_by_its_number(tmp_path):
    """For a sentence about one message its file and line are read again."""
    first = source_of(tmp_path, "a.ndjson", b"\n" + NDJSON)
    second = source_of(tmp_path, "b.csv", in_columns())
    both = FileSource(first.names + second.names)
    assert both.describe(1).endswith("a.ndjson, line 3")
    assert both.describe(6).endswith("b.csv, line 3")


@given(st.binary(max_size=200), st.sampled_from(["e.ndjson", "e.csv", "e.parquet", "e.gz", "e"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, name):
    """Whatever a file holds, it is sent or answered with a sentence."""
    source = source_of(tmp_path_factory.mktemp("any"), name, data)
    with suppress(ConfigurationError):
        source.check()
        list(source())
