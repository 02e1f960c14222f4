"""The bulk decoder against the validator: for any batch, both give the same verdict on every message."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
import uuid
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.agencies import Agency, AgencyRegistry
from domain.errors import InvariantError
from domain.events import FIELDS, OCCURRED_AT, DossierEvent, Reason, Rejection
from domain.periods import LAST_INSTANT, civil_day
from domain.units import level_one
from pipeline.decode import bulk, column_checks, event_tables, json_parser
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.bulk import BulkDecoder
from pipeline.decode.decoder import Decoder
from pipeline.decode.kept_message import kept_key, kept_message
from pipeline.decode.templates import MessageTemplates
from pipeline.decode.validator import EventValidator
from tests.budget import examples
from tests.factories import LATEST, a_message, an_event, events_of

REGISTRY = AgencyRegistry.packaged()
#: Small batches of tests take every path of large ones.
DECODER, VALIDATOR = Decoder(REGISTRY, min_bulk=1, min_matched=1), EventValidator(REGISTRY)
#: Batches that size alone sends to the parser, or to the validator.
PARSING, VALIDATING = Decoder(REGISTRY, min_bulk=1), Decoder(REGISTRY)


def agree(values, *, latest=LATEST, portals=()):
    """Decode ``values`` both ways, compare everything, and return what the decoder made of them.

    Neither of them may meet an unforeseen error.
    """
    owners = [portal for portal, count in portals for _ in range(count)] or [None] * len(values)
    verdicts = {
        position: VALIDATOR.validate(value, latest=latest, portal=owner)
        for position, (value, owner) in enumerate(zip(values, owners, strict=True))
    }
    for decoder in (PARSING, VALIDATING, DECODER):
        decoded = decoder.decode(values, latest=latest, portals=portals)
        assert decoded.bulk_error == ""
        assert Reason.UNFORESEEN not in {rejection.reason for _, rejection in decoded.rejections}
        positions = decoded.events.column("position").to_pylist()
        rejected = [position for position, _ in decoded.rejections]
        assert rejected == sorted(rejected)
        assert sorted([*positions, *rejected]) == list(range(len(values))), "every message is in exactly one of the two"
        assert events_of(decoded.events) == {at: each for at, each in verdicts.items() if isinstance(each, DossierEvent)}
        assert dict(decoded.rejections) == {at: each for at, each in verdicts.items() if not isinstance(each, DossierEvent)}
    for position, value in enumerate(values):
        what_is_kept_means_the_same(value, verdicts[position], latest=latest, portal=owners[position])
    return replace(decoded, events=decoded.events.sort_by("position"))


def what_is_kept_means_the_same(value, verdict, *, latest, portal=None):
    """The known fields that are kept of a message get its verdict, so that a later release counts the same event."""
    kept = kept_message(value) if value is not None else None
    if kept is None:
        assert not isinstance(verdict, DossierEvent)
        assert verdict.reason in UNPARSED
        return
    assert len(kept) < 2_000
    again = VALIDATOR.validate(kept, latest=latest, portal=portal)
    if isinstance(verdict, DossierEvent):
        assert again == verdict
    elif verdict.reason is not Reason.TOO_LARGE and "nested deeper" not in verdict.detail:
        assert isinstance(again, Rejection)
        assert again.reason is verdict.reason
    assert kept_message(kept) == kept
    assert kept_key(b"no code", kept) is None or kept_key(b"no code", kept) in value  # and no value of a field is an error


#: Reasons of messages that do not parse, or may not.
UNPARSED = {Reason.NOT_JSON, Reason.NOT_UTF8, Reason.NOT_AN_OBJECT, Reason.TOO_LARGE, Reason.EMPTY}


# ---- messages ----------------------------------------------------------------------------------------------------------

days = st.one_of(
    st.dates(dt.date(2016, 1, 1), dt.date(2026, 3, 1)),
    st.sampled_from([dt.date(2024, 2, 29), dt.date(2025, 2, 28), dt.date(2025, 3, 1), dt.date(2025, 6, 30), dt.date(2025, 7, 1)]),
)
instants = st.one_of(
    st.builds(lambda day, time: dt.datetime.combine(day, time, dt.UTC), days, st.times()),
    # the edges of civil days, of mergers and of the future
    st.sampled_from(
        [
            dt.datetime(2025, 6, 30, 16, 59, 59, 999_999, dt.UTC),
            dt.datetime(2025, 6, 30, 17, tzinfo=dt.UTC),
            dt.datetime(2025, 2, 28, 16, 59, 59, 999_000, dt.UTC),
            dt.datetime(2025, 2, 28, 17, tzinfo=dt.UTC),
            dt.datetime(2016, 3, 31, 16, 59, tzinfo=dt.UTC),
            dt.datetime(2016, 3, 31, 17, tzinfo=dt.UTC),
            LATEST,
            LATEST + dt.timedelta(microseconds=999),
            LATEST + dt.timedelta(milliseconds=1),
            LATEST - dt.timedelta(milliseconds=1),
        ]
    ),
)
offsets = st.sampled_from(["Z", "+07:00", "+0700", "+07", "-05:30", "+00:00", "-00:00", "+23:59", "+14:00", "-12:00"])


@st.composite
def moments(draw):
    """A well-formed time in one of its many forms."""
    instant = draw(instants)
    offset = draw(offsets)
    hours = 0 if offset == "Z" else int(offset[:3])
    rest = 0 if len(offset) < 5 else int(offset[-2:]) * (-1 if offset[0] == "-" else 1)
    local = (instant + dt.timedelta(hours=hours, minutes=rest)).replace(tzinfo=None)
    text = local.strftime("%Y-%m-%d") + draw(st.sampled_from("T ")) + local.strftime("%H:%M")
    digits = draw(st.integers(-1, 9))
    if digits >= 0:
        text += local.strftime(":%S")
    if digits > 0:
        text += "." + f"{local.microsecond:06d}000"[:digits]
    return text + offset


odd_moments = st.one_of(
    st.from_regex(OCCURRED_AT),  # well-formed, mostly no moment of any calendar; sometimes a line break behind it
    st.sampled_from(
        [
            "2024-02-30T08:00:00Z",
            "2023-02-29T08:00:00Z",
            "2024-01-02T24:00:00Z",
            "2024-01-02T23:60:00Z",
            "2024-01-02T23:59:60Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+07:00",
            "0001-01-01T00:00:00+23:59",
            "0001-01-01T06:59:59+07:00",
            "9999-12-31T16:59:59.999999999Z",
            "9999-12-31T17:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59+07:00",
            "9999-12-31T23:59:59+23:59",
            "9999-12-31T23:59:59-07:00",
            "9999-12-31T23:59:59-23:59",
            "1899-12-31T23:59:59Z",
            "1900-01-01T00:00:00Z",
            "1975-12-31T16:59:59.999Z",
            "1975-12-31T17:00:00Z",
            "1976-01-01T00:00:00+07:00",
            "1969-12-31T16:59:59Z",
            "1969-12-31T23:59:59.9999Z",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+07:00",
            "2038-01-19T03:14:08Z",
            "2105-12-31T23:59:59Z",
            "2106-02-06T16:59:59.999Z",
            "2106-02-06T17:00:00Z",
            "2106-02-07T06:28:16Z",
            "2149-06-06T23:59:59Z",
            "2149-06-07T00:00:00Z",
            "2262-04-11T23:47:16.854775808Z",
            "2283-11-12T00:00:00Z",
            "2299-12-31T23:59:59.999Z",
            "2300-01-01T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "2017-01-01T06:59:60+07:00",
            "2024-01-02T00:00:60Z",
            "2024-01-02T23:59:59.9999999Z",
            "2024-01-02T08:30:00+99:59",
            "2024-01-02T08:30:00-24:00",
            "2024-01-02T08:30:00+23:59:59",
            "2024-01-02T08:30:00",
            "2024-01-02T08:30:00+24:00",
            "2024-01-02T08:30:00+07:60",
            "2024-01-02T08:30:00+7:00",
            "2024-01-02T08:30:00.+07:00",
            "2024-01-02T08:30:00,5+07:00",
            "2024-01-02t08:30:00z",
            "2024-01-02  08:30:00Z",
            "2024-01-02T08Z",
            "2024-1-2T08:30:00Z",
            "20240102T083000Z",
            "2024-W01-2T08:30:00Z",
            "02/01/2024 08:30",
            "20240102083000",
            "2024-01-02T08:30:00+07:00 ",
            " 2024-01-02T08:30:00+07:00",
            "\u0662\u0660\u0662\u0664-01-02T08:30:00Z",
            "",
        ]
    ),
)


#: Level-1 codes: every one, those of mergers more often, and some that the registry does not have.
unit_codes = st.one_of(
    st.sampled_from(REGISTRY.codes),
    st.sampled_from(["H02", "H05", "H30", "H13", "G14", "G06", "G24", "G12", "H57", "H17"]),
    st.sampled_from(["H17", "H02", "H05", "Z99", "H00"]),
)


def full_codes(codes):
    """Level-1 codes bare, in the old form behind groups of a higher level, and in the new form before those of a lower one."""
    return st.builds(
        lambda before, code, after: before + code + after,
        st.sampled_from(["", "", "", "000.00.12.", "12.", "A1.B2."]),
        codes,
        st.sampled_from(["", "", "", ".12", ".1.22.333.4"]),
    )


#: Agency codes as portals send them, and texts that are nearly one.
agency_codes = st.one_of(
    st.sampled_from([*REGISTRY.codes, "H17", "H17"]),
    full_codes(unit_codes),
    full_codes(unit_codes),
    st.sampled_from(["", "h17", "H17.", "H17 ", "H17-240102-0001", "1.2.3.4.H17", "H17.1234", "H17\n", "\uff28\uff11\uff17"]),
)


@st.composite
def dossier_codes(draw):
    """Dossier codes in old and new form, with every date of the calendar and some of none."""
    head = draw(st.one_of(full_codes(unit_codes), st.sampled_from(["000.A0.01.H26", "38.98.H29", "A05.B06.C99.H17.1.22.333.4"])))
    year, month, day = draw(st.integers(0, 9999)), draw(st.integers(0, 13)), draw(st.integers(0, 32))
    if draw(st.booleans()):
        year, month, day = (
            2000 + draw(st.integers(0, 99)),
            *draw(st.sampled_from([(2, 28), (2, 29), (2, 30), (12, 31), (4, 31)])),
        )
    date = f"{year:04d}{month:02d}{day:02d}"
    return f"{head}-{date if draw(st.booleans()) else date[2:]}-{draw(st.integers(1, 9_999_999)):04d}"


optional_values = {
    "channel": st.integers(1, 3),
    "service_level": st.sampled_from(["toan_trinh", "mot_phan", "cung_cap_thong_tin"]),
    "legacy_level": st.integers(1, 4),
    "returned_by": st.sampled_from(["online", "post", "counter"]),
    "due_at": st.one_of(moments(), moments(), odd_moments),
    "portal_id": st.sampled_from(["dvc.gov.vn", "p:1_2-3.4"]),
}


@st.composite
def sound_fields(draw):
    """The fields of a message that is an event, as far as agency, date and time go together."""
    fields = {
        "event_id": draw(st.uuids().map(str)),
        "dossier_code": draw(st.one_of(st.just("H17.1-240102-0001"), dossier_codes())),
        "agency_code": draw(agency_codes),
        "procedure_code": draw(st.sampled_from(["1.001612", "2.000889.000.00.00.H19", "A", "x" * 64])),
        "status": draw(st.integers(1, 10)),
        "occurred_at": draw(st.one_of(moments(), moments(), odd_moments)),
    }
    if draw(st.booleans()):  # both codes name units that a succession may link
        fields["dossier_code"] = draw(full_codes(unit_codes)) + "-240102-0001"
    for name, values in optional_values.items():
        value = draw(st.one_of(values, values, st.sampled_from([None, "", ...])))
        if value is not ...:
            fields[name] = value
    if draw(st.booleans()):
        fields["event_id"] = fields["event_id"].upper()
    return fields


def encoded(value) -> bytes:
    """A value as JSON bytes, lone surrogates included."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


