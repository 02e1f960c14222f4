"""All contenders: their names in the results, and their maximum number of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.contenders.clickhouse_kafka_engine import KafkaEngine
from bench.contenders.contract import Contender, RunContext
from bench.contenders.peers import Peer
from bench.contenders.portalpulse import PortalPulse
from bench.environment import peers_python

_ALL = 100_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the comparison."""

    name: str
    workers: int
    how: str  # for the table
    #: A slow contender gets fewer messages, in a separate topic, else a run would take minutes.
    max_events: int
    create: Callable[[RunContext], Contender]

    @property
    def is_slow(self) -> bool:
        """Whether it gets fewer messages than requested."""
        return self.max_events < _ALL

    @property
    def title(self) -> str:
        """Name and number of workers."""
        return self.name if self.workers == 1 else f"{self.name} ({self.workers} workers)"


CONTENDERS = (
    Entry("portalpulse", 1, "one worker", _ALL, lambda context: PortalPulse(context, workers=1)),
    Entry("portalpulse", 2, "two workers in one group", _ALL, lambda context: PortalPulse(context, workers=2)),
    Entry("clickhouse-kafka-engine", 1, "2 consumers, materialized views, blocks of 524,288", _ALL, KafkaEngine),
    Entry(
        "bytewax",
        1,
        "batches of 20,000",
        1_000_000,
        lambda context: Peer(
            context, arguments=("-m", "bytewax.run", "bench.contenders.bytewax:create_flow()"), python=peers_python()
        ),
    ),
    Entry(
        "quixstreams",
        1,
        "BatchingSink, checkpoints of 100,000",
        1_000_000,
        lambda context: Peer(context, arguments=("-m", "bench.contenders.quixstreams"), python=peers_python()),
    ),
    Entry(
        "aiokafka",
        1,
        "getmany of 50,000, clickhouse-connect, commit after insert",
        1_000_000,
        lambda context: Peer(context, arguments=("-m", "bench.contenders.aiokafka_plain")),
    ),
    Entry(
        "faust-stock",
        1,
        "JSON topic, take(20,000), insert",
        200_000,
        lambda context: Peer(context, arguments=("-m", "bench.contenders.faust_stock", "worker", "-l", "warn", "--without-web")),
    ),
)
