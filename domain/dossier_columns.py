"""The rules of ``domain.dossiers`` for many dossiers at once, on numpy columns.

The worker, the audit and the repair use this module. ``domain.dossiers.judge`` stays the statement of the rules, and a property
test compares it with this module.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from domain.dossiers import ENDS_UNSETTLED, MAX_EVENTS, TAKES_UP
from domain.events import Channel, Status
from domain.rows_by_dossier import RowsByDossier

#: What a message can count as: name i stands for bit i. ``repeat``: another message with the same unit, dossier, time, id and
#: status counts in ``events`` instead of this one.
BITS: Final = (
    "submitted",
    "submitted_online",
    "settled",
    "settled_full",
    "settled_full_any_return",
    "refused",
    "withdrawn",
    "stopped",
    "given_back",
    "repeat",
)
_BIT: Final = {name: 1 << position for position, name in enumerate(BITS)}
#: Ranks of levels and of ways of return in the order of their text. 0: missing.
LEVEL_RANKS: Final = ("", "cung_cap_thong_tin", "mot_phan", "toan_trinh")
RETURN_RANKS: Final = ("", "counter", "online", "post")
_FULL: Final = LEVEL_RANKS.index("toan_trinh")
_COUNTER: Final = RETURN_RANKS.index("counter")
#: The value of ``due`` for a message without a due date: before every other.
NO_DUE: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class MessageColumns:
    """The messages of whole dossiers; every array has one element for each message.

    Attributes:
        dossier: number of the dossier, int64; any numbers.
        occurred_at, due: epoch milliseconds, int64; ``NO_DUE`` for a missing due date.
        status, channel, legacy: as sent, 0 for a missing value.
        level, returned: positions in ``LEVEL_RANKS`` and ``RETURN_RANKS``.
        named: whether the dossier code names the unit.
        id_high, id_low: the halves of the event id, uint64; together ordered like its text.
        procedure, unit: ranks in the order of their text.
    """

    dossier: np.ndarray
    occurred_at: np.ndarray
    status: np.ndarray
    channel: np.ndarray
    level: np.ndarray
    returned: np.ndarray
    legacy: np.ndarray
    due: np.ndarray
    named: np.ndarray
    id_high: np.ndarray
    id_low: np.ndarray
    procedure: np.ndarray
    unit: np.ndarray

    @property
    def small(self) -> tuple[np.ndarray, ...]:
        """The columns that have few different values."""
        return self.legacy, self.returned, self.level, self.channel, self.named, self.status

    def take(self, positions: np.ndarray) -> MessageColumns:
        """The messages at ``positions``, in that order."""
        return MessageColumns(*(getattr(self, field.name)[positions] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class DecisionColumns:
    """Operators' decisions about dossiers (``domain.exclusions``); every array has one element for each distinct decision.

    Attributes:
        dossier: number of the dossier, as in ``MessageColumns``.
        decided_at: epoch milliseconds, int64.
        id_high, id_low: the halves of the id of the decision, uint64; together ordered like its text.
        excluded: whether the decision excludes the dossier; otherwise it includes the dossier again.
    """

    dossier: np.ndarray
    decided_at: np.ndarray
    id_high: np.ndarray
    id_low: np.ndarray
    excluded: np.ndarray

    def counted_of(self, dossier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each element of ``dossier``: the number of decisions about this dossier, and whether the last one excludes it."""
        order = np.lexsort((self.id_low, self.id_high, self.decided_at, self.dossier))
        decided = self.dossier[order]
        last = np.flatnonzero(np.r_[decided[1:] != decided[:-1], True]) if len(decided) else np.zeros(0, dtype=np.int64)
        numbers, sizes = decided[last], np.diff(np.r_[-1, last])
        if not len(numbers):
            return np.zeros(len(dossier), dtype=np.int64), np.zeros(len(dossier), dtype=bool)
        at = np.minimum(np.searchsorted(numbers, dossier), len(numbers) - 1)
        known = numbers[at] == dossier
        return np.where(known, sizes[at], 0), known & self.excluded[order][last][at]