NUMBERS = (
    *(
        b"1",
        b"3",
        b"4",
        b"5",
        b"10",
        b"09",
        b"9.0",
        b"9e0",
        b"9E0",
        b"90e-1",
        b"-9",
        b"-0",
        b"0",
        b"00",
        b"+9",
        b"0x9",
        b"9.",
        b".9",
        b"9e",
        b"- 9",
    ),
    *(b"1e400", b"-1e400", b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"Inf", b"nan", b"256", b"257", b"265", b"11", b"128"),
    *(
        b"4294967305",
        b"18446744073709551625",
        b"-18446744073709551607",
        b"9" * 400,
        b"9" * 4300,
        b"9" * 5000,
        b"0." + b"9" * 5000,
    ),
)
TEXTS = (
    *(b'""', b'"H17\\u0000"', b'"\\u0000"', b'"\\u0048\\u0031\\u0037"', b'"toan\\u005ftrinh"', b'"\\ud800"', b'"\\udc00\\ud800"'),
    *(
        b'"\\ud83d\\ude00"',
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"H17\n"',
        b'"H17\\n"',
        b'"H17\x00"',
        b'"a\tb"',
        b'"\\x"',
    ),
    *(b'"\\u12"', b"'H17'", b"H17", b'"H17', b'"H17 "', b'"h17"', b'"\xef\xbc\xa817"', b'"' + b"x" * 70_000 + b'"'),
)
OTHERS = (
    *(b"null", b"true", b"false", b"[]", b"{}", b"[9]", b'["H17"]', b'{"a":9}', b'{"":""}', b"", b" ", b",", b":", b"}", b"]"),
    *(b"nul", b"/**/9", b"9//", b'"9"', b'"2"', b"[" * 50 + b"]" * 50),
)
fragments = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(OTHERS),
    st.text(max_size=8).map(encoded),
    st.binary(max_size=6),
)
names = st.sampled_from(FIELDS)
#: Ends of what JSON, a computer's numbers, the calendar and a column can hold, and the texts just beside them.
extremes = st.one_of(
    st.sampled_from([2**bits + shift for bits in (7, 8, 15, 16, 31, 32, 53, 63, 64, 65, 128) for shift in (-1, 0, 1)]).flatmap(
        lambda number: st.sampled_from([b"%d" % number, b"-%d" % number, b"%d.0" % number, b"%de1" % number])
    ),
    st.floats(allow_nan=True, allow_infinity=True).map(lambda number: json.dumps(number).encode()),
    st.sampled_from([b"5e-324", b"1.7976931348623157e308", b"-0.0", b"1e-400", b"1E+2", b"0" * 300, b"1" + b"0" * 400]),
    st.sampled_from([encoded("x" * length) for length in (0, 1, 63, 64, 65, 255, 256, 4_096, 60_000)]),
    st.sampled_from([b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xed\xb0\x80"', b'"\xf4\x90\x80\x80"']),
    st.sampled_from([b'"\\u0000"', b'"\x00"', b'"\x7f"']),
    st.text(max_size=4).map(encoded),
    odd_moments.map(encoded),
    st.datetimes().map(lambda moment: encoded(moment.isoformat() + "Z")),
    dossier_codes().map(encoded),
    st.sampled_from([shape[:1] * depth + shape[1:] * depth for shape in (b"[]", b"{}") for depth in (1, 63, 64, 65, 1_000)]),
)
CLOCKS = [
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    LATEST,
    LAST_INSTANT,
    dt.datetime.max.replace(tzinfo=dt.UTC),
]
extra_names = st.one_of(
    st.sampled_from(
        [b'"z"', b'"n"', b'"v"', b'""', b'"Status"', b'"status "', b'"st\\u0061tus"', b'"\\u0000"', b'"\xff"', b"z", b"1"]
    ),
    st.text(max_size=5).map(encoded),
)
blanks = st.sampled_from([b"", b"", b"", b" ", b"\n", b"\r\n", b"\t", b"  \n ", b"\x0b", b"\xc2\xa0", b"\xef\xbb\xbf", b"\x00"])


@st.composite
def messages(draw):
    """An object of some shape: sound, with mutated fields, extra or repeated fields, in any order and spacing."""
    pairs = [(encoded(name), encoded(value)) for name, value in draw(sound_fields()).items()]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        kind = draw(st.sampled_from(["replace", "extra", "repeat", "drop"]))
        if kind == "extra":
            pairs.append((draw(extra_names), draw(fragments)))
        elif kind == "drop":
            pairs.pop(draw(st.integers(0, len(pairs) - 1)))
        else:
            name = encoded(draw(names))
            if kind == "replace":
                pairs = [pair for pair in pairs if pair[0] != name]
            pairs.append((name, draw(fragments)))
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    gap = draw(blanks)
    comma = gap + b"," + gap
    body = comma.join(name + gap + b":" + value for name, value in pairs)
    return draw(blanks) + b"{" + body + b"}" + draw(blanks)


@st.composite
def mangled(draw):
    """A message with its bytes cut, doubled, joined or opened up."""
    value = draw(messages())
    other = draw(messages())
    at = draw(st.integers(0, len(value)))
    return draw(
        st.sampled_from(
            [
                *(
                    value[:at],
                    value[at:],
                    value[:at] + draw(st.binary(min_size=1, max_size=2)) + value[at:],
                    value[:at] + value[at + 1 :],
                ),
                *(
                    value + other,
                    value + b"\n" + other,
                    value + b"," + other,
                    b"[" + value + b"]",
                    value[:-1] + b",}",
                    value + b"}",
                ),
                *(
                    value + b',"z":1',
                    value + b',"n":0',
                    value + b',"v":' + other,
                    b'null,"v":' + value,
                    b'1},{"n":1,"v":' + value,
                ),
                *(value + b"}\n{" + b'"v":' + other, encoded(value.decode("utf-8", "replace")), b"//\n" + value, b"\x00" + value),
                *(b"null", b"9", b'"x"', b"[]", b"{}", b"{}{}", b"", b" \n", b"\xff\xfe{\x00}\x00", b"{" * 20, b"}" * 20),
            ]
        )
    )


@st.composite
def batches(draw):
    """Messages of which some conspire with their neighbours to look like the right number of rows."""
    values = draw(st.lists(st.one_of(messages(), messages(), mangled(), st.none()), max_size=6))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        one, two = draw(messages()), draw(messages())
        at = draw(st.integers(0, len(values)))
        cut = draw(st.integers(0, len(one)))
        wrapped = b'}\n{"n":%d,"v":' % draw(st.sampled_from([at + 1, at, at - 1, at + 2]))
        values[at:at] = draw(
            st.sampled_from(
                [
                    *([one + two, b""], [b"", one + two], [one + b"\n" + two, b" "], [one[:cut], one[cut:]], [one + two, None]),
                    *([one + wrapped + two, b""], [one + wrapped + two, b"null"], [one + wrapped + two], [one + wrapped, two]),
                    *(
                        [one + wrapped + b'null,"v":' + two, b""],
                        [one[:-1], b"}" + two],
                        [b'{"z":' + one, two + b"}"],
                        [one[:-1] + b',"z":', two],
                    ),
                    *([one + b"}\n", b'{"n":%d,"v":' % (at + 1) + two], [one + b'}{"n":%d,"v":null' % (at + 1), two]),
                ]
            )
        )
    return values


@settings(max_examples=examples(700))
@given(batches())
@example([])
@example([None])
@example([b""])
def test_decoder_and_validator_agree(values):
    """Every message of any batch is an event or a rejection, the same from both, at its own position."""
    agree(values)


@settings(max_examples=examples(200))
@given(st.lists(sound_fields(), min_size=1, max_size=30))
def test_sound_messages_in_bulk(fields):
    """Both give the same verdict on well-formed messages, for any agencies and times."""
    agree([encoded(sent) for sent in fields])


@settings(max_examples=examples(100))
@given(
    st.lists(sound_fields(), min_size=1, max_size=30),
    st.lists(st.tuples(st.sampled_from([None, *REGISTRY.codes, "XX", ""]), st.integers(0, 12)), max_size=5),
)
def test_whose_topic_a_message_came_in(fields, portals):
    """In topics of portals both accept the same messages: those of the portal's own agency, and all that came in a shared one."""
    left, cut = len(fields), []
    for portal, count in portals:
        cut.append((portal, min(count, left)))
        left -= cut[-1][1]
    owner = fields[-1]["agency_code"]
    agree([encoded(sent) for sent in fields], portals=[*cut, (level_one(str(owner)), left)])


@settings(max_examples=examples(300))
@given(st.one_of(moments(), odd_moments), st.integers(-2_000, 2_000))
def test_times_at_the_edge_of_the_future(text, microseconds):
    """A time in any form is the same instant for both, and the future begins at the same microsecond for both."""
    value = a_message(occurred_at=text)
    verdict = VALIDATOR.validate(value, latest=LATEST + dt.timedelta(days=1))
    at = verdict.occurred_at if isinstance(verdict, DossierEvent) else LATEST
    agree([value, a_message()], latest=at + dt.timedelta(microseconds=microseconds))


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.one_of(st.tuples(names, extremes), st.tuples(st.sampled_from(["occurred_at", "due_at"]), odd_moments.map(encoded))),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(CLOCKS),
)
@example([("occurred_at", b'"9999-12-31T17:00:00Z"')], LATEST)  # a civil day that no calendar has
@example([("occurred_at", b'"2106-02-06T17:00:00Z"')], CLOCKS[-1])  # a day that no column holds, at a clock behind it
def test_extremes_of_every_type_in_every_field(chosen, latest):
    """The smallest, largest and oddest values of every JSON type give an event or a rejection with a reason, at any clock."""
    values = [a_message(**{name: ...})[:-1] + b', "' + name.encode() + b'": ' + value + b"}" for name, value in chosen]
    agree(values, latest=latest)
    for value in values:
        agree([value], latest=latest)


@settings(max_examples=examples(200))
@given(st.lists(sound_fields(), max_size=12), st.sampled_from([b"", None, b"{", b"\xff" * 9]), st.integers(1, 4))
def test_a_batch_in_several_steps(fields, bad, at_once):
    """When a batch is decoded in several steps, each message keeps its position and its verdict."""
    values = [encoded(sent) for sent in fields]
    values.insert(len(values) // 2, bad)
    json_parser.prefixes()  # made before the patch: as many as always
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_parser, "MAX_MESSAGES", at_once)
        agree(values)


def test_huge_messages_fill_no_offset():
    """In a batch of three gigabytes, messages that are too large are rejected one by one, and the events are found."""
    huge = b"x" * 10_000_000
    values = [a_message(), *[huge] * 300, *(a_message() for _ in range(200))]
    decoded = agree(values)
    assert decoded.events.num_rows == 201
    assert {rejection.reason for _, rejection in decoded.rejections} == {Reason.TOO_LARGE}
    assert decoded.validated == 300


def decided(values, decoder):
    """What a decoder says of each message, an event or a rejection, by position."""
    decoded = decoder.decode(values, latest=LATEST)
    return {**events_of(decoded.events), **dict(decoded.rejections)}, decoded


STEPS = {
    "split": (MessageTemplates, "split"),
    "parse": (json_parser, "parse"),
    "check": (bulk, "accepted"),
    "match": (column_checks, "matches"),
    "convert": (column_checks, "instants"),
}


def broken(monkeypatch, step, error):
    """A decoder of which one step of the bulk path raises ``error``."""

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(*STEPS[step], fails)
    return Decoder(REGISTRY, min_bulk=1, min_matched=1)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [OverflowError("date value out of range"), pa.ArrowCapacityError("2 GiB"), RecursionError()])
