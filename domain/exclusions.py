"""Exclusions: an operator takes a dossier out of the figures, because it was sent by mistake or for a test.

A dossier has any number of decisions, and the last one holds. The order in which they become known does not matter.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from domain.errors import ConfigurationError

#: Longest text of a reason and of a name, in characters.
MAX_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class ExclusionDecision:
    """One decision about a dossier. ``reason`` is empty when it is included again; ``name`` tells who decided."""

    decided_at: dt.datetime
    id: uuid.UUID
    excluded: bool
    reason: str = ""
    name: str = ""


def last_decision(decisions: Iterable[ExclusionDecision]) -> ExclusionDecision | None:
    """The decision that holds: the last by time, and at equal times by id as text. None without any."""
    return max(decisions, key=lambda decision: (decision.decided_at, decision.id.hex), default=None)


def is_excluded(decisions: Iterable[ExclusionDecision]) -> bool:
    """Whether a dossier with these decisions is excluded."""
    last = last_decision(decisions)
    return last is not None and last.excluded


def checked_text(what: str, text: str) -> str:
    """A reason or a name without blanks around it.

    Raises:
        ConfigurationError: it is empty, longer than ``MAX_TEXT``, or has a control character; names ``what``.
    """
    stripped = text.strip()
    if not stripped:
        raise ConfigurationError(f"{what} is empty.", remedy="Write a sentence that others understand later.")
    if len(stripped) > MAX_TEXT:
        raise ConfigurationError(f"{what} has {len(stripped)} characters. At most {MAX_TEXT} are kept.")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in stripped):
        raise ConfigurationError(f"{what} has a control character.", remedy="Write it in one line, without tabs.")
    return stripped
