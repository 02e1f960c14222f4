"""Irregularities of dossiers as portals really send them: their names, their shares, and the profiles that set the shares.

No irregularity makes a message invalid (``producers.portals.faults`` makes invalid ones). Most are findings of the product; all
of them mislead a count of events.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Self

from domain.errors import ConfigurationError


class DossierFault(enum.StrEnum):
    """The names of the irregularities. Each applies to a share of the dossiers in which it is possible."""

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
    SENT_ONCE = "sent_once"
    RETURN_ELSEWHERE = "return_elsewhere"
    SAME_TIME = "same_time"
    DUE_DATE = "due_date"
    EXTENDED = "extended"
    FULL_AGENCY_CODE = "full_agency_code"
    INCOMPLETE_COPY = "incomplete_copy"
    REPEATED = "repeated"
    AGAIN_SAME_IDS = "again_same_ids"
    AGAIN_NEW_IDS = "again_new_ids"
    AGAIN_SECONDS = "again_seconds"


#: What each switch does, for ``--help``.
DESCRIPTIONS: Final[Mapping[DossierFault, str]] = MappingProxyType(
    {
        DossierFault.SETTLED_TWICE: "a second 9",
        DossierFault.SETTLED_BY_RETURN: "a 10 without a 9",
        DossierFault.RETURNED_AFTER_REFUSAL: "a 10 returns the papers of a refused dossier",
        DossierFault.RESUBMITTED: "1 or 2 after 3, 7 or 8",
        DossierFault.REOPENED: "4, 5 or 6 after a 9",
        DossierFault.FIRST_SEEN_LATE: "no 1 and no 2",
        DossierFault.SETTLED_BEFORE_SUBMITTED: "1 and 2 are dated after the end",
        DossierFault.SEVERAL_CHANNELS: "a later event has another channel",
        DossierFault.SEVERAL_UNITS: "one event is sent by an unrelated agency",
        DossierFault.OTHER_UNIT_THAN_CODE: "the dossier code names an unrelated agency",
        DossierFault.CORRECTED_TIME: "an event is sent with a wrong, earlier time first",
        DossierFault.NO_CHANNEL: "no event has a channel",
        DossierFault.NO_LEVEL: "no event up to the end has a level",
        DossierFault.SENT_ONCE: "channel, level and due date are in one event only",
        DossierFault.RETURN_ELSEWHERE: "the way of return is in the 9 alone, in the 10 alone, or earlier as a wish",
        DossierFault.SAME_TIME: "1 and 2 have the same time",
        DossierFault.DUE_DATE: "events have a due date",
        DossierFault.EXTENDED: "the due date is extended",
        DossierFault.FULL_AGENCY_CODE: "agency codes such as 000.00.12.H17 and H17.12",
        DossierFault.INCOMPLETE_COPY: "an event is sent again without its optional fields",
        DossierFault.REPEATED: "share of messages that are delivered twice",
        DossierFault.AGAIN_SAME_IDS: "merged agencies only: the successor sends the history again with the same ids",
        DossierFault.AGAIN_NEW_IDS: "merged agencies only: again, with new ids",
        DossierFault.AGAIN_SECONDS: "merged agencies only: again, with times cut to seconds and the same or new ids",
    }
)

_AGAIN: Final = (DossierFault.AGAIN_SAME_IDS, DossierFault.AGAIN_NEW_IDS, DossierFault.AGAIN_SECONDS)
#: Share of messages that are delivered twice also by regular portals.
_USUAL_REPEATS: Final = 0.003
#: Share of each fault in realistic feeds.
_REALISTIC: Final = 0.05


@dataclass(frozen=True, slots=True)
class FaultShares:
    """The share of every irregularity, from 0 to 1; an irregularity that is not listed has the share 0."""

    shares: Mapping[DossierFault, float] = field(default_factory=dict)

    def __getitem__(self, fault: DossierFault) -> float:
        return self.shares.get(fault, 0.0)

    @classmethod
    def regular(cls) -> Self:
        """Shares for regular dossiers: no irregularities; a few messages are delivered twice."""
        return cls({DossierFault.REPEATED: _USUAL_REPEATS})

    @classmethod
    def realistic(cls) -> Self:
        """Realistic shares: each fault in 5 % of the dossiers; 95 % have a due date; successors send all their history again."""
        shares = dict.fromkeys(DossierFault, _REALISTIC)
        return cls({**shares, DossierFault.DUE_DATE: 0.95, **dict.fromkeys(_AGAIN, 1 / 3)})

    def changed(self, texts: Iterable[str]) -> Self:
        """These shares with changes: each text is NAME=SHARE.

        Raises:
            ConfigurationError: a text is not NAME=SHARE, or the shares of history sent again add up to more than 1.
        """
        shares = dict(self.shares)
        for text in texts:
            name, _, number = text.partition("=")
            if name.strip() not in set(DossierFault):
                raise ConfigurationError(
                    f"--fault {text!r} names no fault.", remedy=f"Write NAME=SHARE. Names: {', '.join(DossierFault)}."
                )
            fault = DossierFault(name.strip())
            try:
                share = float(number)
            except ValueError:
                share = -1.0
            if not 0.0 <= share <= 1.0:
                raise ConfigurationError(
                    f"--fault {text!r} is not NAME=SHARE with a share from 0 to 1.",
                    remedy=f"Write for example --fault {fault}=0.1.",
                )
            shares[fault] = share
        if sum(shares.get(fault, 0.0) for fault in _AGAIN) > 1.0 + 1e-9:
            raise ConfigurationError(
                f"The shares of {', '.join(_AGAIN)} add up to {sum(shares.get(fault, 0.0) for fault in _AGAIN):.2f}.",
                remedy="Set all of them with --fault, to 1 at most together; the profile sets those that are not named.",
            )
        return replace(self, shares=shares)

    def without_copies(self) -> Self:
        """These shares, but no message is delivered twice or sent again by a successor."""
        copies = (*_AGAIN, DossierFault.REPEATED, DossierFault.INCOMPLETE_COPY)
        return replace(self, shares={**self.shares, **dict.fromkeys(copies, 0.0)})


#: The profiles of ``--profile``.
PROFILES: Final = MappingProxyType({"regular": FaultShares.regular(), "realistic": FaultShares.realistic()})