def test_an_unforeseen_error_in_bulk_leaves_every_message_to_the_validator(monkeypatch, step, error):
    """When the bulk path fails, every message gets the validator's verdict, and the error is reported."""
    values = [a_message(), a_message(), b"{", a_message(), None, a_message()]
    expected, _ = decided(values, DECODER)
    found, decoded = decided(values, broken(monkeypatch, step, error))
    assert found == expected
    assert decoded.validated == len(values)
    assert decoded.bulk_error.startswith(type(error).__name__)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [MemoryError(), pa.lib.ArrowMemoryError("out of memory"), InvariantError("overlap")])
def test_no_memory_and_broken_invariants_stop_the_decoder(monkeypatch, step, error):
    """An error that is not a message's fault is raised: no message of the batch becomes an event or a rejection."""
    with pytest.raises(type(error)):
        broken(monkeypatch, step, error).decode([a_message(), a_message(), b"{", a_message()], latest=LATEST)


@pytest.mark.parametrize("position", [0, 3, 6])
def test_an_event_that_fits_no_column_is_rejected_alone(monkeypatch, position):
    """An event of the validator that cannot become a row is rejected as unforeseen; the other events are kept."""
    values = [a_message(dossier_code="H17-240229-0001") for _ in range(7)]  # left to the validator
    whole = event_tables.table_of

    def of_sound_events(events, agencies):
        if position in [at for at, _ in events]:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return whole(events, agencies)

    monkeypatch.setattr(event_tables, "table_of", of_sound_events)
    found, decoded = decided(values, DECODER)
    assert sorted(found) == list(range(7))
    assert [(at, rejection.reason) for at, rejection in decoded.rejections] == [(position, Reason.UNFORESEEN)]
    assert isinstance(found[position], Rejection)


