"""Changes that keep an input near the contract: fields of messages are given extremes, messages are joined, cut and repeated."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable

from tests.fuzz.target import SEPARATOR, TOMBSTONE

FIELDS = (
    *("event_id", "dossier_code", "agency_code", "procedure_code", "status", "channel", "service_level", "occurred_at"),
    *("legacy_level", "returned_by", "due_at", "portal_id", "n", "v", "z", ""),
)
SOUND = {
    "event_id": "00000000-0000-0000-0000-000000000001",
    "dossier_code": "H17.1-240102-0001",
    "agency_code": "H17",
    "procedure_code": "1.001612",
    "status": 9,
    "channel": 2,
    "service_level": "toan_trinh",
    "occurred_at": "2024-01-02T08:30:00.000+07:00",
}
DATES = (
    *("0000-01-01", "0001-01-01", "0001-12-31", "0999-12-31", "1000-01-01", "1583-01-01", "1899-12-31", "1900-01-01"),
    *("1900-02-29", "1969-12-31", "1970-01-01", "2000-02-29", "2016-03-31", "2016-04-01", "2024-02-29", "2025-06-30"),
    *("2025-07-01", "2038-01-19", "2100-02-29", "2105-12-31", "2106-02-06", "2106-02-07", "2149-06-06", "2149-06-07"),
    *("2262-04-11", "2299-12-31", "2300-01-01", "9999-12-31", "2024-13-01", "2024-00-10", "2024-04-31", "2024-01-00"),
)
TIMES = (
    *("00:00", "16:59", "17:00", "23:59", "24:00", "00:00:00", "16:59:59.999", "17:00:00", "23:59:59", "23:59:60"),
    *("23:59:59.999999999", "23:60:00", "12:00:00.1", "12:00:00.1234567", "12:00:61", "-1:00", "99:99:99"),
)
OFFSETS = ("Z", "z", "+07:00", "+0700", "+07", "-07:00", "+14:00", "-12:00", "+23:59", "-23:59", "+24:00", "-00:00", "+99:59", "")
CODES = (
    *("H17", "H02", "H05", "G14", "G24", "H57", "H30", "H99", "h17", " H17", "H17\u0000", "\u0048\uff117"),
    *("000.00.12.H02", "H05.12", "000.00.12.H99", "H17-240102-0001"),
)
LEVELS = ('"toan_trinh"', '"mot_phan"', '"cung_cap_thong_tin"', '"toan\\u005ftrinh"', '"TOAN_TRINH"')
TEXTS = (
    *(
        '""',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\""',
        '"\\\\"',
        '"\\/"',
        '"\\b\\f\\n\\r\\t"',
        '"\x7f"',
    ),
    *(
        '"\u2028"',
        '"\U0010ffff"',
        '"\ufeff"',
        "null",
        "true",
        "false",
        "[]",
        "{}",
        '[[[["x"]]]]',
        '{"a":{"b":[1]}}',
        "NaN",
        "nul",
        "",
    ),
)
NUMBERS = (
    *("0", "-0", "1", "3", "4", "5", "10", "11", "99", "127", "128", "255", "256", "257", "65535", "2147483647", "2147483648"),
    *("4294967295", "4294967305", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"),
    *("-1", "-9223372036854775808", "-9223372036854775809", "9.0", "9e0", "9E+0", "90e-1", "0.9e1", "1e308", "1e309", "-1e309"),
    *(
        "5e-324",
        "1e-400",
        "Infinity",
        "-Infinity",
        "09",
        "+9",
        "9.",
        ".9",
        "0x9",
        "9_0",
        "9" * 19,
        "9" * 20,
        "9" * 400,
        "9" * 4301,
    ),
)


def mutated(data: bytes, source: random.Random, otherwise: Callable[[bytes], bytes]) -> bytes:
    """One change of an input; ``otherwise`` changes bytes blindly."""
    clock, pieces = data[:1] or b"\x00", data[1:].split(SEPARATOR)
    at = source.randrange(len(pieces))
    kind = source.random()
    if kind < 0.25:  # any bytes, anywhere
        return otherwise(data)
    if kind < 0.35:
        pieces[at] = otherwise(pieces[at]).replace(SEPARATOR, b"")
    elif kind < 0.4:
        clock = bytes([source.randrange(5)])
    elif kind < 0.55:
        _rearrange(pieces, at, source)
    else:
        pieces[at] = _refilled(pieces[at], source)
    return clock + SEPARATOR.join(pieces[:80])


def _rearrange(pieces: list[bytes], at: int, source: random.Random) -> None:
    """Messages repeated, dropped, cut, joined, or put into each other's place in the decoder's own wrapping."""
    one, other = pieces[at], source.choice(pieces)
    cut = source.randrange(len(one) + 1)
    wrapped = b'}\n{"n":%d,"v":' % (at + source.choice([-1, 0, 1, 2]))
    pieces[at : at + 1] = source.choice(
        [
            *(
                [one, one],
                [one] * 5,
                [],
                [one[:cut], one[cut:]],
                [one + other],
                [one + b"\n" + other],
                [b"", one],
                [TOMBSTONE, one],
            ),
            *([one + wrapped + other], [one + wrapped + other, b""], [one[:-1] + b',"v":' + other], [b" " + one + b"\r\n"]),
            *([json.dumps(SOUND).encode()], [one, json.dumps(SOUND).encode()], [b"[" * 70 + one], [b"\xef\xbb\xbf" + one]),
        ]
    )
    if not pieces:
        pieces.append(b"")


def _refilled(piece: bytes, source: random.Random) -> bytes:
    """The message with one field set to a value of some kind, written in one of several forms."""
    try:
        fields = json.loads(piece)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        fields = dict(SOUND)
    members = [(json.dumps(name), _written(value)) for name, value in fields.items()]
    name = json.dumps(source.choice(FIELDS))
    value = _value(json.loads(name), source)
    if source.random() < 0.8:
        members = [member for member in members if member[0] != name]
    members.insert(source.randrange(len(members) + 1), (name, value))
    if source.random() < 0.1:
        source.shuffle(members)
    if source.random() < 0.15:
        members.pop(source.randrange(len(members)))
    comma, colon = source.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:"), (", ", " : ")])
    return ("{" + comma.join(name + colon + value for name, value in members) + "}").encode("utf-8", "surrogatepass")


def _written(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "null"


def _value(name: str, source: random.Random) -> str:
    """The raw JSON of a value: mostly near what the field takes."""
    kind = source.random()
    if kind < 0.3:
        return source.choice(TEXTS if kind < 0.15 else NUMBERS)
    if name in _NEAR:
        return _NEAR[name](source)
    return json.dumps(source.choice(["1.001612", "A", "x" * 64, "x" * 65, "dvc.gov.vn", "p:1_2-3.4", "-", "é"]))


def _a_time(source: random.Random) -> str:
    return f'"{source.choice(DATES)}{source.choice("TTT t")}{source.choice(TIMES)}{source.choice(OFFSETS)}"'


def _a_dossier_code(source: random.Random) -> str:
    day = source.choice(DATES).replace("-", "")
    return f'"{source.choice(CODES)}.1-{day if source.random() < 0.5 else day[2:]}-{source.randrange(10**7):04d}"'


def _an_id(source: random.Random) -> str:
    digits = f"{source.getrandbits(128):032x}"
    cut = source.randrange(37)
    return json.dumps(
        source.choice([digits, str(uuid.UUID(digits)), str(uuid.UUID(digits)).upper(), str(uuid.UUID(digits))[:cut]])
    )


def _a_code(source: random.Random) -> str:
    return str(source.randrange(-1, 13))


_NEAR: dict[str, Callable[[random.Random], str]] = {
    "occurred_at": _a_time,
    "due_at": _a_time,
    "dossier_code": _a_dossier_code,
    "event_id": _an_id,
    "status": _a_code,
    "channel": _a_code,
    "legacy_level": _a_code,
    "agency_code": lambda source: json.dumps(source.choice(CODES), ensure_ascii=source.random() < 0.5),
    "service_level": lambda source: source.choice(LEVELS),
    "returned_by": lambda source: source.choice(['"online"', '"post"', '"counter"', '""', "null"]),
}
