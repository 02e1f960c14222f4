"""The row of a dossier in the table of dossiers: what ``judge`` says of the dossier. Figures over whole dossiers read it.

This module decides nothing. The row of a dossier that counts in no figure has its code, ``seen`` and the reason, no milestone.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Final

from domain.dossiers import Dossier, ExcludedDossier, TooManyEvents
from domain.events import DossierEvent

#: What a row holds as a time that the dossier does not have.
NO_TIME: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: A row of a newer generation replaces all older ones. Raised when a rule of ``judge`` or a column changes.
GENERATION: Final = 0
_SEEN: Final = 2**40
#: The versions of rows of newer generations begin here.
NEXT_GENERATION: Final = (GENERATION + 1) * _SEEN


class DossierState(enum.StrEnum):
    """Whether a dossier counts in figures, or the reason why not."""

    COUNTS = "counts"
    EXCLUDED = "excluded"
    TOO_MANY_EVENTS = "too_many_events"
    NO_MESSAGES = "no_messages"  # an operator decided about it, and no message is known


@dataclass(frozen=True, slots=True)
class DossierMilestones:
    """The row of one dossier. A missing time is ``NO_TIME``, a missing text is empty.

    ``seen``: number of distinct messages and decisions by which the dossier was judged.
    """

    code: str
    seen: int
    state: DossierState = DossierState.COUNTS
    submitted_at: dt.datetime = NO_TIME
    submitted_unit: str = ""
    submitted_procedure: str = ""
    submitted_status: int = 0
    channel: int = 0
    legacy_level: int = 0  # of its first event that has one
    settled_at: dt.datetime = NO_TIME
    settled_unit: str = ""
    settled_procedure: str = ""
    settled_full: bool = False
    settled_full_any_return: bool = False
    given_back_at: dt.datetime = NO_TIME
    first_answer_at: dt.datetime = NO_TIME
    due_at: dt.datetime = NO_TIME
    times: tuple[dt.datetime, ...] = ()  # of its distinct events, in order
    statuses: tuple[int, ...] = ()
    dues: tuple[dt.datetime, ...] = ()

    @property
    def version(self) -> int:
        """The version of the row. Of two rows of a dossier the one with the larger version holds."""
        return version_of(self.seen)


def version_of(seen: int) -> int:
    """The version of a row of this ``GENERATION`` that was judged by ``seen`` distinct messages and decisions."""
    return GENERATION * _SEEN + seen


def milestones_of(judged: Dossier | TooManyEvents | ExcludedDossier, *, seen: int) -> DossierMilestones:
    """The row of a judged dossier.

    Args:
        judged: what ``judge`` found.
        seen: number of distinct messages and decisions by which the dossier was judged.
    """
    if isinstance(judged, ExcludedDossier):
        return DossierMilestones(judged.code, seen, DossierState.EXCLUDED)
    if isinstance(judged, TooManyEvents):
        return DossierMilestones(judged.code, seen, DossierState.TOO_MANY_EVENTS)
    settled = judged.settled
    return DossierMilestones(
        code=judged.code,
        seen=seen,
        submitted_at=judged.submitted.occurred_at,
        submitted_unit=judged.submitted.agency,
        submitted_procedure=judged.submitted.procedure_code,
        submitted_status=int(judged.submitted.status),
        channel=int(judged.channel),
        legacy_level=judged.legacy_level,
        settled_at=_time(settled),
        settled_unit="" if settled is None else settled.agency,
        settled_procedure="" if settled is None else settled.procedure_code,
        settled_full=judged.settled_full,
        settled_full_any_return=judged.settled_full_any_return,
        given_back_at=_time(judged.given_back),
        first_answer_at=_time(judged.first_answer),
        due_at=judged.due_at or NO_TIME,
        times=tuple(event.occurred_at for event in judged.events),
        statuses=tuple(int(event.status) for event in judged.events),
        dues=tuple(event.due_at or NO_TIME for event in judged.events),
    )


def without_messages(code: str, *, seen: int) -> DossierMilestones:
    """The row of a dossier about which an operator decided before any message of it was known."""
    return DossierMilestones(code, seen, DossierState.NO_MESSAGES)


def _time(event: DossierEvent | None) -> dt.datetime:
    return NO_TIME if event is None else event.occurred_at