@dataclass(frozen=True, slots=True)
class Judged:
    """What follows from the messages of whole dossiers; every array has one element for each message.

    Attributes:
        bits: what the message counts as (bits of ``BITS``), uint16.
        messages: number of distinct messages of the message's dossier plus number of decisions about it. It only ever grows.
        several: whether another message of the dossier has the same id and status.
        if_full: bits, uint16, that are added to ``bits`` when the service catalogue has the level *toàn trình* for the message. 0
            unless the message settles an online dossier, and neither the message nor an event before it has a level.
    """

    bits: np.ndarray
    messages: np.ndarray
    several: np.ndarray
    if_full: np.ndarray

    def with_levels(self, full: np.ndarray) -> np.ndarray:
        """``bits``, with ``if_full`` added where the catalogue has the level *toàn trình*.

        Args:
            full: for each message whether the catalogue has the level *toàn trình* for its unit, procedure and day.
        """
        found: np.ndarray = self.bits | np.where(full, self.if_full, np.uint16(0))
        return found


def count_bits(sent: MessageColumns, decisions: DecisionColumns | None = None) -> Judged:
    """What each message counts as within its dossier. A message of an excluded dossier has no bit but that of a repeat.

    Args:
        sent: distinct messages; two messages differ in at least one column.
        decisions: all decisions of operators about these dossiers; those about other dossiers are ignored.
    """
    rows = len(sent.dossier)
    bits, if_full = np.zeros(rows, dtype=np.uint16), np.zeros(rows, dtype=np.uint16)
    if not rows:
        return Judged(bits, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool), if_full)
    counting, messages, several = _counting(sent, bits)
    _judge(sent, counting, bits, if_full)
    if decisions is not None and len(decisions.dossier):
        number, excluded = decisions.counted_of(sent.dossier)
        messages += number
        bits[excluded] &= _BIT["repeat"]
        if_full[excluded] = 0
    return Judged(bits, messages, several, if_full)