@pytest.mark.parametrize("positions", [[0, 0], [0], [0, 1, 2], [0, 2]])
def test_a_message_lost_or_doubled_in_bulk_stops_the_decoder(monkeypatch, positions):
    """A position that the bulk path loses, doubles or invents raises an error."""
    table = DECODER.decode([a_message() for _ in positions], latest=LATEST).events
    table = table.set_column(table.schema.get_field_index("position"), "position", pa.array(positions, pa.int32()))
    monkeypatch.setattr(BulkDecoder, "decode", lambda *_: ([table], []))
    with pytest.raises(InvariantError, match="Of 2 messages"):
        DECODER.decode([a_message(), a_message()], latest=LATEST)


def test_decoders_in_several_threads_share_nothing_that_changes():
    """Two decoders that start at the same time in two threads both number all of their rows correctly."""
    count = 20_000
    expected = b"".join(b'{"n":%d,"v":1}\n' % number for number in range(count))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            json_parser.prefixes.cache_clear()
            together, texts = threading.Barrier(2), []

            def work(together=together, texts=texts):
                together.wait()
                texts.append(json_parser.wrap([b"1"] * count))

            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [text == expected for text in texts] == [True, True]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("fragment", [*NUMBERS, *TEXTS, *OTHERS], ids=lambda fragment: repr(fragment[:20]))
