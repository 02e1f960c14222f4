"""What the events of one dossier (hồ sơ) say: its milestones, each of which counts once.

``judge`` is the only statement of these rules. SQL and columnar code are compared with it by tests. Its result
depends only on the set of events, the set of operators' decisions and the service catalogue: the order in which events arrive,
and repeats, never matter.
Source of the rules: docs/domain.md, "Dossiers".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.events import Channel, DossierEvent, ReturnedBy, ServiceLevel, Status
from domain.exclusions import ExclusionDecision, is_excluded
from domain.periods import civil_day

#: A code with more distinct events does not name a dossier, but a test system or a portal with one code for everything.
MAX_EVENTS: Final = 10_000

#: A dossier with such an event is given back, unless it is taken up again or settled.
ENDS_UNSETTLED: Final = frozenset({Status.REFUSED, Status.WITHDRAWN, Status.STOPPED})
#: An event after which a dossier that was refused, withdrawn or stopped is open again.
TAKES_UP: Final = frozenset(
    {Status.REGISTERED, Status.RECEIVED, Status.PROCESSING, Status.SUPPLEMENT_REQUESTED, Status.PAYMENT_REQUESTED}
)

#: The level of the service catalogue for a unit, a procedure and a civil day; "": it has none.
Levels = Callable[[str, str, dt.date], str]


def no_levels(_unit: str, _procedure: str, _day: dt.date) -> str:
    """The levels when no catalogue is loaded: always ""."""
    return ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The time between a request for a supplement and the next event; ``end`` is None while no event follows."""

    start: dt.datetime
    end: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Dossier:
    """A dossier and the events that made its milestones.

    Day, unit and procedure of a milestone are those of its event. ``events``: the distinct events in the order of ``order``.
    """

    code: str
    events: tuple[DossierEvent, ...]
    channel: int  # of the dossier; 0: no event has one
    submitted: DossierEvent
    settled: DossierEvent | None
    sent_level: str  # of the settled dossier, from its messages; "": none has one, or not settled
    level: str  # of the settled dossier, from its messages or else the catalogue; "": unknown, or not settled
    returned_at_counter: bool  # a 9 or a 10 says so
    refused: DossierEvent | None
    withdrawn: DossierEvent | None
    stopped: DossierEvent | None
    given_back: DossierEvent | None
    due_at: dt.datetime | None
    waiting: tuple[Waiting, ...]  # one for each 5, or run of several
    first_answer: DossierEvent | None  # of a dossier whose first event is a 1: the first event of another status

    @property
    def online(self) -> bool:
        """Whether the dossier was submitted online."""
        return self.channel == Channel.ONLINE

    @property
    def legacy_level(self) -> int:
        """The legacy level of the first event that has one; 0: no event has one."""
        return next((event.legacy_level for event in self.events if event.legacy_level), 0)

    @property
    def settled_full_any_return(self) -> bool:
        """Whether the dossier was settled toàn trình, however the result was returned."""
        return self.settled is not None and self.online and self.level == ServiceLevel.FULL

    @property
    def settled_full(self) -> bool:
        """Whether the dossier was settled toàn trình and the result was not handed out at the counter."""
        return self.settled_full_any_return and not self.returned_at_counter

    @property
    def closed(self) -> DossierEvent | None:
        """The event that closed the dossier: the one that settled it, else the one that gave it back; None: it is open."""
        return self.settled or self.given_back

    def counts_of(self, event: DossierEvent) -> frozenset[str]:
        """The names of the counts to which ``event``, one of ``events``, adds the dossier because it is a milestone."""
        found = {name for name in ("submitted", "settled", "refused", "withdrawn", "stopped") if getattr(self, name) is event}
        if "submitted" in found and self.online:
            found.add("submitted_online")
        if "settled" in found:
            found |= {name for name in ("settled_full", "settled_full_any_return") if getattr(self, name)}
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class TooManyEvents:
    """A dossier code with more than ``MAX_EVENTS`` distinct events. Of all figures only ``events`` counts it."""

    code: str
    events: int


@dataclass(frozen=True, slots=True)
class ExcludedDossier:
    """A dossier that an operator excluded. It has no milestones; of all figures only ``events`` counts it."""

    code: str
    events: int


