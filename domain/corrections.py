"""Corrections: the difference between what a message counts as by itself and what it counts as within its dossier.

A tally is the sum of what its messages count as by themselves, which needs no look at other messages, and of the corrections.
Most dossiers are *plain*: no message of theirs needs a correction. Several writers may correct one dossier at the same time, so a
writer first records a *claim*, what it is going to make a message count as, and looks at the dossier again. DECISIONS.md has
the proof.
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
    """What each message counts as by itself: the bits of ``domain.dossier_columns.BITS``, uint16. The rules of ``domain.tiers``.

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
    """Whether a message by itself counts as submitted: a 1 that is online, or a 2 that is not."""
    found: np.ndarray = ((status == Status.REGISTERED) & (channel == Channel.ONLINE)) | (
        (status == Status.RECEIVED) & ((channel == Channel.IN_PERSON) | (channel == Channel.POST))
    )
    return found


@dataclass(frozen=True, slots=True)
class Claims:
    """What writers were going to make messages count as; one element for each claim.

    Attributes:
        message: position of the message among the columns.
        bits: what it was going to count as.
        confirmed: whether the correction is stored, and every tally of the message was recounted since.
    """

    message: np.ndarray
    bits: np.ndarray
    confirmed: np.ndarray


@dataclass(frozen=True, slots=True)
class Decision:
    """Which messages need a correction, and which of these must be claimed first."""

    correct: np.ndarray
    claim: np.ndarray


def decide(judged: Judged, alone: np.ndarray, claims: Claims) -> Decision:
    """Decide for whole dossiers, from one look at them.

    A message needs a correction when it was never claimed and counts otherwise than by itself, or when it was claimed: its
    correction may be missing, or other than what is right now. It needs none when all its claims are what is right and one of
    them is confirmed. A claim alone is not relied on. Its worker may have been frozen, may have lost its batch to a worker that
    has acknowledged it since, and may have ended before it wrote.
    """
    same, other, confirmed = _claimed(judged, claims)
    correct = (same | other | (judged.bits != alone)) & ~(confirmed & ~other)
    return Decision(correct, correct & ~same)


def decide_all(judged: Judged, claims: Claims) -> Decision:
    """Decide for whole dossiers that every message gets a correction, whatever the corrections are that it has.

    For a repair, which cannot rely on what earlier claims promise.
    """
    same, _, _ = _claimed(judged, claims)
    return Decision(np.ones(len(same), dtype=bool), ~same)


def _claimed(judged: Judged, claims: Claims) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each message whether it has a claim of what is right, one of something else, and a confirmed one of what is right."""
    same, other, confirmed = (np.zeros(len(judged.bits), dtype=bool) for _ in range(3))
    is_right = claims.bits == judged.bits[claims.message]
    same[claims.message[is_right]] = True
    other[claims.message[~is_right]] = True
    confirmed[claims.message[is_right & claims.confirmed]] = True
    return same, other, confirmed
