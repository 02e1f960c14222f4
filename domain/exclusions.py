"""Exclusions: an operator takes a dossier out of the figures, because it was sent by mistake or for a test.

There may be any number of decisions about a dossier, and the one with the latest time holds. The order in which they become known
does not matter.
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
    """One decision of an operator about a dossier: to exclude it, or to include it again.

    ``reason`` is empty when the dossier is included again. ``name`` tells who decided.
    """

    decided_at: dt.datetime
    id: uuid.UUID
    excluded: bool
    reason: str = ""
    name: str = ""


def last_decision(decisions: Iterable[ExclusionDecision]) -> ExclusionDecision | None:
    """The decision that holds: the one with the latest time, of equal times the one with the greatest id as text; None: none."""
    return max(decisions, key=lambda decision: (decision.decided_at, decision.id.hex), default=None)


def is_excluded(decisions: Iterable[ExclusionDecision]) -> bool:
    """Whether a dossier with these decisions is excluded."""
    last = last_decision(decisions)
    return last is not None and last.excluded


def checked_text(what: str, text: str) -> str:
    """Return a reason or a name without blanks around it. ``what`` is the word for it in errors.

    Raises:
        ConfigurationError: the text is empty, longer than ``MAX_TEXT``, or has a control character.
    """
    stripped = text.strip()
    if not stripped:
        raise ConfigurationError(f"{what} is empty.", remedy="Write a sentence that others understand later.")
    if len(stripped) > MAX_TEXT:
        raise ConfigurationError(f"{what} has {len(stripped)} characters. At most {MAX_TEXT} are allowed.")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in stripped):
        raise ConfigurationError(f"{what} has a control character.", remedy="Write it in one line, without tabs.")
    return stripped