def test_every_odd_value_in_every_field(fragment):
    """An odd value in any field, known or unknown, gets the same verdict from both and harms no other message."""
    sound = a_message()
    values = []
    for name in (*FIELDS, "unknown"):
        values += [sound, a_message(**{name: ...})[:-1] + b', "' + name.encode() + b'": ' + fragment + b"}"]
    decoded = agree(values)
    assert set(range(0, len(values), 2)) <= set(decoded.events.column("position").to_pylist())
    for value in values:
        agree([value])


@pytest.mark.parametrize("depth", [100, 5_000, 30_000, 60_000])
@pytest.mark.parametrize("shape", [(b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b"{", b"")])
def test_nesting_ends_no_process(shape, depth):
    """A deeply nested message is rejected or ignored, and the next message is read."""
    opened, closed = shape
    inner = b"1" if closed == b"}" else b""
    for value in (
        opened * depth + inner + closed * depth,
        a_message()[:-1] + b', "x": ' + opened * depth + inner + closed * depth + b"}",
    ):
        decoded = agree([value, a_message()])
        assert 1 in decoded.events.column("position").to_pylist()


def test_sound_messages_take_the_fast_path():
    """Messages as portals send them never need the validator, also with old codes after a merger and without optional fields."""
    values = [
        a_message(),
        a_message(agency_code="H02", occurred_at="2025-07-01T00:00:00.000+07:00"),
        a_message(agency_code="G14", occurred_at="2025-02-28T23:59:59.999+07:00"),
        a_message(agency_code="H57", occurred_at="2025-01-01T00:00:00.000+07:00"),
        a_message(returned_by="post", legacy_level=4, portal_id="dvc.danang.gov.vn"),
        a_message(returned_by=None, legacy_level=None, portal_id=None),
        a_message(event_id=str(uuid.uuid4()).upper()),
        a_message(channel=..., service_level=...),
        a_message(agency_code="000.00.12.H17", due_at="2024-01-12T17:00:00+07:00"),
        # The successor's history: before the merger it speaks for the unit of the dossier code.
        a_message(agency_code="H05", dossier_code="000.00.12.H02-250601-0001", occurred_at="2025-06-30T08:00:00.000+07:00"),
        a_message(agency_code="H05", dossier_code="000.00.12.H02-250601-0001", occurred_at="2025-07-01T08:00:00.000+07:00"),
        a_message(agency_code="H26.7", dossier_code="H17.1-240102-0001"),
    ]
    decoded = agree(values)
    assert decoded.validated == 0
    assert decoded.events.column("agency").to_pylist() == ["H17", "H05", "G14", "H57", *["H17"] * 5, "H02", "H05", "H26"]
    assert decoded.events.column("named_by_code").to_pylist() == [True, False, False, False, *[True] * 7, False]


