"""Drops the many lines that libraries log when a suspended process resumes; the watchdog logs one line instead.

A suspended process (SIGSTOP, a paused virtual machine) loses its place in the group. This is expected: the process rejoins, and
unacknowledged messages are redelivered. Faust and aiokafka report this in a dozen lines that look like failures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

#: Without a heartbeat for this long the process was suspended (seconds).
SUSPENDED_SECONDS: Final = 3.0
#: How long afterwards the lines of the libraries are dropped (seconds).
_AFTERWARDS_SECONDS: Final = 10.0
#: Loggers of the libraries. Faust's services log under the module of their class, ours included; we do not use these loggers.
_LIBRARIES: Final = ("aiokafka", "faust", "mode", "pipeline")


class SuspensionLogFilter(logging.Filter):
    """Drops the lines that libraries log after a suspension. ``heartbeat`` must be called about once a second."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._last = monotonic()
        self._until = self._last

    def heartbeat(self) -> float:
        """Record that the process runs; return for how many seconds it was suspended since the last call, 0 if it was not."""
        now = self._monotonic()
        suspended, self._last = now - self._last, now
        if suspended < SUSPENDED_SECONDS:
            return 0.0
        self._until = now + _AFTERWARDS_SECONDS
        return suspended

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged."""
        now = self._monotonic()
        resumed = now < self._until or now - self._last >= SUSPENDED_SECONDS
        return not (resumed and record.name.partition(".")[0] in _LIBRARIES)
