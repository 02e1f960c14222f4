"""Realistic dossiers without end, and what must be counted of those sent so far.

Most of them happen now: two months of life within the last minute, in the same order, so that the present minutes are corrected
while they are counted. A few are those of February 2025, whose successors send the month again. Both come in the order of their
arrival, in blocks, and many dossiers are half sent when a fault comes; the events of some come in any order.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np

from domain.clock import Clock, SystemClock
from domain.errors import ConfigurationError
from domain.periods import VIETNAM, Period
from producers.messages import Message
from producers.portals.catalogue import rng_of
from producers.portals.dossier_faults import FaultShares
from producers.portals.months import MONTHS, period_scenario
from producers.portals.simulate import ScenarioStream
from producers.portals.tier_truth import TierCounts, add_scenario, with_earlier_steps

#: Dossiers settled in the period of a block: about 40,000 messages, which are planned within half a second.
BLOCK: Final = 6_000
#: Share of the messages that belong to February 2025.
_OF_FEBRUARY: Final = 0.05
#: Running numbers of dossiers that a block may use.
_NUMBERS: Final = 10_000
#: Share of the dossiers whose events come in any order.
_ANY_ORDER: Final = 0.2
_DAYS: Final = dt.timedelta(days=28)
#: Messages that are made at once.
_CHUNK: Final = 256


class _Block:
    """Some dossiers: their messages in the order of sending, and which of them are sent."""

    def __init__(self, stream: ScenarioStream, rng: np.random.Generator) -> None:
        if max(int(portal.sequence.max(initial=0)) for portal in stream.portals) >= _NUMBERS:
            raise ConfigurationError("A block of dossiers is too large: two blocks would share dossiers.")
        self.stream = stream
        self.sent = np.zeros(stream.total, dtype=bool)
        self._order = _some_in_any_order(stream, rng)
        self._made: deque[tuple[int, Message]] = deque()
        self._next = 0

    def take(self) -> Message | None:
        """The next message; None when all are sent."""
        while True:
            if not self._made:
                rows = self._order[self._next : self._next + _CHUNK]
                if not len(rows):
                    return None
                self._next += len(rows)
                self._made.extend(zip(rows.tolist(), self.stream.messages_of(rows), strict=True))
            row, message = self._made.popleft()
            if not self.sent[row]:
                self.sent[row] = True
                return message

    def complete_steps(self) -> Iterator[Message]:
        """Send what is missing of the steps up to the last one sent of each dossier: then the truth about the part is known."""
        missing = np.flatnonzero(with_earlier_steps(self.stream, self.sent) & ~self.sent)
        self.sent[missing] = True
        yield from self.stream.messages_of(missing)


class Feed:
    """Use it from one thread at a time.

    Args:
        seed: the same seed gives the same messages in the same order, but for the present.
        shares: of the dossiers' faults.
        settled: size of a block, in settled dossiers.
        clock: the present.
    """

    def __init__(self, *, seed: int, shares: FaultShares | None = None, settled: int = BLOCK, clock: Clock | None = None) -> None:
        self._seed, self._settled, self._clock = seed, settled, clock or SystemClock()
        self._shares = shares or FaultShares.realistic()
        self._draws = random.Random(seed)
        self._blocks: list[_Block] = []
        self._open: dict[bool, _Block] = {}  # by whether the dossiers happen now

    def take(self) -> Message:
        """The next message."""
        present = self._draws.random() >= _OF_FEBRUARY
        while True:
            block = self._open.get(present)
            message = None if block is None else block.take()
            if message is not None:
                return message
            self._open[present] = self._new_block(present=present)
            self._blocks.append(self._open[present])

    def complete_steps(self) -> list[Message]:
        """What must be sent before ``add_to`` knows the truth."""
        return [message for block in self._blocks for message in block.complete_steps()]

    def add_to(self, counts: TierCounts) -> None:
        """Count what was taken; ``complete_steps`` must have been called since."""
        for block in self._blocks:
            add_scenario(counts, block.stream, block.sent)

    def _new_block(self, *, present: bool) -> _Block:
        number, now = len(self._blocks), self._clock.now()
        latest = now.astimezone(VIETNAM).date() - dt.timedelta(days=2)
        period = Period(latest - _DAYS, latest) if present else MONTHS["feb-2025"]
        seed = self._seed * 1_000 + number
        scenario = period_scenario(f"chaos {number}", period, settled=self._settled, seed=seed)
        stream = ScenarioStream(scenario, seed=seed, shares=self._shares, numbers_from=number * _NUMBERS)
        if present:
            stream = stream.redated(int(now.timestamp() * 1000) - stream.total)  # a millisecond each: nothing lies ahead
        return _Block(stream, rng_of(seed, "any order", scenario.name))


def _some_in_any_order(stream: ScenarioStream, rng: np.random.Generator) -> np.ndarray:
    """The messages by their numbers; those of some dossiers exchange their places among themselves."""
    dossiers = stream.dossiers()
    order = np.arange(stream.total)
    places = np.flatnonzero((rng.random(int(stream.offsets[-1])) < _ANY_ORDER)[dossiers])
    by_dossier = places[np.argsort(dossiers[places], kind="stable")]
    shuffled = places[np.lexsort((rng.random(len(places)), dossiers[places]))]
    order[by_dossier] = shuffled
    return order