@pytest.mark.parametrize("name", optional_values)
@pytest.mark.parametrize("value", [..., None, ""], ids=["absent", "null", "empty"])
@pytest.mark.parametrize("other", [None, "", "sent"])
def test_missing_optional_fields_take_the_fast_path(name, value, other):
    """A portal that always leaves a field out, or sends null or an empty text for it, does not need the validator."""
    more = {"legacy_level": 4, "returned_by": "post", "portal_id": "p", "due_at": "2024-02-01T17:00:00+07:00"}
    if other != "sent":
        more = dict.fromkeys(more, other)
    decoded = agree([a_message(**more | {name: value}) for _ in range(200)])
    assert (decoded.events.num_rows, decoded.validated) == (200, 0)


def test_leap_day_in_a_dossier_code():
    """29 February is accepted in leap years only, in both forms of the date."""
    codes = {
        "H17-240229-0001": True,
        "H17-230229-0001": False,
        "H17-20240229-0000001": True,
        "H17-20230229-0000001": False,
        "H17-000229-0001": True,
        "H17-21000229-0001": False,
    }
    decoded = agree([a_message(dossier_code=code) for code in codes])
    assert decoded.events.column("dossier_code").to_pylist() == [code for code, exists in codes.items() if exists]
    assert {rejection.reason for _, rejection in decoded.rejections} == {Reason.IMPOSSIBLE_DATE}


