"""Compares the tallies of one civil day with the stored events, in every tier."""

from __future__ import annotations

import datetime as dt

from domain.tiers import Tier
from pipeline.audit.drift import DayComparison
from pipeline.audit.in_hand import InHand
from sinks.contract.audit import TallyAudit

#: Differences listed for one tier and day. More are only counted.
_LISTED = 2_000


def compare_day(audit: TallyAudit, day: dt.date, *, settle: dt.timedelta, in_hand: InHand) -> DayComparison:
    """Compare every tier of a day once. ``in_hand`` must have been read before the call.

    Raises:
        SinkError: the storage does not answer.
    """
    tiers = {tier: audit.compare(tier, day, settle=settle, limit=_LISTED, acknowledged=in_hand.acknowledged) for tier in Tier}
    return DayComparison(day, tiers, in_hand.fallback_reason)
