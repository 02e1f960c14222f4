"""Reduces a rejected message to what is kept of it: the known fields if it parses as JSON, otherwise its bytes (for some days).

The reduced message is a message, too, and the validator rejects it for the same reason: a later release that would accept the
whole message accepts the reduced one. So a value that may not be kept is replaced by another value that is rejected for the same
reason. If it were removed instead, an optional field would be missing and the event would be accepted as a different one. Only a
message that was rejected for its size or nesting is accepted when it is reduced, if its known fields are an event.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from domain.events import DOSSIER_CODE, EVENT_ID
from domain.units import AGENCY_CODE
from pipeline.decode.known_fields import STRING_OR_BRACKET, known_fields
from pipeline.decode.known_values import NUMBERS, has_shape

#: In place of a text, a number and a value of another type that may not be kept: malformed, in no code list, of the wrong type.
_NO_TEXT: Final = "?"
_NO_NUMBER: Final = -1
_NO_TYPE: Final = False
#: In place of a number that is too large to be read: this one is, too.
_NO_MEASURE: Final = msgspec.Raw(b"1e999")
#: What stands for JSON that is not an object, by its first byte; a number otherwise.
_NO_OBJECT: Final = {b"[": b"[]", b'"': b'""', b"t": b"false", b"f": b"false", b"n": b"null"}
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
#: A larger message that is nested too deep for the parser counts as one that does not parse (bytes).
_MAX_FLATTENED: Final = 1 << 20
#: Keys that may be kept: the codes of a dossier and an agency, and the id of an event.
_CODES: Final = re.compile("|".join(each.strip("^$") for each in (DOSSIER_CODE, AGENCY_CODE, EVENT_ID)).encode())
_DOSSIER_CODE: Final = re.compile(DOSSIER_CODE, re.ASCII)


def kept_message(value: bytes) -> bytes | None:
    """A message reduced to its known fields; None when it does not parse as JSON.

    The fields are in the order of the contract. Each is null, empty, a text or a number with the shape of a code
    (``pipeline.decode.known_values``), or a value that replaces one without this shape. Of a field that is sent twice the last
    value is kept. JSON that is not an object becomes an empty value of its kind.
    """
    value = value.strip(b" \t\r\n")
    if not value:
        return value
    try:
        value.decode("utf-8")
        _ANY.decode(value)  # to the end: the next step stops at the first byte of what is not an object
        return _reduced(value)
    except RecursionError:
        return _of_deep_message(value)
    except (msgspec.DecodeError, ValueError):
        return None


def kept_key(key: bytes | None, kept: bytes | None) -> bytes | None:
    """The key that is kept of a rejected message: the key if it is a code, else the dossier code in ``kept``, else None.

    ``kept``: what is kept of the message's value. The key decides the partition when the message is sent again.
    """
    if key is not None and _CODES.fullmatch(key):
        return key
    if not kept or not kept.startswith(b"{"):
        return None
    raw = _FIELDS.decode(kept).get("dossier_code")  # other fields may stand for what cannot be read
    code = None if raw is None or raw == _NO_MEASURE else msgspec.json.decode(raw)
    return code.encode() if isinstance(code, str) and _DOSSIER_CODE.fullmatch(code) else None


def _reduced(value: bytes) -> bytes:
    if not value.startswith(b"{"):
        return _NO_OBJECT.get(value[:1], b"0")
    fields = _FIELDS.decode(known_fields(value))
    return msgspec.json.encode({name: _kept_value(name, raw) for name, raw in fields.items()})


def _kept_value(name: str, raw: msgspec.Raw) -> Any:
    try:
        value = msgspec.json.decode(raw)
    except msgspec.DecodeError:  # well-formed, as the whole message is
        return _NO_MEASURE
    except RecursionError:
        return _NO_TYPE
    if has_shape(name, value):
        return value
    if name in NUMBERS:
        return _NO_NUMBER if type(value) is int else _NO_TYPE
    return _NO_TEXT if isinstance(value, str) else _NO_TYPE


def _of_deep_message(value: bytes) -> bytes | None:
    """The known fields of a message that is nested too deep for the parser; nested values are replaced by ``false``."""
    if len(value) > _MAX_FLATTENED or not value.startswith(b"{"):
        return _NO_OBJECT.get(value[:1]) if len(value) <= _MAX_FLATTENED else None
    parts: list[bytes] = []
    depth = begin = 0
    for token in STRING_OR_BRACKET.finditer(value):
        if token[0] in b"[{":
            depth += 1
            if depth == 2:
                parts += [value[begin : token.start()], b"false"]
        elif token[0] in b"]}":
            depth -= 1
            if depth == 1:
                begin = token.end()
    if depth:
        return None
    try:
        return _reduced(b"".join((*parts, value[begin:])))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
