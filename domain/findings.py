"""Findings: what is unusual about a dossier, for the people who keep a portal's data in order.

A dossier has at most one finding of each kind. It counts on the day and for the unit of the event that shows it. No finding
changes a figure.
Source: docs/domain.md, "Findings".
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.agencies import AgencyRegistry
from domain.catalogue import NO_ENTRIES, Catalogue, level_of
from domain.dossiers import (
    ENDS_UNSETTLED,
    MAX_EVENTS,
    Dossier,
    ExcludedDossier,
    TooManyEvents,
    distinct_events,
    judge,
    returns_unsettled,
)
from domain.events import DossierEvent, Status
from domain.exclusions import ExclusionDecision
from domain.periods import civil_day

_SUBMISSIONS = frozenset({Status.REGISTERED, Status.RECEIVED})


class FindingKind(enum.StrEnum):
    """The closed list of findings that follow from the events of one dossier, and from what operators decided about it."""

    SETTLED_TWICE = "settled_twice"
    SETTLED_BY_RETURN = "settled_by_return"
    RETURNED_AFTER_REFUSAL = "returned_after_refusal"
    RESUBMITTED = "resubmitted"
    REOPENED = "reopened"
    FIRST_SEEN_LATE = "first_seen_late"
    SETTLED_BEFORE_SUBMITTED = "settled_before_submitted"
    SEVERAL_CHANNELS = "several_channels"
    SEVERAL_UNITS = "several_units"
    OTHER_UNIT_THAN_CODE = "other_unit_than_code"
    CORRECTED_TIME = "corrected_time"
    NO_CHANNEL = "no_channel"
    NO_LEVEL = "no_level"
    LEVEL_DIFFERS = "level_differs"
    NOT_IN_CATALOGUE = "not_in_catalogue"
    TOO_MANY_EVENTS = "too_many_events"
    EXCLUDED = "excluded"


#: Kinds that are about a code, not about an event: they have no day and no unit.
WITHOUT_EVENT: Final = frozenset({FindingKind.TOO_MANY_EVENTS, FindingKind.EXCLUDED})
#: Kinds that compare a dossier with the service catalogue.
OF_CATALOGUE: Final = frozenset({FindingKind.LEVEL_DIFFERS, FindingKind.NOT_IN_CATALOGUE})


#: What each kind means, in words for operators, with the Vietnamese term of the regulations where they have one.
MEANINGS: Final[Mapping[FindingKind, str]] = MappingProxyType(
    {
        FindingKind.SETTLED_TWICE: "a second 9 (đã giải quyết); the dossier counts as settled at the first",
        FindingKind.SETTLED_BY_RETURN: "no 9, so the 10 (trả kết quả) settles the dossier",
        FindingKind.RETURNED_AFTER_REFUSAL: "a 10 after a 3, 7 or 8 (từ chối, rút, dừng): the papers are handed back",
        FindingKind.RESUBMITTED: "a 1 or 2 (nộp, tiếp nhận lại) after a 3, 7 or 8: the same code is used again",
        FindingKind.REOPENED: "a status from 1 to 8 after a 9",
        FindingKind.FIRST_SEEN_LATE: "the first event is neither 1 nor 2: the portal did not send the beginning",
        FindingKind.SETTLED_BEFORE_SUBMITTED: "settled at a time before every 1 and 2",
        FindingKind.SEVERAL_CHANNELS: "an event has another channel (kênh tiếp nhận) than the dossier",
        FindingKind.SEVERAL_UNITS: "an event of a unit (cơ quan) that no succession links to the unit of the first event",
        FindingKind.OTHER_UNIT_THAN_CODE: "an event of a unit that the dossier code (mã hồ sơ) does not name",
        FindingKind.CORRECTED_TIME: "an event was sent again with another time; the latest time counts",
        FindingKind.NO_CHANNEL: "no event has a channel: the dossier counts as not online",
        FindingKind.NO_LEVEL: "settled, and no event up to then has a level (mức độ): the catalogue's level counts, if any",
        FindingKind.LEVEL_DIFFERS: "settled at another level than the catalogue's (mức độ khác danh mục): the sent level counts",
        FindingKind.NOT_IN_CATALOGUE: "settled, and the catalogue of the unit lacks the procedure (thủ tục ngoài danh mục)",
        FindingKind.TOO_MANY_EVENTS: f"more than {MAX_EVENTS:,} events with one code: part of no figure but events",
        FindingKind.EXCLUDED: "excluded by an operator (loại khỏi thống kê): part of no figure but events",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about a dossier. ``event`` shows it and gives its day and unit; None for the kinds of ``WITHOUT_EVENT``."""

    kind: FindingKind
    dossier_code: str
    event: DossierEvent | None


def findings(
    messages: Iterable[DossierEvent],
    registry: AgencyRegistry,
    decisions: Iterable[ExclusionDecision] = (),
    catalogue: Catalogue = NO_ENTRIES,
) -> tuple[Finding, ...]:
    """Every finding about one dossier, in the order of ``FindingKind``.

    Args:
        messages: every known event of one dossier code, at least one; repeats and corrections included.
        registry: the registry of agencies, which says which units a succession links.
        decisions: every decision of operators about the dossier.
        catalogue: the service catalogue of the units.
    """
    messages = tuple(messages)
    dossier = judge(messages, decisions, catalogue.level)
    if isinstance(dossier, ExcludedDossier):
        return (Finding(FindingKind.EXCLUDED, dossier.code, None),)
    if isinstance(dossier, TooManyEvents):
        return (Finding(FindingKind.TOO_MANY_EVENTS, dossier.code, None),)
    found: dict[FindingKind, DossierEvent | None] = {kind: rule(dossier) for kind, rule in _RULES.items()}
    found[FindingKind.SEVERAL_UNITS] = _first(
        dossier.events, lambda event: not registry.linked(event.agency, dossier.submitted.agency)
    )
    found[FindingKind.CORRECTED_TIME] = _corrected(dossier, messages)
    found |= _beside_catalogue(dossier, catalogue)
    return tuple(Finding(kind, dossier.code, event) for kind in FindingKind if (event := found.get(kind)) is not None)


