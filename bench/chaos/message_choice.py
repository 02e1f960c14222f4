"""Chooses the messages of a chaos run and knows what must be counted of them.

Most belong to realistic dossiers (``bench.chaos.feed``). The others are dossiers of one event that happens now, so that the
present minute is counted too. Some messages repeat one of the latest.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.chaos.feed import Feed
from bench.chaos.identity import identity
from domain.agencies import AgencyRegistry
from domain.events import Status
from domain.periods import VIETNAM
from producers.messages import Message
from producers.portals.tier_truth import Tables, TierCounts

#: Share of the new messages that belong to realistic dossiers, when there is a feed of them.
_OF_FEED: Final = 0.8
#: Number of different procedures of the other events, and their statuses in turn.
_PROCEDURES: Final = 20
_STATUSES = (1, 2, 4, 9, 10)
#: Shares of these events that happened within the last half hour, and within the last two months. The others happen now.
_RECENT, _OLD = 0.08, 0.01
_RECENT_SECONDS, _OLD_SECONDS = 1_800, 60 * 86_400
#: Share of the messages that repeat one of the latest messages, and how many of these are kept.
_REPEATS: Final = 0.1
_KEPT: Final = 20_000


@dataclass(frozen=True, slots=True)
class ChosenMessage:
    """A message and its two numbers (``bench.chaos.identity``): ``identity`` of its row, ``event`` of what counts as an event."""

    key: bytes
    value: bytes
    identity: int
    event: int


class MessageChoice:
    """Use it from one thread at a time.

    Args:
        seed: the same seed gives the same agencies, procedures and repeats, in the same order.
        feed: of realistic dossiers; None: only dossiers of one event.
    """

    def __init__(self, *, seed: int, feed: Feed | None = None) -> None:
        self._source = random.Random(seed)
        self._salt = self._source.getrandbits(32)
        today = dt.datetime.now(VIETNAM).date()
        self._registry = AgencyRegistry.packaged()
        earlier = {agency.code for agency in self._registry.in_force(today - dt.timedelta(seconds=_OLD_SECONDS, days=1))}
        codes = [agency.code for agency in self._registry.in_force(today) if agency.code in earlier]
        self._source.shuffle(codes)
        self._agencies = tuple(codes)
        self._shares = list(np.cumsum([1 / rank for rank in range(1, len(codes) + 1)]))  # few agencies send most
        self._feed = feed
        # Of the dossiers of one event, by their number.
        self._agency, self._at, self._procedure, self._status = array("H"), array("q"), array("H"), array("B")
        self._latest: deque[ChosenMessage] = deque(maxlen=_KEPT)

    def next(self) -> ChosenMessage:
        """A new message, or a repeat of one of the latest."""
        source = self._source
        if self._latest and source.random() < _REPEATS:
            return source.choice(self._latest)
        if self._feed is not None and source.random() < _OF_FEED:
            return self._of_feed(self._feed.take())
        index = bisect_right(self._shares, source.random() * self._shares[-1])
        agency = self._agencies[min(index, len(self._agencies) - 1)]
        draw, age = source.random(), 0.0
        if draw < _OLD:
            age = source.random() * _OLD_SECONDS
        elif draw < _OLD + _RECENT:
            age = source.random() * _RECENT_SECONDS
        return self._of_one_event(agency, dt.datetime.fromtimestamp(round(time.time() - age, 3), VIETNAM))

    def at(self, moment: dt.datetime) -> ChosenMessage:
        """A new dossier with one event at this time (of Viet Nam), of an agency in force then."""
        in_force = {agency.code for agency in self._registry.in_force(moment.date())}
        agency = self._source.choice([code for code in self._agencies if code in in_force])
        return self._of_one_event(agency, moment)

    def complete_steps(self) -> Iterator[ChosenMessage]:
        """The missing earlier steps of the dossiers under way: ``tables`` is right when they are sent as well."""
        if self._feed is not None:
            for message in self._feed.complete_steps():
                yield self._of_feed(message)

    def tables(self) -> Tables:
        """What the tallies must be when every chosen message is counted; call ``complete_steps`` before."""
        counts = TierCounts()
        if self._feed is not None:
            self._feed.add_to(counts)
        agency, at, procedure, status = (
            np.array(column, np.int64) for column in (self._agency, self._at, self._procedure, self._status)
        )
        settled = np.isin(status, (Status.SETTLED, Status.RETURNED))
        every = np.ones(len(status), dtype=bool)
        for name, chosen in (
            *((name, every) for name in ("events", "submitted", "submitted_online")),
            *((name, settled) for name in ("settled", "settled_full", "settled_full_any_return")),
        ):
            counts.add(
                name,
                agencies=self._agencies,
                agency=agency[chosen],
                at=at[chosen],
                procedures=[_procedure_code(number) for number in range(_PROCEDURES)],
                procedure=procedure[chosen],
            )
        return counts.tables()

    def _of_one_event(self, agency: str, at: dt.datetime) -> ChosenMessage:
        number, source = len(self._agency), self._source
        procedure, status = source.randrange(_PROCEDURES), _STATUSES[number % len(_STATUSES)]
        # Realistic dossiers do not have units of these levels.
        dossier = f"{agency}.{number % 90 + 10}.999.999-{at:%y%m%d}-{number:07d}"
        value = (
            f'{{"event_id":"{self._salt:08x}-0000-4000-8000-{number:012x}","dossier_code":"{dossier}","agency_code":"{agency}",'
            f'"procedure_code":"{_procedure_code(procedure)}","status":{status},"channel":2,'
            f'"service_level":"toan_trinh","occurred_at":"{at.isoformat(timespec="milliseconds")}"}}'
        ).encode()
        self._agency.append(self._agencies.index(agency))
        self._at.append(int(at.timestamp()) * 1000)
        self._procedure.append(procedure)
        self._status.append(status)
        return self._new(dossier.encode(), value)

    def _of_feed(self, message: Message) -> ChosenMessage:
        assert message.key is not None
        assert message.value is not None
        return self._new(message.key, message.value)

    def _new(self, key: bytes, value: bytes) -> ChosenMessage:
        chosen = ChosenMessage(key, value, *identity(value))
        self._latest.append(chosen)
        return chosen


def _procedure_code(number: int) -> str:
    return f"1.{number:06d}"
