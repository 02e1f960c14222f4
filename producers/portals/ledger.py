"""The ledger of simulated dossiers: which milestones and findings each of them must have, on which day and for which unit.

The ledger follows from the plan of a dossier, step by step: where the plan has a second 9, the dossier is settled twice at a
known time. It is made without the rules of the product (``domain.dossiers``, ``domain.findings``), so that each can prove the
other wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.events import Channel, ServiceLevel, Status
from producers.portals.dossier_plan import FULL, LEVELS, NO_STEP, RETURN_COUNTER, STEPS, Again, Plan, Step, first_step
from producers.portals.schedule import local_day
from producers.portals.succession import Succession

_SECOND_MS: Final = 1_000
_ENDS: Final = (Status.REFUSED, Status.WITHDRAWN, Status.STOPPED)

#: The milestones of a ledger. The first five have further counts: see ``Ledger.counts``.
MILESTONES: Final = ("submitted", "settled", "refused", "withdrawn", "stopped", "given_back")
#: The counts of dossiers, as tallies name them.
COUNTS: Final = (
    "submitted",
    "submitted_online",
    "settled",
    "settled_full",
    "settled_full_any_return",
    "refused",
    "withdrawn",
    "stopped",
    "given_back",
)
#: The findings that follow from the events of one dossier, as the product names them.
FINDINGS: Final = (
    "settled_twice",
    "settled_by_return",
    "returned_after_refusal",
    "resubmitted",
    "reopened",
    "first_seen_late",
    "settled_before_submitted",
    "several_channels",
    "several_units",
    "other_unit_than_code",
    "corrected_time",
    "no_channel",
    "no_level",
)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the dossiers of one agency must count as; arrays have one element for each dossier of the plan.

    Attributes:
        steps: milestone or finding -> the step that makes it, or ``NO_STEP``.
        channel: the channel of the dossier; 0: none.
        online, full, full_any_return: whether the dossier is online; settled toàn trình; the same with any way of return.
        level: the level of the settled dossier, as in ``producers.portals.dossier_plan``; 0: unknown or not settled.
        due: the due date of the dossier, epoch milliseconds; -1: none.
        units: for each dossier and step, 0: the agency, 1: its successor, 2: the unrelated agency.
        days: for each dossier and step, days since 1970-01-01.
        codes: the agency codes that the numbers in ``units`` stand for.
    """

    steps: Mapping[str, np.ndarray]
    channel: np.ndarray
    online: np.ndarray
    full: np.ndarray
    full_any_return: np.ndarray
    level: np.ndarray
    due: np.ndarray
    units: np.ndarray
    days: np.ndarray
    codes: tuple[str, str, str]

    def counts(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """For each count and finding its name, the numbers of the dossiers, and the steps that they are counted on."""
        conditions = {
            "submitted_online": ("submitted", self.online),
            "settled_full": ("settled", self.full),
            "settled_full_any_return": ("settled", self.full_any_return),
        }
        for name in (*COUNTS, *FINDINGS):
            milestone, condition = conditions.get(name, (name, None))
            steps = self.steps[milestone]
            rows = np.flatnonzero(steps != NO_STEP if condition is None else (steps != NO_STEP) & condition)
            yield name, rows, steps[rows]


def ledger_of(plan: Plan, succession: Succession, *, foreign: str) -> Ledger:
    """The ledger of a plan. Steps that the plan does not have count as never happened.

    Args:
        plan: every dossier has a step.
        succession: which agency counts the dossiers, before and after a merger.
        foreign: the unrelated agency that sends ``plan.foreign_step``.
    """
    count = len(plan)
    rows = np.arange(count)
    columns = np.arange(STEPS)[None, :]
    status = plan.status
    exists = status > 0
    none = np.full(count, NO_STEP, dtype=np.int8)

    def at(step: int, where: np.ndarray) -> np.ndarray:
        """The step for dossiers where the condition holds, ``NO_STEP`` for others."""
        return np.where(where, np.int8(step), none)

    def either(*choices: np.ndarray) -> np.ndarray:
        """For each dossier the first of several steps that is not ``NO_STEP``."""
        found = none
        for choice in reversed(choices):
            found = np.where(choice != NO_STEP, choice, found)
        return found

    days = local_day(plan.at).astype(np.int32)
    is_foreign = columns == plan.foreign_step[:, None]
    after_merger = (days >= succession.first_day) & succession.merged
    units = np.where(is_foreign, 2, after_merger).astype(np.int8)
    end = status[:, Step.END]
    submitted = first_step(exists)
    settled_by_nine, settled_by_ten = end == Status.SETTLED, end == Status.RETURNED
    settled_mask = settled_by_nine | settled_by_ten
    settled = at(Step.END, settled_mask)
    ended_unsettled = np.isin(end, _ENDS)
    earlier = status[:, Step.ENDED_EARLIER]
    taken_up = (status[:, Step.TAKEN_UP] > 0) | (status[:, Step.PROCESSED_AGAIN] > 0)
    given_back = either(at(Step.END, ended_unsettled), at(Step.ENDED_EARLIER, (earlier > 0) & ~taken_up & ~settled_mask))

    channel = np.where(plan.no_channel, 0, plan.channel)
    online = channel == Channel.ONLINE
    level = np.where(settled_mask & ~plan.no_level, plan.level, 0)
    full_any_return = settled_mask & online & (level == FULL)
    full = full_any_return & (plan.returned != RETURN_COUNTER)

    # What a successor sends again: events of the agency's own time that the agency itself sent.
    sent_again = exists & ~is_foreign & ~after_merger & (plan.again != Again.NOT)[:, None]
    new_ids = np.isin(plan.again, (Again.NEW_IDS, Again.NEW_IDS_SECONDS))
    other_time = (columns == plan.wrong_step[:, None]) | (
        sent_again & (plan.again == Again.SAME_IDS_SECONDS)[:, None] & (plan.at % _SECOND_MS != 0)
    )
    second = first_step(exists & (columns > submitted[:, None]))
    foreign_step = plan.foreign_step
    late = (status[:, Step.REGISTERED_LATE] > 0) | (status[:, Step.RECEIVED_LATE] > 0)
    after_nine = exists & (status < Status.SETTLED) & (columns > Step.END)
    steps = {
        "submitted": submitted,
        "settled": settled,
        **{
            name: either(at(Step.ENDED_EARLIER, earlier == code), at(Step.END, end == code))
            for name, code in zip(("refused", "withdrawn", "stopped"), _ENDS, strict=True)
        },
        "given_back": given_back,
        "settled_twice": either(
            at(Step.END, settled_by_nine & new_ids & sent_again[:, Step.END]),
            at(Step.SETTLED_AGAIN, exists[:, Step.SETTLED_AGAIN]),
        ),
        "settled_by_return": at(Step.END, settled_by_ten),
        "returned_after_refusal": either(
            at(Step.RETURNED_EARLIER, exists[:, Step.RETURNED_EARLIER]),
            at(Step.RETURNED, exists[:, Step.RETURNED] & ended_unsettled),
        ),
        "resubmitted": at(Step.TAKEN_UP, np.isin(status[:, Step.TAKEN_UP], (Status.REGISTERED, Status.RECEIVED))),
        "reopened": np.where(settled_by_nine, first_step(after_nine), none),
        "first_seen_late": np.where(status[rows, submitted] > Status.RECEIVED, submitted, none),
        "settled_before_submitted": at(Step.END, late),
        "several_channels": plan.other_channel_step,
        "several_units": np.where(foreign_step == submitted, second, foreign_step),
        "other_unit_than_code": np.where(plan.other_code, submitted, foreign_step),
        "corrected_time": first_step(other_time),
        "no_channel": np.where(plan.no_channel, submitted, none),
        "no_level": at(Step.END, settled_mask & plan.no_level),
    }
    closed = np.where(settled_mask, Step.END, np.where(given_back != NO_STEP, given_back, STEPS))
    extended = (plan.extended_step != NO_STEP) & (plan.extended_step <= closed)
    return Ledger(
        steps=steps,
        channel=channel,
        online=online,
        full=full,
        full_any_return=full_any_return,
        level=level,
        due=np.where(extended, plan.due_later, plan.due),
        units=units,
        days=days,
        codes=(*succession.codes, foreign),
    )


def level_name(level: int) -> str:
    """The name of a level number of ``Ledger.level``; empty for 0."""
    found: str | ServiceLevel = LEVELS[level]
    return str(found)
