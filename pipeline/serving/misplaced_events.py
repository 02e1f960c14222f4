"""Finds events whose stored unit is not in force in the present registry on the day of the event.

The unit of an event is decided when its message is read; a later registry applies to new events only. The agency code as
sent is not stored, so only this can be told: on the day of such an event its unit is not in the registry, or not in force.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from domain.agencies import AgencyRegistry
from sinks.contract.tallies import TallyReader


@dataclass(frozen=True, slots=True)
class MisplacedEvents:
    """Stored events of one unit from ``first`` to ``last``; ``unit`` is the unit now responsible, None when there is none."""

    stored_unit: str
    unit: str | None
    first: dt.date
    last: dt.date
    events: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "stored_unit": self.stored_unit,
            "unit": self.unit,
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "events": self.events,
        }


def misplaced_events(reader: TallyReader, registry: AgencyRegistry) -> tuple[MisplacedEvents, ...]:
    """What is stored under a unit that is not in force on the day, sorted by that unit.

    Whatever code was sent, and also where the dossier code decides (``domain.units``), the registry would place the events at a
    unit that is in force. ``unit`` follows the successions; the dossier code of an event may name another one.

    Raises:
        SinkError: the storage does not answer.
    """
    found: dict[tuple[str, str], MisplacedEvents] = {}
    for (stored, day), events in sorted(reader.events_by_day().items()):
        if registry.at(stored, day) is not None:
            continue
        responsible = registry.responsible(stored, day)
        unit = None if responsible is None else responsible.code
        before = found.get((stored, unit or ""))
        first, earlier = (day, 0) if before is None else (before.first, before.events)
        found[stored, unit or ""] = MisplacedEvents(stored, unit, first, day, earlier + events)
    return tuple(found[key] for key in sorted(found))