def _counting(sent: MessageColumns, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions of the messages that count, one for each event, and ``messages`` and ``several`` of ``Judged``.

    Sets in ``bits`` the bit of messages that are repeats.
    """
    rows = len(sent.dossier)
    order = np.lexsort((sent.status, sent.id_low, sent.id_high, sent.dossier))
    dossier = sent.dossier[order]
    same_dossier = dossier[1:] == dossier[:-1]
    same_event = same_dossier.copy()
    for column in (sent.id_high, sent.id_low, sent.status):
        ordered = column[order]
        same_event &= ordered[1:] == ordered[:-1]
    sizes = np.diff(np.flatnonzero(np.r_[True, ~same_dossier, True]))
    messages, several = np.empty(rows, dtype=np.int64), np.zeros(rows, dtype=bool)
    messages[order] = np.repeat(sizes, sizes)
    if not same_event.any():
        return order, messages, several
    several[order] = np.r_[False, same_event] | np.r_[same_event, False]
    alike = np.flatnonzero(several)
    return np.r_[np.flatnonzero(~several), alike[_preferred(sent, alike, bits)]], messages, several


def _preferred(sent: MessageColumns, alike: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """For each event with several messages the one that counts, as a position in ``alike``: the greatest by ``keys``.

    ``alike``: positions of the messages that share their event with another one. Sets in ``bits`` the bit of repeats.
    """
    # The greatest message of an event is the last of them in this order.
    keys = (
        *(sent.unit, sent.legacy, sent.due, sent.procedure, sent.returned, sent.level, sent.channel, sent.named),
        *(sent.occurred_at, sent.status, sent.id_low, sent.id_high, sent.dossier),
    )
    preference = np.lexsort([key[alike] for key in keys])
    same_event = np.ones(len(alike) - 1, dtype=bool)
    for column in keys[-4:]:
        ordered = column[alike][preference]
        same_event &= ordered[1:] == ordered[:-1]
    rows = alike[preference]
    bits[rows[:-1][_repeats(sent, rows, same_event)]] = _BIT["repeat"]
    found: np.ndarray = preference[np.r_[~same_event, True]]
    return found


def _repeats(sent: MessageColumns, preference: np.ndarray, same_event: np.ndarray) -> np.ndarray:
    """For each message except the last: whether a later one has the same id, status, time and unit.

    ``preference``: positions of the messages in ascending order; of each event the last message counts. ``same_event``: for each
    message except the last, whether the next one belongs to the same event.
    """
    found = np.zeros(len(same_event), dtype=bool)
    if not same_event.any():
        return found
    # Messages of one id, status and time are neighbours; those of one unit need not be.
    instants, units = sent.occurred_at[preference], sent.unit[preference]
    for position in np.flatnonzero(same_event & (instants[1:] == instants[:-1])):
        later = position + 1
        while later < len(preference) and same_event[later - 1] and instants[later] == instants[position]:
            if units[later] == units[position]:
                found[position] = True
                break
            later += 1
    return found


def _judge(sent: MessageColumns, counting: np.ndarray, bits: np.ndarray, if_full: np.ndarray) -> None:
    """Set the bits of the milestones in ``bits``, and those of ``Judged.if_full`` in ``if_full``.

    ``counting``: positions of the messages that count, one for each event.
    """
    order = counting[
        np.lexsort(
            (
                sent.unit[counting],
                sent.id_low[counting],
                sent.id_high[counting],
                ~sent.named[counting],
                sent.status[counting],
                sent.occurred_at[counting],
                sent.dossier[counting],
            )
        )
    ]
    dossiers = RowsByDossier(sent.dossier[order])
    status, channel, level = sent.status[order], sent.channel[order], sent.level[order]
    judged = dossiers.sizes <= MAX_EVENTS

    def mark(name: str, at: np.ndarray, where: np.ndarray, into: np.ndarray = bits) -> None:
        chosen = where & judged
        into[order[at[chosen]]] |= _BIT[name]

    with_channel, has_channel = dossiers.first(channel > 0)
    online = has_channel & (channel[np.minimum(with_channel, len(order) - 1)] == Channel.ONLINE)
    everywhere = np.ones(len(judged), dtype=bool)
    mark("submitted", dossiers.starts, everywhere)
    mark("submitted_online", dossiers.starts, online)
    for name, code in (("refused", Status.REFUSED), ("withdrawn", Status.WITHDRAWN), ("stopped", Status.STOPPED)):
        mark(name, *dossiers.first(status == code))

    unsettled = np.isin(status, list(ENDS_UNSETTLED))
    # For each event: the latest one before it that is not a 10. A 10 returns the papers of an unsettled dossier when
    # that event is a 3, 7 or 8.
    before = dossiers.latest_before(status != Status.RETURNED)
    returns_unsettled = (before >= 0) & unsettled[np.maximum(before, 0)]
    nine, has_nine = dossiers.first(status == Status.SETTLED)
    ten, has_ten = dossiers.first((status == Status.RETURNED) & ~returns_unsettled)
    settled_at, settled = np.where(has_nine, nine, ten), has_nine | has_ten
    mark("settled", settled_at, settled)
    with_level = dossiers.latest_before(level > 0, including=True)
    at = np.minimum(settled_at, len(order) - 1)
    nearest = with_level[at]
    full = settled & online & (nearest >= 0) & (level[np.maximum(nearest, 0)] == _FULL)
    without = settled & online & (nearest < 0)
    counter = dossiers.any((sent.returned[order] == _COUNTER) & ((status == Status.SETTLED) | (status == Status.RETURNED)))
    mark("settled_full_any_return", settled_at, full)
    mark("settled_full", settled_at, full & ~counter)
    mark("settled_full_any_return", settled_at, without, if_full)
    mark("settled_full", settled_at, without & ~counter, if_full)

    taken_up = dossiers.last(np.isin(status, list(TAKES_UP)))
    positions = np.arange(len(order))
    given_back, has = dossiers.first(unsettled & (positions > np.repeat(taken_up, dossiers.sizes)))
    mark("given_back", given_back, has & ~settled)
