"""Endless traffic of the agencies in force today, at the clock's now.

Every agency keeps a few dossiers open and each message moves one of them on or registers a new one, so a dossier is settled
soon after it was submitted and every rate can be watched from the first minute. Agencies keep close to a rate of their own;
one of them can be made to collapse.
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
from producers.portals import event_encoding as wire
from producers.portals.catalogue import Catalogue, catalogue_of, rng_of
from producers.portals.load_shapes import Shape
from producers.sending.pacing import Pacer, Unpaced

#: Share of all dossiers that ministries send, within the 60 to 68 % seen since 2024.
MINISTRY_SHARE: Final = 0.64
#: Skew within a block: few agencies send most.
_ZIPF: Final = 1.0
#: Rates of the agencies by block, all far from any alert threshold (full online service, of settled).
_RATES: Final = {BLOCKS[0]: (0.45, 0.80), BLOCKS[1]: (0.15, 0.60)}
#: Rate of a collapsed agency when none is asked for.
COLLAPSED_SHARE: Final = 0.01
#: Share of all messages that a collapsed agency sends, if it does not send more anyway: most send less than 1 %, and nobody waits
#: hours for the dossiers that show a collapse.
_COLLAPSED_TRAFFIC: Final = 0.4
#: Mean number of messages of a dossier, and the share of dossiers that are settled (see ``_steps``).
_MESSAGES_PER_DOSSIER: Final = 5.1
#: An agency registers a new dossier while fewer than this are open, else it moves the oldest on.
_OPEN_DOSSIERS: Final = 6
#: Of the dossiers, how many end as refused, withdrawn or stopped.
_OTHER_END: Final = 0.04
#: Procedures are drawn ahead in packs, for drawing one at a time is slow.
_PACK: Final = 256
#: How long the shape of the day is taken as constant (seconds of the clock).
_SHAPE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Collapse:
    """From ``after`` seconds on, only ``share`` of the agency's settled dossiers are full online service."""

    agency: str
    share: float = COLLAPSED_SHARE
    after: float = 0.0


def parse_collapse(text: str, *, after: float = 0.0) -> Collapse:
    """``CODE`` or ``CODE:SHARE``, e.g. ``H26`` or ``H26:0.02``.

    Raises:
        ConfigurationError: the text is neither.
    """
    agency, _, share = text.partition(":")
    try:
        collapse = Collapse(agency.strip().upper(), float(share) if share else COLLAPSED_SHARE, after)
    except ValueError:
        collapse = Collapse("", -1.0)
    if not collapse.agency or not 0.0 <= collapse.share <= 1.0:
        raise ConfigurationError(
            f"--collapse {text!r} is neither CODE nor CODE:SHARE with a share from 0 to 1.",
            remedy="Write for example --collapse H26 or --collapse H26:0.02.",
        )
    return collapse


@dataclass(slots=True)
class _Dossier:
    code: str
    origin: str
    attributes: str
    endings: tuple[str, str]  # before and after the result is returned
    steps: deque[int]  # statuses to come
    done: int = 0


class _Portal:
    """The open dossiers of one agency and the rate it keeps to."""

    def __init__(self, agency: Agency, *, seed: int) -> None:
        rng = rng_of(seed, "live", agency.code)
        self.code = agency.code
        self.rate = float(rng.uniform(*_RATES[agency.block]))
        self._catalogue: Catalogue = catalogue_of(agency.code, seed=seed)
        self._draws = rng
        self._packs: dict[ServiceLevel, list[int]] = {level: [] for level in ServiceLevel}
        self._owed = float(rng.random())
        self.open: deque[_Dossier] = deque()
        self.prefix = f"{agency.code}.{int(rng.integers(1, 400))}"
        self.portal_id = f"dvc.{agency.code.lower()}"

    def full(self, rate: float) -> bool:
        """Whether the next dossier is full online service: evenly spread, so that few dossiers already show the rate."""
        self._owed += rate
        if self._owed < 1.0:
            return False
        self._owed -= 1.0
        return True

    def procedure(self, level: ServiceLevel) -> str:
        """A procedure of the level, popular ones more often."""
        pack = self._packs[level]
        if not pack:
            pack.extend(self._catalogue.draw(self._draws, level, _PACK).tolist())
        return self._catalogue.codes[pack.pop()]


