"""Plans when the messages of a portal reach the topic, and which of them are sent wrong, again or twice."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from producers.portals.catalogue import rng_of
from producers.portals.dossier_plan import Again
from producers.portals.ledger import Ledger
from producers.portals.portal import Portal
from producers.portals.schedule import DAY_MS, HOUR_MS, OFFSET_MS, local_day

#: Share of portals that synchronise in bursts, and how many hours apart.
_BURST_PORTALS: Final = 0.12
_BURST_HOURS: Final = (2, 4, 6)
#: Delay of the other portals: median, spread (log-normal), longest (ms).
_DELAY_MEDIAN_MS: Final = 4_000
_DELAY_SIGMA: Final = 1.3
_MAX_DELAY_MS: Final = 30 * 60_000
#: How much later a message is delivered a second time, at most (ms).
_MAX_REPEAT_MS: Final = 6 * HOUR_MS
#: A successor sends the history within this time after the merger (ms).
_AGAIN_MS: Final = 20 * DAY_MS
_SECOND_MS: Final = 1_000


class Version(enum.IntEnum):
    """Why a message is sent."""

    EVENT = 0
    WRONG_TIME = 1
    INCOMPLETE = 2
    AGAIN = 3
    AGAIN_NEW_ID = 4


@dataclass(frozen=True, slots=True)
class MessageRows:
    """Messages before they have bytes; arrays of equal length.

    Attributes:
        dossier: number of the dossier among those of all portals.
        step: column of its plan.
        version: a value of ``Version``.
        unit: the sender: 0 the agency, 1 its successor, 2 the unrelated agency.
        at: the time in the message, epoch milliseconds.
        arrival: when the message reaches the topic, epoch milliseconds.
        counted: 0, 1, 2: the unit for which the message is a distinct event; -1: it repeats an event.
    """

    dossier: np.ndarray
    step: np.ndarray
    version: np.ndarray
    unit: np.ndarray
    at: np.ndarray
    arrival: np.ndarray
    counted: np.ndarray

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Several tables of messages joined into one."""
        return cls(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)})

    def taken(self, rows: np.ndarray) -> Self:
        """The messages at these positions."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def rows_of_plan(portal: Portal, ledger: Ledger, *, first: int, seed: int) -> MessageRows:
    """Every message of a portal's plan, without repeats."""
    plan, succession = portal.plan, portal.succession
    rng = rng_of(seed, "arrivals", portal.agency)
    dossier, step = np.nonzero(plan.status)
    at = plan.at[dossier, step]
    unit = ledger.units[dossier, step]
    delays = np.minimum(_DELAY_MEDIAN_MS * rng.lognormal(0.0, _DELAY_SIGMA, size=len(at)), _MAX_DELAY_MS).astype(np.int64)
    if rng.random() < _BURST_PORTALS:
        every = int(rng.choice(_BURST_HOURS)) * HOUR_MS
        arrival = -(-at // every) * every + delays // 10
    else:
        arrival = at + delays
    # After a merger a portal may go on with the old code; the event counts for the successor all the same.
    sender = np.where((unit == 1) & ~plan.by_successor[dossier], 0, unit)

    def part(chosen: np.ndarray, version: Version, **changes: np.ndarray) -> MessageRows:
        size = len(dossier[chosen])
        columns = {"unit": sender[chosen], "at": at[chosen], "arrival": arrival[chosen], "counted": np.full(size, -1), **changes}
        return MessageRows(
            dossier=(dossier[chosen] + first).astype(np.int32),
            step=step[chosen].astype(np.int8),
            version=np.full(size, version, dtype=np.int8),
            unit=columns["unit"].astype(np.int8),
            at=columns["at"],
            arrival=columns["arrival"],
            counted=columns["counted"].astype(np.int8),
        )

    def unit_on(chosen: np.ndarray, instants: np.ndarray) -> np.ndarray:
        after = (local_day(instants) >= succession.first_day) & succession.merged
        return np.where(unit[chosen] == 2, 2, after)

    parts = [part(np.arange(len(at)), Version.EVENT, counted=unit)]
    wrong = np.flatnonzero(step == plan.wrong_step[dossier])
    if len(wrong):
        wrong_at = at[wrong] - plan.wrong_by[dossier[wrong]]
        before = np.minimum(arrival[wrong], wrong_at + delays[wrong])
        parts.append(part(wrong, Version.WRONG_TIME, at=wrong_at, arrival=before, counted=unit_on(wrong, wrong_at)))
    incomplete = np.flatnonzero(step == plan.incomplete_step[dossier])
    if len(incomplete):
        moved = arrival[incomplete] + rng.integers(-_MAX_REPEAT_MS, _MAX_REPEAT_MS, size=len(incomplete))
        parts.append(part(incomplete, Version.INCOMPLETE, arrival=moved))
    again = plan.again[dossier]
    # The history of the agency's own time: what it sent itself before the merger.
    history = (unit == 0) & (again != Again.NOT)
    for kind in (Again.SAME_IDS, Again.NEW_IDS, Again.SAME_IDS_SECONDS, Again.NEW_IDS_SECONDS):
        chosen = np.flatnonzero(history & (again == kind))
        if not len(chosen):
            continue
        cut = kind in (Again.SAME_IDS_SECONDS, Again.NEW_IDS_SECONDS)
        new_id = kind in (Again.NEW_IDS, Again.NEW_IDS_SECONDS)
        said = at[chosen] // _SECOND_MS * _SECOND_MS if cut else at[chosen]
        distinct = np.ones(len(chosen), dtype=bool) if new_id else said != at[chosen]
        start = succession.first_day * DAY_MS - OFFSET_MS
        parts.append(
            part(
                chosen,
                Version.AGAIN_NEW_ID if new_id else Version.AGAIN,
                unit=np.ones(len(chosen)),
                at=said,
                arrival=np.sort(start + rng.integers(0, _AGAIN_MS, size=len(chosen))),
                counted=np.where(distinct, 0, -1),
            )
        )
    return MessageRows.joined(parts)


def with_repeats(rows: MessageRows, rng: np.random.Generator, share: float) -> MessageRows:
    """The messages, and a share of them a second time with a later arrival."""
    again = np.flatnonzero(rng.random(len(rows.at)) < share)
    if not len(again):
        return rows
    copies = rows.taken(again)
    arrival = copies.arrival + rng.integers(1_000, _MAX_REPEAT_MS, size=len(again))
    columns = {field.name: getattr(copies, field.name) for field in fields(copies)}
    repeats = MessageRows(**{**columns, "arrival": arrival, "counted": np.full(len(again), -1, dtype=np.int8)})
    return MessageRows.joined([rows, repeats])


def interleaved_order(rows: MessageRows, rng: np.random.Generator) -> np.ndarray:
    """An order of the messages: dossiers mixed at random, each in the order of its steps.

    A message with a wrong time comes first.
    """
    within = np.lexsort((rows.version == Version.EVENT, rows.step, rows.dossier))
    drawn = rng.random(len(within))
    positions = np.empty(len(within))
    positions[within] = drawn[np.lexsort((drawn, rows.dossier[within]))]
    order: np.ndarray = np.argsort(positions, kind="stable")
    return order
