"""Reads the values of a catalogue's columns, from texts of a CSV, values of JSON or cells of a workbook.

One parser for each column reads all of them. It accepts only what can be read in one way: a day as 2024-08-20 or DD/MM/YYYY
(20/08/2024), never 8/20/2024, nor 1/2/2024, which programs of other countries write for the second of January.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS
from domain.errors import ConfigurationError
from domain.events import LEGACY_LEVELS, PROCEDURE_CODE, ServiceLevel
from domain.periods import FIRST_DAY, LAST_DAY, parse_day
from domain.units import agency_level_one
from pipeline.catalogue.faults import WrongValueError

#: Longest time of a procedure (calendar days), and longest name (characters).
MAX_DAYS: Final = 3_650
MAX_NAME: Final = 1_000
#: What a service level may be written as: its code or its official name, in any case.
_LEVELS: Final[Mapping[str, str]] = {
    **{level.value: level.value for level in ServiceLevel},
    "toàn trình": ServiceLevel.FULL.value,
    "một phần": ServiceLevel.PARTIAL.value,
    "cung cấp thông tin": ServiceLevel.INFORMATION.value,
}
_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "1": True, "có": True, "false": False, "0": False, "không": False}
_PROCEDURE: Final = re.compile(PROCEDURE_CODE, re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
#: DD/MM/YYYY with both zeros, the way in which Việt Nam writes a day.
_SLASHES: Final = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})", re.ASCII)
_ANY_SLASHES: Final = re.compile(r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}", re.ASCII)
_A_DAY: Final = "write it as 2024-08-20 or 20/08/2024"


def is_missing(value: object) -> bool:
    """Whether a value is missing: None or a blank text."""
    return value is None or (isinstance(value, str) and not value.strip())


def agency_code(value: object, registry: AgencyRegistry) -> str:
    """Read a level-1 agency code of the registry.

    Raises:
        WrongValueError: the value is not a level-1 code of the registry.
    """
    text = _text(value)
    if text in registry:
        return text
    level_one = agency_level_one(text)
    if level_one is not None and level_one in registry:
        raise WrongValueError("is a full agency code", f"write its level-1 code, {level_one}")
    raise WrongValueError("is not an agency of the registry", "write a level-1 code such as H55 or G01")


def procedure_code(value: object) -> str:
    """Read the code of a procedure.

    Raises:
        WrongValueError: the value is not a procedure code. A number is refused, because 1.001610 has become 1.00161 in it.
    """
    if isinstance(value, int | float):
        raise WrongValueError("is a number, in which zeros at the end are lost", "write it as text, for example 1.001612")
    text = _text(value)
    if _PROCEDURE.fullmatch(text) is None:
        raise WrongValueError("is not a procedure code", "write one such as 1.001612: 1 to 64 letters, digits, dots and hyphens")
    return text


def name(value: object) -> str:
    """Read a name; blanks and line breaks in succession become one blank.

    Raises:
        WrongValueError: the name is too long or has a control character.
    """
    text = " ".join(_text(value).split())
    if len(text) > MAX_NAME:
        raise WrongValueError(f"has {len(text):,} characters", f"write at most {MAX_NAME:,}")
    if not text.isprintable() and any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise WrongValueError("has a control character", "write it without")
    return text


def service_level(value: object) -> str:
    """Read a service level of Nghị định 42/2022/NĐ-CP; "" when the cell is empty.

    Raises:
        WrongValueError: the value is not a service level.
    """
    text = unicodedata.normalize("NFC", _text(value)).casefold()
    if text and text not in _LEVELS:
        raise WrongValueError("is not a service level", "write toan_trinh, mot_phan or cung_cap_thong_tin, or nothing")
    return _LEVELS[text] if text else ""


def legacy_level(value: object) -> int:
    """Read a legacy level from 1 to 4 of Thông tư 32/2017/TT-BTTTT; 0 when the cell is empty.

    Raises:
        WrongValueError: the value is not a legacy level.
    """
    number = _whole(value)
    if number is not None and number not in LEGACY_LEVELS:
        raise WrongValueError("is not a legacy level", "write 1, 2, 3 or 4, or nothing")
    return number or 0


def eligible(value: object) -> bool | None:
    """Read whether a procedure may be offered toàn trình; None when the cell is empty.

    Raises:
        WrongValueError: the value is neither yes nor no.
    """
    if isinstance(value, bool) or value is None:
        return value
    text = unicodedata.normalize("NFC", _text(value)).casefold()
    if text and text not in _TRUTHS:
        raise WrongValueError("is neither yes nor no", "write true or false (or có, không, 1, 0), or nothing")
    return _TRUTHS[text] if text else None


def longest_days(value: object) -> int | None:
    """Read the longest time of a procedure, a number of calendar days from 0 on; None when the cell is empty.

    Raises:
        WrongValueError: the value is not a whole number, or larger than ``MAX_DAYS``.
    """
    number = _whole(value)
    if number is not None and number > MAX_DAYS:
        raise WrongValueError("is too long", f"write at most {MAX_DAYS:,} calendar days, or nothing")
    return number


def day(value: object) -> dt.date | None:
    """Read a civil day; None when the cell is empty.

    Raises:
        WrongValueError: the value is not a day, or can be read as two different days.
    """
    found = _day(value)
    if found is not None and not FIRST_DAY <= found <= LAST_DAY:
        raise WrongValueError("is not a day for which events can be counted", f"write one from {FIRST_DAY} to {LAST_DAY}")
    return found


def _day(value: object) -> dt.date | None:
    if is_missing(value):
        return None
    if isinstance(value, dt.datetime):
        if value.time() != dt.time():
            raise WrongValueError("has a time of day", _A_DAY)
        return value.date()
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        raise WrongValueError("is not a day", _A_DAY)
    text = value.strip()
    slashes = _SLASHES.fullmatch(text)
    if slashes is None and _ANY_SLASHES.fullmatch(text):
        raise WrongValueError("can be read as two days", "write it as 2024-08-20 or, day before month with zeros, 01/08/2024")
    try:
        return dt.date(int(slashes[3]), int(slashes[2]), int(slashes[1])) if slashes else parse_day(text)
    except ValueError as error:
        known = "is not a day of the calendar, read as DD/MM/YYYY" if slashes else "is not a day of the calendar"
        raise WrongValueError(known, _A_DAY) from error


def require_in_force(registry: AgencyRegistry, agency: str, first: dt.date) -> None:
    """Check that an agency was in force on the first day of an entry.

    Raises:
        WrongValueError: it was not; the remedy names its first day or its successor.
    """
    if registry.at(agency, first) is not None:
        return
    spans = registry.spans(agency)
    if first < spans[0].valid_from:
        raise WrongValueError(
            f"is before {agency} is in the registry", f"write {spans[0].valid_from}, or a later day if it was offered later"
        )
    successor = registry.responsible(agency, first)
    raise WrongValueError(
        f"is after {agency} ended on {spans[-1].valid_to}",
        "write an earlier day" if successor is None else f"write the row for its successor, {successor.code}",
    )


def _whole(value: object) -> int | None:
    """Read a whole number from 0 on; None when the cell is empty."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():  # cells of a workbook are floats
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or _WHOLE.fullmatch(value.strip()) is None:
        raise WrongValueError("is not a whole number", "write digits only, or nothing")
    return int(value)


