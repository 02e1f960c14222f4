"""This pipeline, started as anybody would start it: ``portalpulse worker``, once or more often in one consumer group."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contenders.contract import Place, Programs
from bench.measure import worker, worker_settings
from deploy.native.processes import ChildProcess


class PortalPulse(Programs):
    """``workers`` processes."""

    def __init__(self, place: Place, *, workers: int) -> None:
        super().__init__(place)
        database = place.database
        self.progress = (
            f"SELECT (SELECT count() FROM {database}.dossier_events), (SELECT sum(events) FROM {database}.agency_minute FINAL)"
        )
        self.stored = f"SELECT count() FROM {database}.dossier_events"
        self.tallies = f"SELECT agency, toUnixTimestamp(minute), events FROM {database}.agency_minute FINAL"
        settings = worker_settings(place.stack, topic=place.topic, group=place.group, database=database)
        names = [place.database if workers == 1 else f"{place.database}-worker{number + 1}" for number in range(workers)]
        self._children = [worker(place.stack, settings, name=name) for name in names]

    @property
    def children(self) -> Sequence[ChildProcess]:
        """The workers."""
        return self._children

    def prepare(self) -> None:
        """Nothing: the worker creates its tables when it starts."""
