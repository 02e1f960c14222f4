"""One line about a process that stood still, instead of what the libraries say when they find that they were not there.

A suspended process (SIGSTOP, a paused virtual machine) loses its place in the group. That is foreseen: it rejoins, and what was
not acknowledged comes again. Faust and aiokafka report it in a dozen lines that look like failures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

#: Without a beat for this long the process stood still (seconds).
STILL_SECONDS: Final = 3.0
#: How long afterwards the libraries' lines are about it (seconds).
_AFTERWARDS_SECONDS: Final = 10.0
#: Loggers of the libraries; Faust's services log under the module of their class, ours too, and we log by other means.
_LIBRARIES: Final = ("aiokafka", "faust", "mode", "pipeline")


class QuietAfterStandstill(logging.Filter):
    """Holds back what the libraries log when they wake up. ``beat`` has to be called about once a second."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._last = monotonic()
        self._until = self._last

    def beat(self) -> float:
        """Say that the process is alive; returns for how many seconds it stood still before, 0 when it did not."""
        now = self._monotonic()
        still, self._last = now - self._last, now
        if still < STILL_SECONDS:
            return 0.0
        self._until = now + _AFTERWARDS_SECONDS
        return still

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        now = self._monotonic()
        woke_up = now < self._until or now - self._last >= STILL_SECONDS
        return not (woke_up and record.name.partition(".")[0] in _LIBRARIES)
