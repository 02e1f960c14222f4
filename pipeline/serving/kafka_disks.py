"""Exports how much of the brokers' disks is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domain import metric_names as names


class KafkaDiskCollector(Collector):
    """Exports the free share of each broker's fullest disk, as last told. Does not ask the brokers itself."""

    def __init__(self, free: Callable[[], Mapping[int, float]]) -> None:
        self._free = free

    def collect(self) -> Iterator[Any]:
        """One series for each broker that told it."""
        metric = names.KAFKA_DISK_FREE
        gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for broker, share in sorted(self._free().items()):
            gauge.add_metric([str(broker)], share)
        yield gauge
