"""Corrections: the difference between what a message counts as alone and what it counts as within its dossier.

A tally is the sum of what its messages count as alone, which needs no look at other messages, and of their corrections. Most
dossiers are *plain*: no message of them needs a correction. Several workers may correct one dossier at the same time. So a worker
first records a *claim*, which says what it is going to make a message count as, and reads the dossier again. DECISIONS.md has the
proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.dossier_columns import BITS, LEVEL_RANKS, RETURN_RANKS, Judged
from domain.dossiers import ENDS_UNSETTLED
from domain.events import Channel, Status

_BIT: Final = {name: 1 << position for position, name in enumerate(BITS)}
_FULL, _COUNTER = LEVEL_RANKS.index("toan_trinh"), RETURN_RANKS.index("counter")


def bits_alone(status: np.ndarray, channel: np.ndarray, level: np.ndarray, returned: np.ndarray) -> np.ndarray:
    """What each message counts as alone, by the rules of ``domain.tiers``: bits of ``domain.dossier_columns.BITS``, uint16.

    Args:
        status: as sent.
        channel: as sent; 0: missing.
        level: position in ``LEVEL_RANKS``.
        returned: position in ``RETURN_RANKS``.
    """
    online = channel == Channel.ONLINE
    submitted = is_submission(status, channel)
    full = (status == Status.SETTLED) & online & (level == _FULL)
    found = {
        "submitted": submitted,
        "submitted_online": submitted & online,
        "settled": status == Status.SETTLED,
        "settled_full": full & (returned != _COUNTER),
        "settled_full_any_return": full,
        "refused": status == Status.REFUSED,
        "withdrawn": status == Status.WITHDRAWN,
        "stopped": status == Status.STOPPED,
        "given_back": np.isin(status, list(ENDS_UNSETTLED)),
    }
    bits = np.zeros(len(status), dtype=np.uint16)
    for name, where in found.items():
        bits[where] |= _BIT[name]
    return bits


def is_submission(status: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Whether each message alone counts as submitted: a 1 with the channel online, or a 2 in person or by post."""
    found: np.ndarray = ((status == Status.REGISTERED) & (channel == Channel.ONLINE)) | (
        (status == Status.RECEIVED) & ((channel == Channel.IN_PERSON) | (channel == Channel.POST))
    )
    return found


@dataclass(frozen=True, slots=True)
class Claims:
    """The stored claims of workers about messages; every array has one element for each claim.

    Attributes:
        message: position of the message among the columns.
        bits: what a worker was going to make the message count as.
        confirmed: whether the claimed correction is stored, and every tally of the message was recounted after that.
    """

    message: np.ndarray
    bits: np.ndarray
    confirmed: np.ndarray


@dataclass(frozen=True, slots=True)
class Decision:
    """Which messages need a correction, and which of these need a claim before it; one element for each message."""

    correct: np.ndarray
    claim: np.ndarray


def decide(judged: Judged, alone: np.ndarray, claims: Claims) -> Decision:
    """Decide which messages of whole dossiers need a correction, and which of these need a claim first.

    A message without a claim needs a correction when it counts otherwise than alone. A message with claims needs one, because its
    correction may be missing or wrong by now, unless every claim says what is right (``judged``) and one of them is confirmed. An
    unconfirmed claim is not relied on: its worker may have been frozen, have lost its batch to a worker that has acknowledged it
    since, and have ended before it wrote the correction.
    """
    same, other, confirmed = _claimed(judged, claims)
    correct = (same | other | (judged.bits != alone)) & ~(confirmed & ~other)
    return Decision(correct, correct & ~same)


def decide_all(judged: Judged, claims: Claims) -> Decision:
    """Decide for a repair that every message of whole dossiers gets a correction, whatever corrections and claims it has.

    A repair cannot rely on earlier claims. A message without a claim of what is right needs a claim first.
    """
    same, _, _ = _claimed(judged, claims)
    return Decision(np.ones(len(same), dtype=bool), ~same)


def _claimed(judged: Judged, claims: Claims) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each message whether it has a claim that says what is right, one that says otherwise, and a confirmed right one.

    What is right is ``judged.bits``.
    """
    same, other, confirmed = (np.zeros(len(judged.bits), dtype=bool) for _ in range(3))
    is_right = claims.bits == judged.bits[claims.message]
    same[claims.message[is_right]] = True
    other[claims.message[~is_right]] = True
    confirmed[claims.message[is_right & claims.confirmed]] = True
    return same, other, confirmed
