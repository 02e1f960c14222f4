"""Realistic dossiers at a steady rate, planned before they are sent, and what every tally must be when all of them are counted.

``bench.chaos.traffic`` decides while it sends and can pause anywhere; it takes most of a core at some thousand messages a second.
This one costs a tenth of it, so that workers can be measured beside it.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Collection, Iterator
from typing import Final, Self

from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.periods import VIETNAM, Period
from producers.messages import Message
from producers.portals.dossier_faults import FaultShares
from producers.portals.months import period_scenario
from producers.portals.simulate import ScenarioStream
from producers.portals.tier_truth import TierCounts, add_scenario
from producers.sending.message_stream import MessageStream
from producers.sending.worker_processes import Broker, run_task

#: Dossiers that are settled in a block: about 40,000 messages. Small runs have smaller blocks.
_BLOCK: Final = 6_000
_MESSAGES_A_DOSSIER: Final = 6
#: Running numbers of dossiers that a block may use.
_NUMBERS: Final = 10_000
_DAYS: Final = dt.timedelta(days=28)
#: The rate at which the rest is sent at the end.
_AT_THE_END: Final = 20_000.0


class SteadyTraffic:
    """A context manager; ``finish`` sends the rest and returns when Kafka has everything.

    Each block lives two months of dossiers within the seconds before it is sent, in the order of their arrival.

    Args:
        broker: where to send.
        rate: messages a second.
        seconds: for how long there are messages at that rate.
        seed: of the dossiers.
        without: agencies that send nothing.
    """

    def __init__(self, broker: Broker, *, rate: float, seconds: float, seed: int = 1, without: Collection[str] = ()) -> None:
        self._broker, self._rate = broker, rate
        registry = AgencyRegistry(row for row in AgencyRegistry.packaged() if row.code not in without)
        wanted, settled = rate * seconds, min(_BLOCK, int(rate * seconds / _MESSAGES_A_DOSSIER) + 1)
        self._blocks: list[ScenarioStream] = []
        while self.total < wanted:
            self._blocks.append(_block(len(self._blocks), settled=settled, seed=seed, registry=registry))
        self._thread = threading.Thread(target=self._send, name="traffic", daemon=True)
        self._hurry, self._stop = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._failed = ""
        self.sent = 0

    @property
    def total(self) -> int:
        """Messages, repeats included."""
        return sum(block.total for block in self._blocks)

    def __enter__(self) -> Self:
        first, begun = int(time.time() * 1000), 0
        for number, block in enumerate(self._blocks):
            begins = first + int(begun / self._rate * 1000)
            self._blocks[number] = block.redated(begins - block.total)  # a millisecond each: nothing lies ahead
            begun += block.total
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._hurry.set()
        self._thread.join(60)

    def check(self) -> None:
        """Raise what ended the sender, or that there is nothing left to send.

        Raises:
            UnavailableError: see above.
        """
        if self._error is not None:
            raise UnavailableError(f"The sender ended: {self._error!r}.") from self._error
        if self._failed:
            raise UnavailableError(self._failed)
        if not self._thread.is_alive() and not self._hurry.is_set():
            raise UnavailableError("Everything was sent before the end of the run.", remedy="Plan more seconds.")

    def finish(self, *, timeout: float = 120.0) -> None:
        """Send the rest fast; returns when Kafka has everything.

        Raises:
            UnavailableError: it has not within ``timeout`` seconds.
        """
        self.check()
        self._hurry.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise UnavailableError(f"Kafka did not take the rest within {timeout:.0f} s.", remedy="See the broker's log.")
        self.check()

    def add_to(self, counts: TierCounts) -> None:
        """Add what everything counts as; call it after ``finish``."""
        for block in self._blocks:
            add_scenario(counts, block)

    def _messages(self) -> Iterator[Message]:
        for block in self._blocks:
            for message in block:
                if self._stop.is_set():
                    return
                self.sent += 1
                yield message

    def _send(self) -> None:
        try:
            stream = MessageStream(
                "traffic", self._messages(), total=self.total, rate=lambda: _AT_THE_END if self._hurry.is_set() else self._rate
            )
            result = run_task(stream, broker=self._broker, processes=1, on_progress=lambda _: None)
            self._failed = f"Kafka did not take {result.failed} messages: {result.problem}." if result.failed else ""
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the sender
            self._error = error


def _block(number: int, *, settled: int, seed: int, registry: AgencyRegistry) -> ScenarioStream:
    latest = dt.datetime.now(VIETNAM).date() - dt.timedelta(days=2)
    seed = seed * 1_000 + number
    scenario = period_scenario(f"steady {number}", Period(latest - _DAYS, latest), settled=settled, seed=seed, registry=registry)
    return ScenarioStream(scenario, seed=seed, shares=FaultShares.realistic(), numbers_from=number * _NUMBERS, registry=registry)
