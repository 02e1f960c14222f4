"""Finds the known fields of a message and how deep it is nested, without reading values."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from domain.events import FIELDS

#: A string, or a bracket outside of strings.
STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)

#: Each known field as raw JSON, absent when it was not sent.
_KNOWN: Final = msgspec.defstruct("_Known", [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in FIELDS], gc=False)
_KNOWN_DECODER: Final = msgspec.json.Decoder(_KNOWN)
_OPTIONAL_NUMBERS: Final = ("channel", "legacy_level")
_EMPTY_TEXT: Final = msgspec.Raw(b'""')
_ENCODER: Final = msgspec.json.Encoder()


def known_fields(value: bytes) -> bytes:
    """The message without unknown fields, and without optional number fields whose value is an empty text: these are missing.

    The content of unknown fields only has to be well-formed JSON.

    Raises:
        msgspec.DecodeError: the message is not one JSON object.
    """
    known = _KNOWN_DECODER.decode(value)
    for name in _OPTIONAL_NUMBERS:
        if getattr(known, name) == _EMPTY_TEXT:
            setattr(known, name, msgspec.UNSET)
    return _ENCODER.encode(known)


def nesting(value: bytes) -> int:
    """The deepest nesting of brackets outside of strings."""
    depth = deepest = 0
    for token in STRING_OR_BRACKET.finditer(value):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            depth -= 1
    return deepest
