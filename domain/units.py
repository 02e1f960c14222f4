"""The unit of an event: the agency that it is stored and counted for.

The unit is decided once, when the event is read, from three things: the agency code sent, the agency code inside the dossier
code, and the event's day. So old events that a successor sends again under its own code count for the unit that did the work.
Source: docs/domain.md, "Units".
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

from domain.agencies import AgencyRegistry

#: A full agency code. Level 1 is its last group of a letter and two digits: 000.00.12.H17 (old form) and H17.12 (new form).
AGENCY_CODE: Final = r"(?:[0-9A-Z]{2,3}\.){0,3}(?P<unit>[A-Z][0-9]{2})(?:\.[0-9]{1,3}){0,4}"
_AGENCY_CODE: Final = re.compile(AGENCY_CODE, re.ASCII)


@dataclass(frozen=True, slots=True)
class EventUnit:
    """The unit of an event, and whether the dossier code names it."""

    code: str
    named_by_code: bool


def level_one(code: str) -> str | None:
    """The level-1 agency code inside a full agency code or a dossier code; None when ``code`` has another form.

    >>> level_one("000.00.12.H17"), level_one("H17.12"), level_one("000.00.16.H62-250601-0002")
    ('H17', 'H17', 'H62')
    """
    found = _AGENCY_CODE.fullmatch(code.partition("-")[0])
    return found["unit"] if found else None


def agency_level_one(agency_code: str) -> str | None:
    """The level-1 code inside an agency code as sent; None when the text has another form, for example that of a dossier code."""
    return None if "-" in agency_code else level_one(agency_code)


def unit_of_event(registry: AgencyRegistry, *, agency_code: str, dossier_code: str, day: dt.date) -> EventUnit | None:
    """The unit of an event, or None when the agency code is unknown, or nobody was responsible for it on that day.

    The unit is the level-1 code in ``agency_code``, followed through the successions to the unit in force on ``day``. Exception:
    when the dossier code contains a unit that was in force on ``day``, and the unit found so is a successor of it, the event
    counts for the unit of the dossier code. This holds even when the successor did not exist on ``day``.

    Args:
        registry: the agencies and their successions.
        agency_code: as sent; a full code or only its level 1.
        dossier_code: well-formed.
        day: civil day of the event.
    """
    sent, named = agency_level_one(agency_code), level_one(dossier_code)
    if sent is None or sent not in registry:
        return None
    found = registry.responsible(sent, day)
    unit = found.code if found else sent
    if named is not None and registry.at(named, day) is not None and registry.succeeds(unit, named):
        return EventUnit(named, named_by_code=True)
    if found is None:
        return None
    return EventUnit(unit, named_by_code=names(registry, dossier_code, unit, day))


def names(registry: AgencyRegistry, dossier_code: str, unit: str, day: dt.date) -> bool:
    """Whether the dossier code names ``unit``: its level-1 code, followed through the successions to ``day``, is ``unit``."""
    named = level_one(dossier_code)
    responsible = registry.responsible(named, day) if named is not None else None
    return responsible is not None and responsible.code == unit
