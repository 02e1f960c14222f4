"""Asks the brokers in the background how much of their disks is free, for the exporter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from domain.errors import describe_error
from pipeline.background import BackgroundRounds
from pipeline.kafka.broker_state import LogDisk, read_log_disks
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings

log = get_logger("kafka_disks")

#: Pause between two questions (seconds): shorter than the time for which rules take a sample for current.
_PAUSE_SECONDS: Final = 60.0
_CLIENT: Final = "portalpulse-disks"


def _ask(settings: KafkaSettings) -> tuple[LogDisk, ...] | None:
    return asyncio.run(read_log_disks(settings, client_id=_CLIENT))


class KafkaDisks(BackgroundRounds):
    """Asks in rounds for the free share of each broker's fullest disk; ``free`` has the brokers that told it last time."""

    def __init__(self, settings: KafkaSettings, *, ask: Callable[[KafkaSettings], tuple[LogDisk, ...] | None] = _ask) -> None:
        super().__init__("kafka-disks")
        self._settings, self._ask = settings, ask
        self.free: Mapping[int, float] = {}  # replaced as a whole, so that readers need no lock

    def round(self) -> float:
        """Ask all brokers once; return the pause until the next round (seconds)."""
        try:
            disks = self._ask(self._settings) or ()
        except Exception as error:  # noqa: BLE001 - the next round asks again; without a sample DiskUnknown and KafkaDown tell
            log.warning("kafka_disks_not_told", error=describe_error(error))
            disks = ()
        free: dict[int, float] = {}
        for disk in disks:
            if disk.failed:
                free[disk.broker] = 0.0
            elif disk.total > 0:
                free[disk.broker] = min(free.get(disk.broker, 1.0), disk.free / disk.total)
        self.free = free
        return _PAUSE_SECONDS