def needed_messages(messages: Iterable[DossierEvent]) -> tuple[DossierEvent, ...]:
    """The messages of a dossier that are enough for its findings; the others can be forgotten, even when more messages follow.

    They are at most two for each distinct event: the message that counts, and one with another time. So the memory that a dossier
    needs depends on the number of its events, not on how often they were sent.
    """
    messages = tuple(messages)
    counting = {(event.event_id.bytes, event.status): event for event in distinct_events(messages)}
    others: dict[tuple[bytes, int], DossierEvent] = {}
    for message in messages:
        identity = message.event_id.bytes, message.status
        if message.occurred_at != counting[identity].occurred_at:
            others.setdefault(identity, message)
    return *counting.values(), *others.values()


def _first(events: Iterable[DossierEvent], condition: Callable[[DossierEvent], bool]) -> DossierEvent | None:
    return next((event for event in events if condition(event)), None)


def _after(events: Sequence[DossierEvent], statuses: frozenset[Status]) -> Sequence[DossierEvent]:
    """The events after the first event that has one of ``statuses``; empty: no event has one."""
    start = next((position for position, event in enumerate(events) if event.status in statuses), len(events))
    return events[start + 1 :]


def _settled_twice(dossier: Dossier) -> DossierEvent | None:
    return _first(_after(dossier.events, frozenset({Status.SETTLED})), lambda event: event.status == Status.SETTLED)


def _settled_by_return(dossier: Dossier) -> DossierEvent | None:
    return dossier.settled if dossier.settled and dossier.settled.status == Status.RETURNED else None


def _returned_after_refusal(dossier: Dossier) -> DossierEvent | None:
    return next(
        (
            event
            for position, event in enumerate(dossier.events)
            if event.status == Status.RETURNED and returns_unsettled(dossier.events, position)
        ),
        None,
    )


def _resubmitted(dossier: Dossier) -> DossierEvent | None:
    return _first(_after(dossier.events, ENDS_UNSETTLED), lambda event: event.status in _SUBMISSIONS)


def _reopened(dossier: Dossier) -> DossierEvent | None:
    return _first(_after(dossier.events, frozenset({Status.SETTLED})), lambda event: event.status < Status.SETTLED)


def _first_seen_late(dossier: Dossier) -> DossierEvent | None:
    return dossier.submitted if dossier.submitted.status not in _SUBMISSIONS else None


def _settled_before_submitted(dossier: Dossier) -> DossierEvent | None:
    first = _first(dossier.events, lambda event: event is dossier.settled or event.status in _SUBMISSIONS)
    submission_exists = any(event.status in _SUBMISSIONS for event in dossier.events)
    return first if first is not None and first is dossier.settled and submission_exists else None


def _several_channels(dossier: Dossier) -> DossierEvent | None:
    return _first(dossier.events, lambda event: event.channel not in (0, dossier.channel))


def _other_unit_than_code(dossier: Dossier) -> DossierEvent | None:
    return _first(dossier.events, lambda event: not event.named_by_code)


def _no_channel(dossier: Dossier) -> DossierEvent | None:
    return dossier.submitted if dossier.channel == 0 else None


def _no_level(dossier: Dossier) -> DossierEvent | None:
    return dossier.settled if not dossier.sent_level else None


def _beside_catalogue(dossier: Dossier, catalogue: Catalogue) -> dict[FindingKind, DossierEvent | None]:
    """The findings of a settled dossier whose level or procedure differs from the catalogue.

    None when the unit has no entry at all in the catalogue on the day of the settled event.
    """
    settled = dossier.settled
    if settled is None:
        return {}
    day = civil_day(settled.occurred_at)
    entry = catalogue.entry(settled.agency, settled.procedure_code, day)
    if entry is None:
        return {FindingKind.NOT_IN_CATALOGUE: settled if catalogue.covers(settled.agency, day) else None}
    level = level_of(entry)
    differs = level and dossier.sent_level and level != dossier.sent_level
    return {FindingKind.LEVEL_DIFFERS: settled if differs else None}


_RULES: dict[FindingKind, Callable[[Dossier], DossierEvent | None]] = {
    FindingKind.SETTLED_TWICE: _settled_twice,
    FindingKind.SETTLED_BY_RETURN: _settled_by_return,
    FindingKind.RETURNED_AFTER_REFUSAL: _returned_after_refusal,
    FindingKind.RESUBMITTED: _resubmitted,
    FindingKind.REOPENED: _reopened,
    FindingKind.FIRST_SEEN_LATE: _first_seen_late,
    FindingKind.SETTLED_BEFORE_SUBMITTED: _settled_before_submitted,
    FindingKind.SEVERAL_CHANNELS: _several_channels,
    FindingKind.OTHER_UNIT_THAN_CODE: _other_unit_than_code,
    FindingKind.NO_CHANNEL: _no_channel,
    FindingKind.NO_LEVEL: _no_level,
}


def _corrected(dossier: Dossier, messages: Sequence[DossierEvent]) -> DossierEvent | None:
    """The first distinct event of which a message with another time is known, or None."""
    times: dict[tuple[bytes, int], set[object]] = {}
    for message in messages:
        times.setdefault((message.event_id.bytes, message.status), set()).add(message.occurred_at)
    return _first(dossier.events, lambda event: len(times[event.event_id.bytes, event.status]) > 1)