class LiveTraffic:
    """Messages without end; iterate once.

    Args:
        registry: who may report; only agencies in force on the clock's day do.
        clock: the present that events are dated with.
        seed: agencies, rates and draws; event ids also depend on the start, so two runs never share one.
        rate: messages a second at the busiest hour; None: as fast as possible.
        shape: intensity over the day.
        collapse: which agency collapses and when.
        duration: seconds until the stream ends; None: never.
        monotonic: seconds of a clock that never goes back, for pace and duration.
        sleep: waits for so many seconds.

    Raises:
        ConfigurationError: the agency to collapse is not in force today.
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
        duration: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._seed = seed
        self._rate = rate
        self._shape = shape
        self._collapse = collapse
        self._duration = duration
        self._monotonic = monotonic
        self._random = random.Random(seed)
        start = clock.now()
        self._ids = wire.EventIds(seed, f"live {start.isoformat()}")
        # Sequences start where the day stands, in steps of 10 ms: two runs on one day do not share dossier codes.
        local = start.astimezone(VIETNAM)
        self._sequence = int((local - local.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() * 100)
        self._portals: dict[str, _Portal] = {}
        self._day: dt.date | None = None
        self._codes: list[str] = []
        self._weights: list[float] = []
        self._own_share = 0.0  # of the agency that collapses
        self._extra = 0.0  # share of messages that a collapsed agency sends beside its own
        self._intensity = (0.0, 1.0)  # (until, level)
        self._pace = (
            Unpaced(monotonic=monotonic)
            if rate is None
            else Pacer(lambda: rate * self._level(), monotonic=monotonic, sleep=sleep)
        )
        self._open_for_business(civil_day(start))
        if collapse is not None and collapse.agency not in self._codes:
            raise ConfigurationError(
                f"--collapse names {collapse.agency}, which is no agency in force on {civil_day(start)}.",
                remedy=f"Choose one of: {' '.join(sorted(self._codes))}.",
            )

    @property
    def collapse(self) -> Collapse | None:
        """Which agency collapses and when."""
        return self._collapse

    def rate_now(self) -> float | None:
        """Messages a second that the shape of the day allows now; None: as many as possible."""
        return None if self._rate is None else self._rate * self._shape(self._clock.now())

    def seconds_until_low(self, *, ratio: float, min_volume: int) -> float | None:
        """When the collapsed agency is expected to be below ``ratio`` on ``min_volume`` dossiers, in seconds after the start.

        Taken for a system without earlier events, and for the intensity of this moment. None: never, or nothing collapses.
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
        until = None if self._duration is None else started + self._duration
        while self._pace.wait(until=until):
            elapsed = self._monotonic() - started
            now = self._clock.now()
            day = civil_day(now)
            if day != self._day:
                self._open_for_business(day)
                self._sequence = 0
            yield self._next(now, elapsed)

    def _level(self) -> float:
        """Intensity now; asked of the shape once a second at most."""
        until, level = self._intensity
        now = self._monotonic()
        if now >= until:
            level = self._shape(self._clock.now())
            self._intensity = (now + _SHAPE_SECONDS, level)
        return level

    def _open_for_business(self, day: dt.date) -> None:
        """The agencies of ``day`` and their shares; agencies that stay keep their open dossiers."""
        agencies = self._registry.in_force(day)
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
        value = wire.event(
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
            origin=wire.origin(portal.code, portal.procedure(level)),
            attributes=wire.attributes(channel, level),
            endings=(
                wire.extras(legacy_level=0, returned_by="", portal_id=portal.portal_id),
                wire.extras(legacy_level=0, returned_by=returned_by, portal_id=portal.portal_id),
            ),
            steps=self._steps(channel, other_end=other_end),
        )

    def _attributes(self, portal: _Portal, elapsed: float, *, other_end: bool) -> tuple[Channel, ServiceLevel, ReturnedBy]:
        rate = portal.rate
        collapse = self._collapse
        collapsed = collapse is not None and collapse.agency == portal.code and elapsed >= collapse.after
        if collapse is not None and collapsed:
            rate = collapse.share
        if not other_end and portal.full(rate):  # only dossiers that will be settled weigh on the rate
            return Channel.ONLINE, ServiceLevel.FULL, self._random.choice((ReturnedBy.ONLINE, ReturnedBy.POST))
        # A portal that broke down sends people to the counter; otherwise partial services go on online.
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
