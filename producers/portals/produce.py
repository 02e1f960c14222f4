"""Sends simulated traffic to Kafka or to a file, and reports how many messages arrived.

For programs: ``produce_scenario(scenario="emc-2024", seed=1, rate=None, broker=Broker(("localhost:9092",), "events"))``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

import numpy as np

from domain.agencies import AgencyRegistry
from domain.catalogue import CatalogueEntry
from domain.errors import ConfigurationError
from producers.portals.catalogue import rng_of
from producers.portals.documents import available_scenarios, load_document
from producers.portals.dossier_faults import FaultShares
from producers.portals.faults import malformed, mix
from producers.portals.live import LiveTraffic
from producers.portals.months import DEFAULT_EVENTS, MONTHS, month_stream
from producers.portals.offered_procedures import offered_procedures
from producers.portals.scenarios import load_scenario
from producers.portals.service_scenarios import service_scenario_of
from producers.portals.simulate import ScenarioStream
from producers.portals.truth import Truth
from producers.sending.line_file import write_lines
from producers.sending.message_stream import MessageStream
from producers.sending.progress import NullProgress, Progress
from producers.sending.send_loop import ProgressReport, SendResult
from producers.sending.worker_processes import Broker, run_task

#: In live traffic, each of the malformed messages follows this many messages.
_FAULT_EVERY: Final = 20

#: Sends a stream; ``on_progress`` is called with the progress.
Send = Callable[[MessageStream, Callable[[ProgressReport], None]], SendResult]


@dataclass(frozen=True, slots=True)
class ProduceReport:
    """The report of a run of ``produce``.

    ``distinct`` counts events once; ``seconds`` run from the start until every message is acknowledged or has failed; ``truth``:
    what the scenario must count as, if all of it was sent.
    """

    source: str
    seed: int
    result: SendResult
    seconds: float
    truth: Truth | None = None

    @property
    def sent(self) -> int:
        """Messages handed to the destination."""
        return self.result.sent

    @property
    def repeated(self) -> int:
        """Messages that repeat, on purpose, an event already sent in this run."""
        return self.result.repeated

    @property
    def malformed(self) -> int:
        """Messages that are not valid events, on purpose."""
        return self.result.malformed

    @property
    def distinct(self) -> int:
        """Sent events, each counted once."""
        return self.sent - self.repeated - self.malformed

    @property
    def complete(self) -> bool:
        """Whether every sent message is durable."""
        return self.result.complete

    @property
    def rate(self) -> float:
        """Messages acknowledged a second, over the whole run."""
        return self.result.acknowledged / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values for ``--json``."""
        return {
            "source": self.source,
            "seed": self.seed,
            "sent": self.sent,
            "distinct": self.distinct,
            "repeated": self.repeated,
            "malformed": self.malformed,
            "acknowledged": self.result.acknowledged,
            "failed": self.result.failed,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "interrupted": self.result.interrupted,
            "problem": self.result.problem,
        }

    def text(self) -> str:
        """The report for people."""
        return (
            f"{self.source}: sent {self.sent:,} messages ({self.distinct:,} distinct, {self.repeated:,} repeated, "
            f"{self.malformed:,} malformed), acknowledged {self.result.acknowledged:,}, failed {self.result.failed:,}, "
            f"in {self.seconds:.1f} s ({self.rate:,.0f}/s)."
        )


def scenario_messages(
    name: str,
    *,
    seed: int,
    scale: int = 1,
    events: int | None = None,
    shares: FaultShares | None = None,
    shuffled: bool = False,
    registry: AgencyRegistry | None = None,
) -> ScenarioStream:
    """The messages of a scenario, with the plans of its dossiers and their ledger.

    Args:
        name: a packaged scenario, or a month of ``producers.portals.months``.
        seed: same seed, same bytes.
        scale: whole factor on every volume.
        events: for a month: the least number of messages; None: ``DEFAULT_EVENTS``.
        shares: the shares of the dossiers' faults; None: every dossier is regular.
        shuffled: whether messages come in any order instead of that of their arrival.
        registry: the registry of the agencies; None: the packaged one.

    Raises:
        ConfigurationError: the scenario is unknown or its file contradicts itself or the registry.
    """
    if name in MONTHS:
        wanted = (DEFAULT_EVENTS if events is None else events) * scale
        shares = shares or FaultShares.regular()
        return month_stream(name, events=wanted, seed=seed, shares=shares, shuffled=shuffled, registry=registry)
    if name in available_scenarios() and (document := load_document(name)).expected is None:
        if scale != 1:
            raise ConfigurationError(f"The scenario {name} has one volume.", remedy="Omit --scale.")
        services = service_scenario_of(document, name=name, registry=registry or AgencyRegistry.packaged())
        return services.stream(seed=seed, shares=shares, shuffled=shuffled)
    scenario = load_scenario(name, registry=registry)
    return ScenarioStream(scenario, seed=seed, scale=scale, shares=shares, shuffled=shuffled, registry=registry)


