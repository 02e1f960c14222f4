"""The tiers of tallies, and what each tally counts: every rule once, for Python and for SQL."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from domain.events import Channel, ReturnedBy, ServiceLevel, Status


class Tier(enum.StrEnum):
    """The three kinds of tallies, by the name of their table."""

    MINUTE = "agency_minute"
    DAY = "agency_day"
    PROCEDURE = "agency_day_procedure"


class Countable(Protocol):
    """The fields of an event that decide what it counts as."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def channel(self) -> int: ...  # noqa: D102
    @property
    def service_level(self) -> str: ...  # noqa: D102
    @property
    def returned_by(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Condition:
    """A field of an event is one of some values, or none of them (``excluded``)."""

    field: str
    values: tuple[int | str, ...]
    excluded: bool = False

    def holds(self, event: Countable) -> bool:
        """Whether it is true of an event."""
        return (getattr(event, self.field) in self.values) != self.excluded


@dataclass(frozen=True, slots=True)
class Rule:
    """When an event adds 1 to a count: every condition of at least one alternative holds."""

    alternatives: tuple[tuple[Condition, ...], ...]

    def __call__(self, event: Countable) -> bool:
        """Whether an event adds 1."""
        return any(all(condition.holds(event) for condition in conditions) for conditions in self.alternatives)


def _is(field: str, *values: int | str) -> Condition:
    return Condition(field, tuple(values))


_ONLINE: Final = _is("channel", Channel.ONLINE)
#: Registered: how a dossier begins that is submitted online.
_SUBMITTED_ONLINE: Final = (_is("status", Status.REGISTERED), _ONLINE)
#: Received: how a dossier begins that is handed in or posted.
_SUBMITTED_OTHERWISE: Final = (_is("status", Status.RECEIVED), _is("channel", Channel.IN_PERSON, Channel.POST))
_SETTLED: Final = _is("status", Status.SETTLED)

#: The counts of a tally beside its number of events: name -> rule. Sources: docs/domain.md.
COUNTS: Final[Mapping[str, Rule]] = {
    "submitted": Rule((_SUBMITTED_ONLINE, _SUBMITTED_OTHERWISE)),
    "submitted_online": Rule((_SUBMITTED_ONLINE,)),
    "settled": Rule(((_SETTLED,),)),
    # Toàn trình: wholly on the network, the result not fetched at the counter.
    "settled_full": Rule(
        (
            (
                _SETTLED,
                _ONLINE,
                _is("service_level", ServiceLevel.FULL),
                Condition("returned_by", (ReturnedBy.COUNTER,), excluded=True),
            ),
        )
    ),
    "refused": Rule(((_is("status", Status.REFUSED),),)),
    "withdrawn": Rule(((_is("status", Status.WITHDRAWN),),)),
    "stopped": Rule(((_is("status", Status.STOPPED),),)),
}
