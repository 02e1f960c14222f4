"""The plan of dossiers: which steps each of them has, what the message of each step contains, and what is irregular.

A plan is a table with one row for each dossier and one column for each step that a dossier may have. Columns are in the order
of time: a later column never has an earlier time. ``producers.portals.simulate`` makes messages of the plan,
``producers.portals.ledger`` derives what they must count as.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from domain.events import ReturnedBy, ServiceLevel

#: Code lists as the columns index them; 0: the field is not sent.
LEVELS: Final = ("", ServiceLevel.FULL, ServiceLevel.PARTIAL, ServiceLevel.INFORMATION)
RETURNS: Final = ("", ReturnedBy.ONLINE, ReturnedBy.POST, ReturnedBy.COUNTER)
FULL, PARTIAL, INFORMATION = 1, 2, 3
RETURN_ONLINE, RETURN_POST, RETURN_COUNTER = 1, 2, 3


class Step(enum.IntEnum):
    """The columns of a plan."""

    REGISTERED = 0  # 1
    RECEIVED = 1  # 2
    MIDDLE = 2  # three steps of 4, 5 or 6
    ENDED_EARLIER = 5  # 3, 7 or 8, after which the dossier is taken up again
    RETURNED_EARLIER = 6  # 10: its papers are returned
    TAKEN_UP = 7  # 1, 2 or 4
    PROCESSED_AGAIN = 8  # 4
    END = 9  # 9, or 10 without a 9; 3, 7 or 8
    REGISTERED_LATE = 10  # 1, dated after the end
    RECEIVED_LATE = 11  # 2, dated after the end
    RETURNED = 12  # 10
    REOPENED = 13  # 4, 5 or 6
    SETTLED_AGAIN = 14  # 9
    RETURNED_AGAIN = 15  # 10


STEPS: Final = 16
NO_STEP: Final = -1


class Again(enum.IntEnum):
    """How a successor sends the history of a dossier again."""

    NOT = 0
    SAME_IDS = 1
    NEW_IDS = 2
    SAME_IDS_SECONDS = 3
    NEW_IDS_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """Dossiers of one agency. Arrays have one element, or one row of ``STEPS`` columns, for each dossier.

    Attributes:
        submitted: planned instant of submission, epoch milliseconds; its day is in the dossier code.
        channel, level, returned: the attributes of the dossier; a message contains them unless a fault hides them.
        procedure: index into the procedures of the portal.
        status: of each step; 0: the dossier has no such step.
        at: of each step, epoch milliseconds.
        channels, levels, returns: the attributes in the message of each step; 0: none.
        no_channel, no_level: no event has a channel; no event up to the end has a level.
        other_channel_step: the first step with another channel than the first one.
        foreign_step: the step that an unrelated agency sends.
        other_code: the dossier code names an unrelated agency.
        wrong_step, wrong_by: the step that is sent with a wrong time first, and how much earlier (ms).
        incomplete_step: the step that is also sent without its optional fields.
        again: a value of ``Again``.
        due, due_later: due dates, epoch milliseconds; -1: none.
        extended_step: the step from which on the later due date is sent.
        due_once: each due date is in one event only.
        code_form: of the agency code: bare, old full form, new full form.
        by_successor: after a merger the events are sent under the code of the successor.
    """

    submitted: np.ndarray
    channel: np.ndarray
    level: np.ndarray
    returned: np.ndarray
    procedure: np.ndarray
    status: np.ndarray
    at: np.ndarray
    channels: np.ndarray
    levels: np.ndarray
    returns: np.ndarray
    no_channel: np.ndarray
    no_level: np.ndarray
    other_channel_step: np.ndarray
    foreign_step: np.ndarray
    other_code: np.ndarray
    wrong_step: np.ndarray
    wrong_by: np.ndarray
    incomplete_step: np.ndarray
    again: np.ndarray
    due: np.ndarray
    due_later: np.ndarray
    extended_step: np.ndarray
    due_once: np.ndarray
    code_form: np.ndarray
    by_successor: np.ndarray

    def __len__(self) -> int:
        return len(self.submitted)

    @classmethod
    def joined(cls, plans: list[Self]) -> Self:
        """Several plans joined into one."""
        return cls(**{field.name: np.concatenate([getattr(plan, field.name) for plan in plans]) for field in fields(cls)})

    def chosen(self, rows: np.ndarray) -> Self:
        """The plan of some dossiers (a mask or indices)."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def first_step(condition: np.ndarray) -> np.ndarray:
    """For each row the first column for which the condition holds, or ``NO_STEP``."""
    found: np.ndarray = np.where(condition.any(axis=1), condition.argmax(axis=1), NO_STEP)
    return found.astype(np.int8)


def random_step(rng: np.random.Generator, condition: np.ndarray) -> np.ndarray:
    """For each row one of the columns for which the condition holds, or ``NO_STEP``."""
    found = np.full(len(condition), NO_STEP, dtype=np.int8)
    rows = np.flatnonzero(condition.any(axis=1))
    found[rows] = (condition[rows] * (1.0 - rng.random((len(rows), STEPS)))).argmax(axis=1)
    return found
