"""Removes the bytes of rejected messages that do not parse, some days after they were dead-lettered. Runs in every worker.

Dead letters of earlier releases have the whole message also when it parses. Such a message is reduced to its known fields.
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass
from typing import Final

from pipeline.ingest.dead_letter_rows import reduced
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.logs import get_logger
from sinks.contract.dead_letters import Kept, Position, ReceivedBytes

#: Time between two rounds (seconds).
_INTERVAL: Final = 3_600.0
#: Messages in memory at once.
_PAGE: Final = 200

log = get_logger("dead_letters")


@dataclass(frozen=True, slots=True)
class ByteRemoval:
    """Runs a round at the start and then every hour; ``run`` is the loop of a thread.

    Args:
        store: the storage of the bytes.
        kept_for: how long bytes are kept.
        retrying: repeats a call while the storage is unavailable.
        stopping: set when the worker stops.
    """

    store: ReceivedBytes
    kept_for: dt.timedelta
    retrying: StorageRetry
    stopping: threading.Event

    def run(self) -> None:
        """Run rounds until the worker stops."""
        while not self.stopping.is_set():
            self.round()
            self.stopping.wait(_INTERVAL)

    def round(self) -> None:
        """Remove the bytes that are older than ``kept_for``. May be repeated, and run in several workers at once."""
        now = self.retrying(self.store.now)
        before = now - self.kept_for
        if not self.retrying(lambda: self.store.has_any(before)):
            return
        after: Position | None = None
        while page := self.retrying(lambda after=after: self.store.page(before, limit=_PAGE, after=after)):  # type: ignore[misc]
            parsed = [letter for letter in map(reduced, page) if letter.kept is Kept.FIELDS]
            self.retrying(lambda parsed=parsed: self.store.keep_fields(parsed))  # type: ignore[misc]
            after = page[-1].position
            if self.stopping.is_set():
                return
        self.retrying(lambda: self.store.remove(before, at=now))
        log.info("dead_letter_bytes_removed", before=before.isoformat(timespec="seconds"))
