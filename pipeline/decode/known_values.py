"""Decides which values of the known fields may be kept and quoted when a message is rejected: those with the shape of a code.

A rejected message may have anything in a known field, also the name or number of a person. A value is kept in a dead letter, and
quoted in an error text, only when it has the shape of its field below. The shapes are wider than the contract, because a later
release may accept what this one rejects: other agencies, codes and words, and times without an offset.
"""

from __future__ import annotations

import re
from typing import Any, Final

from domain.events import PORTAL_ID

_TIME: Final = (
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}[T ]{1,2}[0-9]{1,2}:[0-9]{2}[0-9:.,]{0,16} ?(?:Z|[+-][0-9]{1,2}:?[0-9]{0,2})?"
)
_AGENCY: Final = r"(?:[0-9A-Za-z]{1,4}\.){0,5}[A-Za-z][0-9]{1,4}(?:\.[0-9]{1,4}){0,6}"
#: A word or a few, as in toan_trinh.
_WORDS: Final = r"[A-Za-z]{2,16}(?:[_-](?:[A-Za-z]{1,16}|[0-9]{1,2})){0,3}"
#: A number in a text, where the contract has a number.
_DIGITS: Final = r"[0-9]{1,3}"

_TEXTS: Final = {
    name: re.compile(pattern, re.ASCII)
    for name, pattern in {
        "event_id": r"\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?",
        "dossier_code": rf"{_AGENCY}[-_/][0-9]{{4,8}}[-_/][0-9]{{1,9}}",
        "agency_code": _AGENCY,
        "procedure_code": r"[0-9A-Za-z][0-9A-Za-z._/-]{0,63}",
        "status": _DIGITS,
        "channel": _DIGITS,
        "service_level": _WORDS,
        "occurred_at": _TIME,
        "legacy_level": _DIGITS,
        "returned_by": _WORDS,
        "due_at": _TIME,
        "portal_id": PORTAL_ID,
    }.items()
}
#: Fields that are numbers, and the numbers with the shape of a code.
NUMBERS: Final = ("status", "channel", "legacy_level")
_CODES: Final = range(1_000)
#: Longest text that is quoted.
_QUOTED: Final = 80


def has_shape(name: str, value: Any) -> bool:
    """Whether a value of the known field ``name``, as the JSON parser gives it, has the field's shape, or is null or empty."""
    if value is None or value == "":
        return True
    if isinstance(value, str):
        return _TEXTS[name].fullmatch(value) is not None
    return name in NUMBERS and type(value) in (int, float) and value in _CODES  # bool is another type


def quoted(name: str, value: str | int) -> str:
    """A value as it is quoted in an error text: in ASCII and shortened. Of a text without the field's shape only the length."""
    if not has_shape(name, value):
        return f"({len(value)} characters, not shown)" if isinstance(value, str) else "(not shown)"
    text = str(value)
    return ascii(text if len(text) <= _QUOTED else text[:_QUOTED] + "...")
