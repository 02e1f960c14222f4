"""The stored messages themselves, dossier by dossier: figures are recomputed from them when a report is verified."""

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
    """Reads stored messages only: no index, no corrections, no tallies."""

    def messages_within(self, periods: Sequence[Period]) -> int:
        """About how many messages lie in one of the periods; messages that are stored several times may be counted several times.

        Raises:
            ConfigurationError: messages of these periods have expired.
        """
        ...

    def late_codes(self) -> Sequence[str]:
        """The codes of dossiers whose messages expired and for which further messages arrived afterwards."""
        ...

    def by_dossier(self, periods: Sequence[Period], shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages of the dossiers of a hash shard that have a message in one of the periods.

        The rows are ordered by dossier, unit, time, id and status, so that the messages of one dossier are adjacent, and within
        it those of one event. A row may be returned several times.

        Yields:
            ``RAW_COLUMNS``: ``id`` as two little-endian halves (``sinks.contract.dossiers.event_id_of``), ``level`` and
            ``returned`` as numbers (``domain.dossier_columns``), ``due_at`` of 1970-01-01 for none.
        """
        ...
