"""A simulated portal whose submissions are given: the life of each dossier from its submission on."""

from __future__ import annotations

from typing import Final

import numpy as np

from domain.agencies import AgencyRegistry
from domain.events import Channel, Status
from domain.periods import Period
from producers.portals.dossier_faults import DossierFault, FaultShares
from producers.portals.dossier_plan import RETURN_COUNTER, RETURN_ONLINE, RETURN_POST
from producers.portals.dossier_planning import planned
from producers.portals.outline import Outline
from producers.portals.outlines import MIDDLE_SHARES, MIDDLES
from producers.portals.portal import Portal, portal_of
from producers.portals.schedule import DAY_MS, bounds, durations, return_gaps
from producers.portals.service_stock import ServiceStock
from producers.portals.submissions import Submissions
from producers.portals.succession import Succession

#: How dossiers end: status, share; 0 stays open.
_ENDS: Final = {Status.SETTLED: 0.92, Status.REFUSED: 0.02, Status.WITHDRAWN: 0.01, Status.STOPPED: 0.01, 0: 0.04}
#: Faults that leave the submission as it is: its day, unit, procedure, channel and level.
KEPT_FAULTS: Final = frozenset(
    {
        DossierFault.SETTLED_TWICE,
        DossierFault.SETTLED_BY_RETURN,
        DossierFault.RETURNED_AFTER_REFUSAL,
        DossierFault.RESUBMITTED,
        DossierFault.REOPENED,
        DossierFault.SEVERAL_CHANNELS,
        DossierFault.CORRECTED_TIME,
        DossierFault.RETURN_ELSEWHERE,
        DossierFault.SAME_TIME,
        DossierFault.DUE_DATE,
        DossierFault.EXTENDED,
        DossierFault.FULL_AGENCY_CODE,
        DossierFault.INCOMPLETE_COPY,
        DossierFault.REPEATED,
    }
)


def kept(shares: FaultShares) -> FaultShares:
    """The shares of only those faults that leave the submission as it is."""
    return FaultShares({fault: share for fault, share in shares.shares.items() if fault in KEPT_FAULTS})


def portal_of_submissions(
    rng: np.random.Generator,
    stock: ServiceStock,
    submissions: Submissions,
    span: Period,
    *,
    shares: FaultShares,
    registry: AgencyRegistry,
    receiving: tuple[str, ...] = (),
) -> Portal:
    """The portal of an agency whose submissions are given.

    Args:
        rng: every draw comes from this generator.
        stock: the services of the agency.
        submissions: its dossiers, submitted up to the day after ``span``. Later steps have not happened yet.
        span: from the first to the last day of all periods.
        shares: the shares of the dossiers' faults; faults that would change a submission are omitted.
        registry: the registry of the agencies.
        receiving: the prefixes of the dossier codes of its receiving units; empty: they are drawn.
    """
    count = len(submissions.at)
    online = submissions.channel == Channel.ONLINE
    end = rng.choice(np.array(list(_ENDS), dtype=np.int8), size=count, p=list(_ENDS.values()))
    end[(end == Status.REFUSED) & ~online] = Status.STOPPED  # refused before it was received: only online
    ended = submissions.at + durations(rng, count)
    outline = Outline(
        submitted=submissions.at,
        ended=ended,
        channel=submissions.channel,
        level=stock.levels[submissions.service],
        returned=_returns(rng, online, end),
        received=end != Status.REFUSED,
        middle=_middles(rng, end),
        end=end,
        returned_at=ended + return_gaps(rng, count),
        full=np.zeros(count, dtype=bool),
    )
    succession = Succession.of(registry, stock.agency, span)
    _, last = bounds(span)
    plan = planned(
        rng,
        outline,
        kept(shares),
        horizon=last + DAY_MS - 1_000,
        merged=succession.merged,
        procedure=submissions.service.astype(np.int16),
    )
    assert len(plan) == count, "a dossier was submitted after the day that follows the periods"
    units = (receiving, submissions.receiving.copy()) if receiving else None
    return portal_of(rng, succession, stock.procedures, plan, registry=registry, period=span, receiving=units)


def _returns(rng: np.random.Generator, online: np.ndarray, end: np.ndarray) -> np.ndarray:
    drawn = rng.choice((RETURN_ONLINE, RETURN_POST, RETURN_COUNTER), size=len(online), p=(0.5, 0.2, 0.3))
    found: np.ndarray = np.where(online, drawn, RETURN_COUNTER)
    return np.where(end == Status.SETTLED, found, 0).astype(np.int8)


def _middles(rng: np.random.Generator, end: np.ndarray) -> np.ndarray:
    found = MIDDLES[rng.choice(len(MIDDLES), size=len(end), p=MIDDLE_SHARES)]
    found[end == Status.REFUSED] = 0
    unfinished = ~np.isin(end, (Status.SETTLED, Status.REFUSED))
    found[unfinished, 1:] = 0
    return found
