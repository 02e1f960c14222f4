"""Live events made in advance; each time one is sent it gets a new id and time. This is ten times as fast as making events.

A sent event differs from its model in id and time only, so agencies, procedures, steps and rates are those of live traffic.
Dossiers repeat when the pool is used up; every event has an id of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from domain.agencies import AgencyRegistry
from domain.clock import Clock
from producers.messages import Kind, Message
from producers.portals.daily_traffic import steady
from producers.portals.event_ids import uuid8_prefix
from producers.portals.live import LiveTraffic

#: Events made in advance: about ten thousand dossiers, made in a second.
SIZE: Final = 50_000
_HEAD: Final = b'{"event_id":"'
_ID: Final = 36
_TIME: Final = b'"occurred_at":"'
_TIME_LENGTH: Final = len("2026-03-02T09:30:00.000+07:00")


class Model(NamedTuple):
    """An event without its id and its time: the bytes between them and after them."""

    key: bytes
    between: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Pool:
    """Models, and the first 24 characters of every id of this run: 72 random bits, version and variant."""

    models: tuple[Model, ...]
    prefix: bytes

    @classmethod
    def made(cls, messages: Iterable[Message], *, nonce: bytes | None = None) -> Pool:
        """A pool of the messages, which must be of ``producers.portals.live``.

        Args:
            messages: what to take as models.
            nonce: 9 bytes that no other run has; None: random bytes.
        """
        return cls(tuple(_model(message) for message in messages), uuid8_prefix(nonce or secrets.token_bytes(9)))

    @classmethod
    def with_new_ids(cls, pool: Pool, *, nonce: bytes | None = None) -> Pool:
        """The same models for another run, with ids of its own."""
        return cls(pool.models, uuid8_prefix(nonce or secrets.token_bytes(9)))

    def new_events(self, rows: Iterable[int], *, at: bytes, number: int) -> Iterator[Message]:
        """The models of some rows as new events, dated ``at``; ids count up from ``number`` (48 bits)."""
        prefix, models = _HEAD + self.prefix, self.models
        for count, row in enumerate(rows, number):
            key, between, after = models[row]
            yield Message(key, b"%b%012x%b%b%b" % (prefix, count, between, at, after), 0, Kind.EVENT)


def live_pool(*, clock: Clock, seed: int, size: int = SIZE) -> Pool:
    """A pool of live traffic of the agencies in force on the clock's day."""
    traffic = LiveTraffic(registry=AgencyRegistry.packaged(), clock=clock, seed=seed, rate=None, shape=steady)
    return Pool.made(islice(traffic, size))


def _model(message: Message) -> Model:
    assert message.key is not None
    assert message.value is not None
    time = message.value.index(_TIME) + len(_TIME)
    return Model(message.key, message.value[len(_HEAD) + _ID : time], message.value[time + _TIME_LENGTH :])