BLOCKS = [a_message(an_event(event_id=uuid.UUID(int=number))) for number in range(9_000)]  # more than two blocks of 1 MB
BAD = (
    b"",
    None,
    b"{",
    BLOCKS[0] + BLOCKS[1],
    b'{"z":' + BLOCKS[2] + b"}",
    BLOCKS[3][:-1],
    b"[" * 60_000,
    b"\xff" * 70_000,
    b"null",
)


@settings(max_examples=examples(25))
@given(
    st.dictionaries(
        st.one_of(st.integers(0, len(BLOCKS) - 1), st.sampled_from([0, 1_999, 2_000, 8_999])), st.sampled_from(BAD), max_size=3
    )
)
def test_bad_messages_in_a_large_batch(bad):
    """A bad message in a large batch sends only its own piece to the validator; no other message is moved or lost."""
    values = list(BLOCKS)
    for position, value in bad.items():
        values[position] = value
    decoded = DECODER.decode(values, latest=LATEST)
    kept = [position for position in range(len(values)) if position not in bad]
    events = decoded.events.sort_by("position")
    assert events.column("position").to_pylist() == kept
    assert [uuid.UUID(text).int for text in events.column("event_id").to_pylist()] == kept
    assert [position for position, _ in decoded.rejections] == sorted(bad)
    assert decoded.validated <= 2_000 * len(bad)
    assert isinstance(decoded.events, pa.Table)