def scenario_catalogue(
    name: str, *, seed: int, scale: int = 1, shares: FaultShares | None = None, registry: AgencyRegistry | None = None
) -> tuple[CatalogueEntry, ...]:
    """The service catalogue of a packaged scenario. The catalogue fits the messages of the same seed, scale and shares.

    Raises:
        ConfigurationError: the scenario is unknown, contradicts itself or the registry, or its dossiers have too few procedures.
    """
    registry = registry or AgencyRegistry.packaged()
    document = load_document(name)
    if document.expected is None:
        return tuple(service_scenario_of(document, name=name, registry=registry).catalogue(seed=seed))
    stream = scenario_messages(name, seed=seed, scale=scale, shares=shares, registry=registry)
    return tuple(offered_procedures(document, stream, seed=seed, registry=registry))


def stream_of(messages: ScenarioStream, *, seed: int, rate: float | None, faults: int = 0) -> MessageStream:
    """The messages of a scenario with ``faults`` malformed messages spread over them."""
    name = messages.scenario.name
    positions = np.sort(rng_of(seed, "faults", name).integers(0, messages.total, size=faults)).tolist()
    return MessageStream(
        name,
        mix(messages, malformed(seed, faults), positions=positions),
        total=messages.total + faults,
        rate=None if rate is None else lambda: rate,
    )


def live_stream(traffic: LiveTraffic, *, label: str, seed: int, duration: float | None, faults: int) -> MessageStream:
    """Live traffic for ``duration`` seconds (None: until it is stopped), with ``faults`` malformed messages in between."""
    messages = mix(traffic, malformed(seed, faults), positions=itertools.count(_FAULT_EVERY, _FAULT_EVERY))
    rate = traffic.rate_now
    return MessageStream(label, messages, rate=None if rate() is None else lambda: rate() or 0.0, duration=duration)


def to_broker(broker: Broker) -> Send:
    """A function that sends a stream to a topic, which must exist.

    Raises:
        UnavailableError: when sending, no broker answers or the broker refuses access.
        ConfigurationError: when sending, the topic does not exist.
    """
    return lambda stream, on_progress: run_task(stream, broker=broker, processes=1, on_progress=on_progress)


def to_file(file: BinaryIO, *, name: str) -> Send:
    """Returns a function that writes a stream of messages to ``file``, which is open.

    The returned function raises UnavailableError when the file cannot be written.
    """
    return lambda stream, on_progress: write_lines(stream, file, name=name, on_progress=on_progress)


def produce(stream: MessageStream, *, seed: int, send: Send, progress: Progress) -> ProduceReport:
    """Send a stream, and wait until every message is acknowledged or has failed.

    Ctrl-C ends it with a report of what was sent.
    """
    progress.expect(stream.total)
    progress.set_target(stream.target_rate_at)
    result = send(stream, lambda report: progress.update(report.sent))
    return ProduceReport(stream.label, seed, result, time.monotonic() - result.started)


def produce_scenario(
    *,
    scenario: str,
    seed: int,
    rate: float | None,
    broker: Broker,
    progress: Progress | None = None,
    scale: int = 1,
    events: int | None = None,
    shares: FaultShares | None = None,
    shuffled: bool = False,
    faults: int = 0,
) -> ProduceReport:
    """Send a whole scenario to a topic and wait until everything is acknowledged or has failed.

    Args:
        scenario: name of a scenario, e.g. ``emc-2024``.
        seed: same seed, same bytes; a second run with it only repeats the same events.
        rate: messages a second; None: as fast as possible.
        broker: where the messages go; the topic must exist.
        progress: displays how many messages were sent; None: nothing is displayed.
        scale: whole factor on every volume; no rate changes.
        events: for a month (``feb-2025``): the least number of messages.
        shares: the shares of the dossiers' faults; None: every dossier is regular.
        shuffled: whether messages come in any order instead of that of their arrival.
        faults: malformed messages to spread over the stream.

    Raises:
        ConfigurationError: the scenario or the topic does not exist, or the scenario's file contradicts itself.
        UnavailableError: no broker answers.
    """
    messages = scenario_messages(scenario, seed=seed, scale=scale, events=events, shares=shares, shuffled=shuffled)
    stream = stream_of(messages, seed=seed, rate=rate, faults=faults)
    report = produce(stream, seed=seed, send=to_broker(broker), progress=progress or NullProgress())
    return replace(report, truth=Truth.of(messages, seed=seed))
