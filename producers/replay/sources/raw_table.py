"""Events from the raw table, read through the running process, which owns the storage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from producers.measuring.service import Service
from producers.messages import Message
from producers.replay.sources.lines import read_messages


@dataclass(frozen=True, slots=True)
class RawTable:
    """The distinct events of whole civil days, both included, of some agencies (none named: all), in order of time.

    Args:
        service: opens the running process; a test passes its own.
    """

    url: str
    first: dt.date
    last: dt.date
    agencies: tuple[str, ...] = ()
    service: Callable[[str], Service] = Service

    @property
    def label(self) -> str:
        """The name of the source in the report."""
        return f"raw table of {self.url}"

    def describe(self, index: int) -> str:
        """Names a message by its number (from 0) in a sentence."""
        return f"{self.label}, message {index + 1:,}"

    def __call__(self) -> Iterator[Message]:
        """The messages.

        Raises:
            UnavailableError: the process does not answer or refuses.
        """
        with self.service(self.url) as service:
            yield from read_messages(service.events(first=self.first, last=self.last, agencies=self.agencies))