# ---- registries --------------------------------------------------------------------------------------------------------


@st.composite
def registries(draw):
    """Small registries with gaps, renamings, chains of successions and successors not yet in force.

    Successions never run in a circle in the end: the last row of a code is succeeded by a later code.
    """
    codes = draw(st.lists(st.sampled_from(["A01", "B02", "C03", "D04"]), min_size=1, unique=True))
    rows = []
    for code in codes:
        day = draw(st.integers(0, 10))
        spans = draw(st.integers(1, 3))
        for number in range(spans):
            last = draw(st.one_of(st.none(), st.integers(day, day + 8)))
            successors = codes if number + 1 < spans else [other for other in codes if other > code]
            rows.append(
                Agency(
                    code=code,
                    name_vi=f"{code} {number}",
                    name_en="",
                    short_name_vi="",
                    official_name_vi="",
                    block="province",
                    valid_from=_DAY + dt.timedelta(days=day),
                    valid_to=None if last is None else _DAY + dt.timedelta(days=last),
                    successor_code=None if last is None else draw(st.sampled_from([None, *successors])),
                    reports_from=None,
                )
            )
            if last is None:
                break
            day = last + draw(st.integers(1, 4))
    return AgencyRegistry(rows)


_DAY = dt.date(2024, 1, 1)
_known = st.sampled_from(["A01", "B02", "C03", "D04"])


@settings(max_examples=examples(1_200))
@given(
    registries(),
    st.lists(
        st.tuples(
            *[st.one_of(_known, _known, full_codes(st.sampled_from(["A01", "B02", "C03", "D04", "Z99"])))] * 2,
            st.integers(-2, 30),
            st.sampled_from(["00:00:00.000", "00:00:00.001", "23:59:59.999"]),
        ),
        min_size=4,
        max_size=12,
    ),
)
def test_units_in_bulk_are_those_of_the_validator(registry, sent):
    """Unit and "named by the code" are the same from both, for every registry: gaps, chains, rings, later successors."""
    values = [
        a_message(
            agency_code=agency_code,
            dossier_code=f"{code}-240102-0001",
            occurred_at=f"{_DAY + dt.timedelta(days=day)}T{time}+07:00",
        )
        for agency_code, code, day, time in sent
    ]
    decoded = Decoder(registry, min_bulk=1, min_matched=1).decode(values, latest=LATEST)
    assert decoded.bulk_error == ""
    validator = EventValidator(registry)
    verdicts = {position: validator.validate(value, latest=LATEST) for position, value in enumerate(values)}
    assert {**events_of(decoded.events), **dict(decoded.rejections)} == verdicts


@settings(max_examples=examples(500))
@given(registries(), st.integers(-2, 45), st.sampled_from([0, 1, 86_399_999]))
def test_agency_columns_never_contradict_the_registry(registry, day, millisecond):
    """In bulk an agency is either the registry's answer or left to the validator, also for registries with gaps and chains."""
    columns = AgencyColumns(registry)
    instant = dt.datetime.combine(_DAY + dt.timedelta(days=day), dt.time(), dt.timezone(dt.timedelta(hours=7)))
    instant += dt.timedelta(milliseconds=millisecond)
    milliseconds = (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
    sent = np.arange(-1, len(columns.codes), dtype=np.int32)
    answers = columns.responsible(sent, np.full(len(sent), milliseconds))
    for asked, answer in zip(sent, answers, strict=True):
        if answer >= 0:
            expected = registry.responsible(columns.codes[asked], civil_day(instant)) if asked >= 0 else None
            assert expected is not None
            assert columns.codes[answer] == expected.code
