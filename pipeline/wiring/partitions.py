"""Exports the lag of each partition and how many workers read it; see ``pipeline.kafka.partition_lag``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domain import metric_names as names
from pipeline.kafka.partition_lag import PartitionStates


class PartitionCollector(Collector):
    """Exports the last state of the partitions that is known. A scrape asks the brokers nothing."""

    def __init__(self, state: Callable[[], PartitionStates]) -> None:
        self._state = state

    def collect(self) -> Iterator[Any]:
        """Lag and number of readers of each partition, as far as the brokers answered."""
        lag, readers = (
            GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for metric in (names.PARTITION_LAG, names.PARTITION_READERS)
        )
        for part in self._state().partitions:
            place = [part.topic, str(part.number)]
            lag.add_metric(place, part.lag)
            if part.readers is not None:
                readers.add_metric(place, len(part.readers))
        yield from (lag, readers)
