"""The stored messages themselves, dossier by dossier: what figures are recomputed from when a report is verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import pyarrow as pa

from domain.periods import Period
from sinks.contract.audit import HashShard

#: The columns of ``RawMessageReader.by_dossier``.
RAW_COLUMNS: Final = (
    *("dossier_code", "agency", "occurred_at", "id", "status", "procedure_code", "channel", "level", "legacy_level"),
    *("returned", "due_at", "named_by_code"),
)


class RawMessageReader(Protocol):
    """Reads messages as they were stored; neither index, corrections nor tallies."""

    def messages_within(self, periods: Sequence[Period]) -> int:
        """How many messages lie in one of the periods, about: repeats may be counted.

        Raises:
            ConfigurationError: messages of these periods have expired.
        """
        ...

    def late_codes(self) -> Sequence[str]:
        """Codes of the dossiers whose messages expired, and of which messages came afterwards."""
        ...

    def by_dossier(self, periods: Sequence[Period], shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages of the dossiers of a hash shard that have a message in one of the periods.

        In the order of dossier, unit, time, id and status, so that the messages of one dossier follow each other, and within it
        those of one event. A row may be there several times.

        Yields:
            ``RAW_COLUMNS``: ``id`` as two little-endian halves (``sinks.contract.dossiers.event_id_of``), ``level`` and
            ``returned`` as numbers (``domain.dossier_columns``), ``due_at`` of 1970-01-01 for none.
        """
        ...