def _text(value: object) -> str:
    """Read a text without blanks around it; "" when the cell is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WrongValueError("is not a text", "write it as text")
    return value.strip()


#: Columns that every row must have a value in.
REQUIRED: Final = ("agency_code", "procedure_code", "valid_from")
#: A file has at least one of these columns.
LEVEL_COLUMNS: Final = ("service_level", "legacy_level")


def parsers(registry: AgencyRegistry) -> Mapping[str, Callable[[object], object]]:
    """Column of ``COLUMNS`` -> the function that reads its values."""
    return {
        "agency_code": lambda value: agency_code(value, registry),
        "procedure_code": procedure_code,
        "name": name,
        "service_level": service_level,
        "legacy_level": legacy_level,
        "eligible": eligible,
        "longest_days": longest_days,
        "valid_from": day,
        "valid_to": day,
    }


def require_columns(columns: set[str], source: str) -> None:
    """Check that a file has every required column.

    Raises:
        ConfigurationError: a required column is missing.
    """
    missing = [column for column in REQUIRED if column not in columns]
    if not missing and not columns & set(LEVEL_COLUMNS):
        missing = ["service_level or legacy_level"]
    if missing:
        raise ConfigurationError(
            f"{source} does not have the column {' and '.join(missing)}.",
            remedy=f"A catalogue has the columns {', '.join(COLUMNS)}; add the missing one to the first line.",
        )
