"""The peers that are programs: each fills the same two tables with incremental counts (tables.py)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.contenders.contract import Programs, RunContext
from bench.contenders.tables import SCHEMA
from bench.measure import python_child
from deploy.native.processes import ChildProcess


class Peer(Programs):
    """One program of this folder."""

    def __init__(self, context: RunContext, *, arguments: Sequence[str], python: str | Path = sys.executable) -> None:
        super().__init__(context)
        self.progress = increments(context.database)
        self.stored = f"SELECT count() FROM {context.database}.events"
        self.tallies = tallies(context.database)
        self._child = python_child(
            context.stack,
            context.database,
            arguments,
            environment={
                "BENCH_KAFKA": context.stack.kafka.bootstrap,
                "BENCH_TOPIC": context.topic,
                "BENCH_GROUP": context.group,
                "BENCH_CLICKHOUSE_PORT": str(context.stack.server.http_port),
                "BENCH_DATABASE": context.database,
            },
            python=str(python),
        )

    @property
    def children(self) -> Sequence[ChildProcess]:
        """The program."""
        return (self._child,)

    def prepare(self) -> None:
        """Create the tables."""
        create_tables(self.context)


def create_tables(context: RunContext) -> None:
    """The database with events, tally and the view between them."""
    for statement in SCHEMA:
        context.stack.server.query(statement.format(database=context.database))


def increments(database: str) -> str:
    """Rows stored and events counted."""
    return f"SELECT (SELECT count() FROM {database}.events), (SELECT sum(events) FROM {database}.tally)"


def tallies(database: str) -> str:
    """All tallies."""
    return f"SELECT agency_code, toUnixTimestamp(minute), sum(events) FROM {database}.tally GROUP BY agency_code, minute"
