"""Live events made ahead, whose ids and times are written anew each time they are sent: ten times as fast as making them.

A sent event differs from its model in event id and time only, so agencies, procedures, steps and rates stay those of live
traffic. Dossiers come round again when the pool is used up; every event has an id that no other event has.
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
from producers.portals.live import LiveTraffic
from producers.portals.load_shapes import steady

#: Events made ahead: about ten thousand dossiers, made in a second.
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
    """Models, and the beginning of every id of this run: 72 random bits, version and variant."""

    models: tuple[Model, ...]
    prefix: bytes

    @classmethod
    def made(cls, messages: Iterable[Message], *, nonce: bytes | None = None) -> Pool:
        """A pool of the messages, which must be of ``producers.portals.live``.

        Args:
            messages: what to take as models.
            nonce: 9 bytes that no other run has; None draws them.
        """
        return cls(tuple(_model(message) for message in messages), _prefix(nonce or secrets.token_bytes(9)))

    @classmethod
    def renewed(cls, pool: Pool, *, nonce: bytes | None = None) -> Pool:
        """The same models for another run, with ids of its own."""
        return cls(pool.models, _prefix(nonce or secrets.token_bytes(9)))

    def fresh(self, rows: Iterable[int], *, at: bytes, number: int) -> Iterator[Message]:
        """The models of some rows as new events, dated ``at``; ids count up from ``number`` (48 bits)."""
        prefix, models = _HEAD + self.prefix, self.models
        for count, row in enumerate(rows, number):
            key, between, after = models[row]
            yield Message(key, b"%b%012x%b%b%b" % (prefix, count, between, at, after), 0, Kind.EVENT)


def live_pool(*, clock: Clock, seed: int, size: int = SIZE) -> Pool:
    """A pool of live traffic of the agencies in force on the clock's day."""
    traffic = LiveTraffic(registry=AgencyRegistry.packaged(), clock=clock, seed=seed, rate=None, shape=steady)
    return Pool.made(islice(traffic, size))


def _prefix(nonce: bytes) -> bytes:
    digits = nonce.hex()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-a{digits[15:18]}-".encode("ascii")


def _model(message: Message) -> Model:
    assert message.key is not None
    assert message.value is not None
    time = message.value.index(_TIME) + len(_TIME)
    return Model(message.key, message.value[len(_HEAD) + _ID : time], message.value[time + _TIME_LENGTH :])
