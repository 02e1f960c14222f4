"""Endless traffic of the agencies that are in force today, dated with the clock's present.

Every agency keeps a few dossiers open. Each message moves one of them to its next step or registers a new one, so a dossier is
settled soon after it was submitted and every rate is visible from the first minute. Each agency keeps close to a rate of its
own; one agency can be made to collapse.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.agencies import BLOCKS, Agency, AgencyRegistry
from domain.clock import Clock
from domain.errors import ConfigurationError
from domain.events import Channel, ReturnedBy, ServiceLevel, Status
from domain.periods import VIETNAM, civil_day
from producers.messages import Kind, Message
from producers.portals import event_encoding as encoding
from producers.portals.catalogue import Catalogue, catalogue_of, rng_of
from producers.portals.collapse import Collapse
from producers.portals.daily_traffic import Shape
from producers.portals.event_ids import EventIds

#: Share of all dossiers that ministries send, within the 60 to 68 % seen since 2024.
MINISTRY_SHARE: Final = 0.64
#: Skew within a block: few agencies send most.
_ZIPF: Final = 1.0
#: Rates of the agencies by block, all far from any alert threshold (full online service, of settled).
_RATES: Final = {BLOCKS[0]: (0.45, 0.80), BLOCKS[1]: (0.15, 0.60)}
#: Smallest share of all messages that a collapsed agency sends: most agencies send less than 1 %, and the collapse would take
#: hours to show.
_COLLAPSED_TRAFFIC: Final = 0.4
#: Mean number of messages of a dossier, and the share of dossiers that are settled (see ``_steps``).
_MESSAGES_PER_DOSSIER: Final = 5.1
#: An agency registers a new dossier while fewer than this are open, else it moves the oldest on.
_OPEN_DOSSIERS: Final = 6
#: Of the dossiers, how many end as refused, withdrawn or stopped.
_OTHER_END: Final = 0.04
#: Procedures are drawn in packs, because drawing one at a time is slow.
_PACK: Final = 256
#: How long the intensity of the day is taken as constant (seconds).
_SHAPE_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Dossier:
    code: str
    origin: str
    attributes: str
    endings: tuple[str, str]  # before and after the result is returned
    steps: deque[int]  # statuses to come
    done: int = 0


class _Portal:
    """The open dossiers of one agency, and its rate."""

    def __init__(self, agency: Agency, *, seed: int) -> None:
        rng = rng_of(seed, "live", agency.code)
        self.code = agency.code
        self.rate = float(rng.uniform(*_RATES[agency.block]))
        self._catalogue: Catalogue = catalogue_of(agency.code, seed=seed)
        self._draws = rng
        self._packs: dict[ServiceLevel, list[int]] = {level: [] for level in ServiceLevel}
        self._carry = float(rng.random())
        self.open: deque[_Dossier] = deque()
        self.prefix = f"{agency.code}.{int(rng.integers(1, 400))}"
        self.portal_id = f"dvc.{agency.code.lower()}"

    def full(self, rate: float) -> bool:
        """Whether the next dossier is full online service.

        Such dossiers are evenly spread, so that few dossiers show the rate.
        """
        self._carry += rate
        if self._carry < 1.0:
            return False
        self._carry -= 1.0
        return True

    def procedure(self, level: ServiceLevel) -> str:
        """Draw a procedure of the level; popular procedures come more often."""
        pack = self._packs[level]
        if not pack:
            pack.extend(self._catalogue.draw(self._draws, level, _PACK).tolist())
        return self._catalogue.codes[pack.pop()]


class LiveTraffic:
    """Messages without end, each made and dated at the moment it is asked for; iterate once.

    Args:
        registry: the agencies; those that are expected to report on the clock's day send events.
        clock: the present with which events are dated.
        seed: agencies, rates and draws depend on it; event ids also depend on the start, so two runs never share one.
        rate: messages a second at the busiest hour; None: as fast as possible.
        shape: intensity over the day.
        collapse: which agency collapses and when.
        monotonic: seconds of a clock that never goes back, for the start of the collapse.

    Raises:
        ConfigurationError: the agency to collapse is not in force today, or not expected to report.
    """

    def __init__(
        self,
        *,
        registry: AgencyRegistry,
        clock: Clock,
        seed: int,
        rate: float | None,
        shape: Shape,
        collapse: Collapse | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._seed = seed
        self._rate = rate
        self._shape = shape
        self._collapse = collapse
        self._monotonic = monotonic
        self._random = random.Random(seed)
        start = clock.now()
        self._ids = EventIds(seed, f"live {start.isoformat()}")
        # Sequences start at the time of day in steps of 10 ms, so that two runs on one day do not share dossier codes.
        local = start.astimezone(VIETNAM)
        self._sequence = int((local - local.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() * 100)
        self._portals: dict[str, _Portal] = {}
        self._day: dt.date | None = None
        self._codes: list[str] = []
        self._weights: list[float] = []
        self._own_share = 0.0  # of the agency that collapses
        self._extra = 0.0  # share of messages that a collapsed agency sends in addition
        self._intensity = (0.0, 1.0)  # (until, level)
        self._set_day(civil_day(start))
        if collapse is not None and collapse.agency not in self._codes:
            raise ConfigurationError(
                f"--collapse names {collapse.agency}, which is not an agency that is expected to report on {civil_day(start)}.",
                remedy=f"Choose one of: {' '.join(sorted(self._codes))}.",
            )

    @property
    def collapse(self) -> Collapse | None:
        """Which agency collapses and when."""
        return self._collapse

    def rate_now(self) -> float | None:
        """Messages a second at this hour of the day; None: as many as possible."""
        return None if self._rate is None else self._rate * self._level()

    def seconds_until_low(self, *, ratio: float, min_volume: int) -> float | None:
        """Seconds from the start until the collapsed agency is expected below ``ratio`` with at least ``min_volume`` dossiers.

        Assumes a system without earlier events, and the present intensity. None: never, or no agency collapses.
        """
        collapse, rate = self._collapse, self.rate_now()
        if collapse is None or collapse.share >= ratio:
            return None
        if rate is None:
            return collapse.after
        settled = rate * (1.0 - _OTHER_END) / _MESSAGES_PER_DOSSIER  # of all agencies, a second
        # What is open when the collapse begins is settled at the old rate.
        before = settled * self._own_share * collapse.after + _OPEN_DOSSIERS * (collapse.after > 0)
        excess = max(0.0, self._portals[collapse.agency].rate - ratio)
        needed = max(min_volume - before, before * excess / (ratio - collapse.share), 0.0)
        return collapse.after + needed / (settled * max(_COLLAPSED_TRAFFIC, self._own_share))

    def __iter__(self) -> Iterator[Message]:
        started = self._monotonic()
        while True:
            elapsed = self._monotonic() - started
            now = self._clock.now()
            day = civil_day(now)
            if day != self._day:
                self._set_day(day)
                self._sequence = 0
            yield self._next(now, elapsed)

    def _level(self) -> float:
        """The intensity of the traffic now; computed once a second at most."""
        until, level = self._intensity
        now = self._monotonic()
        if now >= until:
            level = self._shape(self._clock.now())
            self._intensity = (now + _SHAPE_SECONDS, level)
        return level

    def _set_day(self, day: dt.date) -> None:
        """Set the agencies of ``day`` and their shares; agencies that stay keep their open dossiers."""
        agencies = self._registry.expected(day)
        self._day = day
        self._codes = [agency.code for agency in agencies]
        self._portals = {agency.code: self._portals.get(agency.code) or _Portal(agency, seed=self._seed) for agency in agencies}
        weights: dict[str, float] = {}
        for block, total in zip(BLOCKS, (MINISTRY_SHARE, 1 - MINISTRY_SHARE), strict=True):
            members = [agency.code for agency in agencies if agency.block == block]
            ranks = rng_of(self._seed, "live ranks", block).permutation(len(members)) + 1
            shares = 1.0 / ranks.astype(np.float64) ** _ZIPF
            weights.update(zip(members, (shares / shares.sum() * total).tolist(), strict=True))
        cumulated = 0.0
        self._weights = [cumulated := cumulated + weights[code] for code in self._codes]
        if self._collapse is not None:
            self._own_share = weights.get(self._collapse.agency, 0.0)
            self._extra = max(0.0, (_COLLAPSED_TRAFFIC - self._own_share) / (1.0 - self._own_share))

    def _next(self, now: dt.datetime, elapsed: float) -> Message:
        code = self._sender(elapsed)
        portal = self._portals[code]
        few = len(portal.open) < _OPEN_DOSSIERS
        dossier = self._register(portal, now, elapsed) if few else portal.open.popleft()
        status = dossier.steps.popleft()
        dossier.done += 1
        if dossier.steps:
            portal.open.append(dossier)
        local = now.astimezone(VIETNAM)
        value = encoding.event(
            event_id=self._ids.of(dossier.code, dossier.done),
            dossier_code=dossier.code,
            origin=dossier.origin,
            status=status,
            attributes=dossier.attributes,
            at=f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}",
            extras=dossier.endings[status >= Status.SETTLED],
        )
        return Message(dossier.code.encode(), value, int(now.timestamp() * 1000), Kind.EVENT)

    def _sender(self, elapsed: float) -> str:
        collapse = self._collapse
        if collapse is not None and elapsed >= collapse.after and self._random.random() < self._extra:
            return collapse.agency
        return self._random.choices(self._codes, cum_weights=self._weights)[0]

    def _register(self, portal: _Portal, now: dt.datetime, elapsed: float) -> _Dossier:
        other_end = self._random.random() < _OTHER_END
        channel, level, returned_by = self._attributes(portal, elapsed, other_end=other_end)
        self._sequence += 1
        return _Dossier(
            code=f"{portal.prefix}-{now.astimezone(VIETNAM):%Y%m%d}-{self._sequence % 10_000_000:07d}",
            origin=encoding.origin(portal.code, portal.procedure(level)),
            attributes=encoding.attributes(channel, level),
            endings=(
                encoding.extras(legacy_level=0, returned_by="", portal_id=portal.portal_id),
                encoding.extras(legacy_level=0, returned_by=returned_by, portal_id=portal.portal_id),
            ),
            steps=self._steps(channel, other_end=other_end),
        )

    def _attributes(self, portal: _Portal, elapsed: float, *, other_end: bool) -> tuple[Channel, ServiceLevel, ReturnedBy]:
        rate = portal.rate
        collapse = self._collapse
        collapsed = collapse is not None and collapse.agency == portal.code and elapsed >= collapse.after
        if collapse is not None and collapsed:
            rate = collapse.share
        if not other_end and portal.full(rate):  # only dossiers that will be settled count for the rate
            return Channel.ONLINE, ServiceLevel.FULL, self._random.choice((ReturnedBy.ONLINE, ReturnedBy.POST))
        # While a portal is broken people go to the counter; otherwise some use partial services online.
        if not collapsed and self._random.random() < 0.4:
            return Channel.ONLINE, ServiceLevel.PARTIAL, ReturnedBy.COUNTER
        channel = Channel.IN_PERSON if self._random.random() < 0.85 else Channel.POST
        level = self._random.choice((ServiceLevel.FULL, ServiceLevel.PARTIAL, ServiceLevel.PARTIAL, ServiceLevel.INFORMATION))
        return channel, level, ReturnedBy.COUNTER if channel is Channel.IN_PERSON else ReturnedBy.POST

    def _steps(self, channel: Channel, *, other_end: bool) -> deque[int]:
        first = [Status.REGISTERED] if channel is Channel.ONLINE else []
        if other_end:
            if first and self._random.random() < 0.5:
                return deque((Status.REGISTERED, Status.REFUSED))
            end = self._random.choice((Status.WITHDRAWN, Status.STOPPED))
            return deque((*first, Status.RECEIVED, Status.PROCESSING, end))
        middle = self._random.choices(
            (
                (Status.PROCESSING,),
                (Status.PROCESSING, Status.PROCESSING),
                (Status.PROCESSING, Status.SUPPLEMENT_REQUESTED, Status.PROCESSING),
                (Status.PROCESSING, Status.PAYMENT_REQUESTED, Status.PROCESSING),
            ),
            weights=(58, 26, 9, 7),
        )[0]
        return deque((*first, Status.RECEIVED, *middle, Status.SETTLED, Status.RETURNED))
