"""This pipeline, started as usual: one or more ``portalpulse worker`` in one consumer group."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contenders.contract import Programs, RunContext
from bench.measure import worker, worker_settings
from deploy.native.processes import ChildProcess


class PortalPulse(Programs):
    """``workers`` processes."""

    def __init__(self, context: RunContext, *, workers: int) -> None:
        super().__init__(context)
        database = context.database
        self.progress = (
            f"SELECT (SELECT count() FROM {database}.dossier_messages), (SELECT sum(events) FROM {database}.agency_minute FINAL)"
        )
        self.stored = f"SELECT count() FROM {database}.dossier_messages"
        self.tallies = f"SELECT agency, toUnixTimestamp(minute), events FROM {database}.agency_minute FINAL"
        settings = worker_settings(context.stack, topic=context.topic, group=context.group, database=database)
        names = [context.database if workers == 1 else f"{context.database}-worker{number + 1}" for number in range(workers)]
        self._children = [worker(context.stack, settings, name=name).process for name in names]

    @property
    def children(self) -> Sequence[ChildProcess]:
        """The workers."""
        return self._children

    def prepare(self) -> None:
        """Nothing: the worker creates its tables when it starts."""
