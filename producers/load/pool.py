"""A pool of dossiers made in advance.

Each round sends them as new dossiers, with new codes, ids and times, because this is faster.

A sent event differs from its model in dossier code, id and time only, so agencies, procedures, steps, faults and rates are those
of the simulated portals. Within a dossier times ascend by a millisecond at least, whatever the rate.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from domain.agencies import AgencyRegistry
from domain.clock import Clock
from domain.periods import civil_day
from producers.messages import Kind, Message
from producers.portals.dossier_faults import FaultShares
from producers.portals.event_ids import uuid8_prefix
from producers.portals.months import day_stream
from producers.portals.simulate import ScenarioStream
from producers.portals.truth import Place, Truth, counts_of
from producers.replay.transforms.rewriting import local_text

#: Events made in advance: about three thousand dossiers, made in a second.
SIZE: Final = 20_000
_HEAD: Final = b'{"event_id":"'
_ID: Final = 36
_CODE: Final = b'","dossier_code":"'
_TIME: Final = b'"occurred_at":"'
_TIME_LENGTH: Final = len("2026-03-02T09:30:00.000+07:00")
_NONCE_BYTES: Final = 9
#: Running numbers of dossiers: three digits before the date, seven behind it.
_NUMBERS: Final = 10**10
_LOW: Final = 10**7


class Model(NamedTuple):
    """An event in parts, without the parts that a round changes: its id, the number of its dossier, and its time."""

    dossier: int  # among those of the pool
    order: int  # of the event within its dossier
    event: int  # a wrong time and its correction are one event
    code: bytes  # the dossier code up to the number before the date
    date: bytes
    between: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Pool:
    """Models in the order of sending, and the ids and dossier numbers that are unique to a run.

    Attributes:
        models: the models of the events of whole dossiers.
        dossiers: how many dossiers the models have.
        prefix: the first 24 characters of every event id of this run.
        first: number of the first dossier of this run.
        day: the day for which the models are made.
        counts: (unit, day) -> what one round must count as.
        merged: whether an agency ends on that day; then the counts may be those of its successor.
        seed: the seed with which the models are made.
    """

    models: tuple[Model, ...]
    dossiers: int
    prefix: bytes
    first: int
    day: dt.date
    counts: dict[Place, dict[str, int]]
    merged: bool
    seed: int

    def with_new_ids(self, *, nonce: bytes | None = None) -> Pool:
        """The same models for another run, which has its own event ids and dossiers.

        Args:
            nonce: 9 bytes that no other run has; None: random bytes.
        """
        nonce = nonce or secrets.token_bytes(_NONCE_BYTES)
        return replace(self, prefix=uuid8_prefix(nonce), first=int.from_bytes(nonce) % _NUMBERS)

    def new_events(self, chosen: Iterable[tuple[int, int]], *, at: int, number: int) -> Iterator[Message]:
        """New events made from some of the models.

        Args:
            chosen: for each event the number of its model and of its round.
            at: epoch milliseconds; the events of a dossier are dated up to a few milliseconds later.
            number: added to the ids of the events, so that two processes share none (48 bits).
        """
        head, size = _HEAD + self.prefix, len(self.models)
        times: dict[int, bytes] = {}
        for row, turn in chosen:
            model = self.models[row]
            time = times.get(model.order)
            if time is None:
                time = times[model.order] = local_text(at + model.order).encode("ascii")
            high, low = divmod((self.first + turn * self.dossiers + model.dossier) % _NUMBERS, _LOW)
            key = b"%b.%d%b%07d" % (model.code, high, model.date, low)
            value = b"%b%012x%b%b%b%b%b" % (
                head,
                number + turn * size + model.event,
                _CODE,
                key,
                model.between,
                time,
                model.after,
            )
            yield Message(key, value, 0, Kind.EVENT)

    def truth(self, rounds: int, *, source: str) -> Truth:
        """What a number of whole rounds must count as."""
        by_place = {place: {name: number * rounds for name, number in counts.items()} for place, counts in self.counts.items()}
        return Truth(source, self.seed, self.dossiers * rounds, len(self.models) * rounds, by_place if rounds else {})


def live_pool(
    *, clock: Clock, seed: int, size: int = SIZE, shares: FaultShares | None = None, registry: AgencyRegistry | None = None
) -> Pool:
    """A pool of about ``size`` events of the agencies that are expected to report on the clock's day.

    ``registry``: the registry of the agencies; None: the packaged one.
    """
    day = civil_day(clock.now())
    stream = day_stream(day, events=size, seed=seed, shares=shares or FaultShares.regular(), registry=registry)
    pool = Pool(
        models=tuple(_models(stream)),
        dossiers=int(stream.offsets[-1]),
        prefix=b"",
        first=0,
        day=day,
        counts=_counts(stream, day),
        merged=any(portal.succession.merged for portal in stream.portals),
        seed=seed,
    )
    return pool.with_new_ids()


def _models(stream: ScenarioStream) -> Iterator[Model]:
    orders: Counter[int] = Counter()
    events: dict[bytes, int] = {}
    for message, dossier in zip(stream, stream.dossiers().tolist(), strict=True):
        assert message.key is not None
        assert message.value is not None
        code, date, _ = message.key.rsplit(b"-", 2)
        start = len(_HEAD) + _ID + len(_CODE) + len(message.key)
        time = message.value.index(_TIME) + len(_TIME)
        yield Model(
            dossier=dossier,
            order=orders[dossier],
            event=events.setdefault(message.value[len(_HEAD) : len(_HEAD) + _ID], len(events)),
            code=code,
            date=b"-" + date + b"-",
            between=message.value[start:time],
            after=message.value[time + _TIME_LENGTH :],
        )
        orders[dossier] += 1


def _counts(stream: ScenarioStream, day: dt.date) -> dict[Place, dict[str, int]]:
    """What one round counts as when all of it happens on one day."""
    sums: dict[Place, dict[str, int]] = {}

    def add(unit: str, name: str, number: int) -> None:
        counts = sums.setdefault((unit, day), {})
        counts[name] = counts.get(name, 0) + number

    for (unit, _), number in stream.events_by_day().items():
        add(unit, "events", number)
    for ledger in stream.ledgers:
        for (unit, _), name, number in counts_of(ledger):
            add(unit, name, number)
    return sums


def rows_and_rounds(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The numbers of the rows, again and again, each with the number of the round."""
    turn = 0
    while rows:
        for row in rows:
            yield row, turn
        turn += 1
