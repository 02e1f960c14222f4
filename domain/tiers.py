"""The tiers of tallies and the rules of their counts, in one place for Python and SQL."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from domain.events import Channel, ReturnedBy, ServiceLevel, Status


class Tier(enum.StrEnum):
    """The three tiers of tallies; the value is the name of the table."""

    MINUTE = "agency_minute"
    DAY = "agency_day"
    PROCEDURE = "agency_day_procedure"


class Countable(Protocol):
    """The fields of an event that decide in which counts it is included."""

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
    """The condition that a field of an event has one of ``values``, or with ``excluded`` that it has none of them."""

    field: str
    values: tuple[int | str, ...]
    excluded: bool = False

    def holds(self, event: Countable) -> bool:
        """Whether the condition is true for an event."""
        return (getattr(event, self.field) in self.values) != self.excluded


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a count: an event is counted when every condition of at least one alternative holds."""

    alternatives: tuple[tuple[Condition, ...], ...]

    def __call__(self, event: Countable) -> bool:
        """Whether the rule counts an event."""
        return any(all(condition.holds(event) for condition in conditions) for conditions in self.alternatives)


def _is(field: str, *values: int | str) -> Condition:
    return Condition(field, tuple(values))


_ONLINE: Final = _is("channel", Channel.ONLINE)
#: A dossier that is submitted online starts as registered.
_SUBMITTED_ONLINE: Final = (_is("status", Status.REGISTERED), _ONLINE)
#: A dossier that is handed in or sent by post starts as received.
_SUBMITTED_OTHERWISE: Final = (_is("status", Status.RECEIVED), _is("channel", Channel.IN_PERSON, Channel.POST))
_SETTLED: Final = _is("status", Status.SETTLED)

#: What a message counts as by itself, besides as an event: name -> rule. ``domain.corrections`` says what its dossier changes.
COUNTS: Final[Mapping[str, Rule]] = {
    "submitted": Rule((_SUBMITTED_ONLINE, _SUBMITTED_OTHERWISE)),
    "submitted_online": Rule((_SUBMITTED_ONLINE,)),
    "settled": Rule(((_SETTLED,),)),
    # Toàn trình: processed entirely online, and the result is not collected at the counter.
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
    "settled_full_any_return": Rule(((_SETTLED, _ONLINE, _is("service_level", ServiceLevel.FULL)),)),
    "refused": Rule(((_is("status", Status.REFUSED),),)),
    "withdrawn": Rule(((_is("status", Status.WITHDRAWN),),)),
    "stopped": Rule(((_is("status", Status.STOPPED),),)),
    "given_back": Rule(((_is("status", Status.REFUSED, Status.WITHDRAWN, Status.STOPPED),),)),
}