def judge(
    messages: Iterable[DossierEvent], decisions: Iterable[ExclusionDecision] = (), levels: Levels = no_levels
) -> Dossier | TooManyEvents | ExcludedDossier:
    """Find the milestones of a dossier, or the reason why it has none.

    Args:
        messages: every known event of one dossier code, at least one; repeats and corrections included.
        decisions: every decision of operators about the dossier.
        levels: the levels of the service catalogue.
    """
    events = distinct_events(messages)
    code = events[0].dossier_code
    if is_excluded(decisions):
        return ExcludedDossier(code, len(events))
    if len(events) > MAX_EVENTS:
        return TooManyEvents(code, len(events))
    channel = next((event.channel for event in events if event.channel), 0)
    settled_at = _settled(events)
    settled = None if settled_at is None else events[settled_at]
    given_back = None if settled else given_back_by(events)
    sent_level = "" if settled_at is None else _level(events, settled_at)
    return Dossier(
        code=code,
        events=events,
        channel=channel,
        submitted=events[0],
        settled=settled,
        sent_level=sent_level,
        level=sent_level or ("" if settled is None else catalogued_level(settled, levels)),
        returned_at_counter=any(
            event.returned_by == ReturnedBy.COUNTER for event in events if event.status in (Status.SETTLED, Status.RETURNED)
        ),
        refused=_first(events, Status.REFUSED),
        withdrawn=_first(events, Status.WITHDRAWN),
        stopped=_first(events, Status.STOPPED),
        given_back=given_back,
        due_at=due_date(events, settled or given_back),
        waiting=_waiting(events),
        first_answer=_first_answer(events),
    )


def distinct_events(messages: Iterable[DossierEvent]) -> tuple[DossierEvent, ...]:
    """The distinct events of one dossier, in order. Of several messages with one id and status, one counts."""
    counting: dict[tuple[bytes, int], DossierEvent] = {}
    for message in messages:
        identity = (message.event_id.bytes, message.status)
        other = counting.get(identity)
        if other is None or _preference(message) > _preference(other):
            counting[identity] = message
    return tuple(sorted(counting.values(), key=order))


def order(event: DossierEvent) -> tuple[dt.datetime, int, bool, str, str]:
    """The sort key of events within a dossier: time, status, first those whose unit the dossier code names, id as text, unit."""
    return event.occurred_at, event.status, not event.named_by_code, event.event_id.hex, event.agency


def _preference(message: DossierEvent) -> tuple[object, ...]:
    """The key by which one of several messages with one id and status counts: the greatest. A missing value is the smallest."""
    return (
        message.occurred_at,
        message.named_by_code,
        str(message.channel or ""),
        message.service_level,
        message.returned_by,
        message.procedure_code,
        message.due_at is not None,
        message.due_at or message.occurred_at,
        str(message.legacy_level or ""),
        message.agency,
    )


def _first(events: Sequence[DossierEvent], status: Status) -> DossierEvent | None:
    return next((event for event in events if event.status == status), None)


def _settled(events: Sequence[DossierEvent]) -> int | None:
    """The position of the event that settles the dossier, or None.

    It is the first 9, or without a 9 the first 10 that does not return a dossier that was refused, withdrawn or stopped.
    """
    by_ten = None
    for position, event in enumerate(events):
        if event.status == Status.SETTLED:
            return position
        if by_ten is None and event.status == Status.RETURNED and not returns_unsettled(events, position):
            by_ten = position
    return by_ten


def returns_unsettled(events: Sequence[DossierEvent], position: int) -> bool:
    """Whether the 10 at ``position`` returns the papers of a dossier that was refused, withdrawn or stopped.

    True when the last event before ``position`` that is not a 10 is a 3, 7 or 8.
    """
    before = next((event for event in reversed(events[:position]) if event.status != Status.RETURNED), None)
    return before is not None and before.status in ENDS_UNSETTLED


def _level(events: Sequence[DossierEvent], settled_at: int) -> str:
    """The level of the settled event, else that of the nearest event before it that has a level; "": none has one."""
    return next((event.service_level for event in reversed(events[: settled_at + 1]) if event.service_level), "")


def catalogued_level(settled: DossierEvent, levels: Levels) -> str:
    """The level that the catalogue has for the unit and procedure of a settled event on the event's day."""
    return levels(settled.agency, settled.procedure_code, civil_day(settled.occurred_at))


def given_back_by(events: Sequence[DossierEvent]) -> DossierEvent | None:
    """The event that gives a dossier back: the first 3, 7 or 8 after which no event takes it up again; None: there is none."""
    found = None
    for event in reversed(events):
        if event.status in TAKES_UP:
            break
        if event.status in ENDS_UNSETTLED:
            found = event
    return found


def due_date(events: Sequence[DossierEvent], closed: DossierEvent | None) -> dt.datetime | None:
    """The due date of the last event that has one, not reading events after ``closed``; None: no event has one."""
    due = None
    for event in events:
        due = event.due_at or due
        if event is closed:
            break
    return due


def _waiting(events: Sequence[DossierEvent]) -> tuple[Waiting, ...]:
    found: list[Waiting] = []
    since: dt.datetime | None = None
    for event in events:
        if event.status == Status.SUPPLEMENT_REQUESTED:
            since = since or event.occurred_at
        elif since is not None:
            found.append(Waiting(since, event.occurred_at))
            since = None
    return (*found, Waiting(since, None)) if since is not None else tuple(found)


def _first_answer(events: Sequence[DossierEvent]) -> DossierEvent | None:
    if events[0].status != Status.REGISTERED:
        return None
    return next((event for event in events if event.status != Status.REGISTERED), None)
