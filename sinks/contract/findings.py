"""Findings: reads the dossiers that may be unusual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from domain.events import DossierEvent
from domain.periods import Period
from sinks.contract.audit import HashShard

#: The columns of ``FindingReader.histories``, as those of ``DossierIndex.histories``.
HISTORY_COLUMNS: Final = ("dossier", "occurred_at", "id", "agency", "procedure_code", "due_at", "facts")


@dataclass(frozen=True, slots=True)
class FindingScope:
    """Selects findings by civil days and by units (None: all units)."""

    period: Period
    agencies: tuple[str, ...] | None = None


class FindingReader(Protocol):
    """Reads dossiers that may have a finding."""

    def messages_within(self, scope: FindingScope) -> int:
        """About how many messages lie in the scope; messages that are stored several times may be counted several times."""
        ...

    def histories(self, scope: FindingScope, shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages and decisions of the dossiers of a hash shard that have a message in the scope and may have a finding.

        Every dossier with a finding is returned; some without one may be, too. The rows of a dossier are adjacent. A row may
        be returned several times. Decisions are rows as in ``sinks.contract.exclusions``.

        Yields:
            ``HISTORY_COLUMNS``.
        """
        ...

    def codes_of(self, messages: Mapping[bytes, DossierEvent]) -> Mapping[bytes, str]:
        """The codes of dossiers (``dossier`` of ``histories``), each looked up by one of its messages."""
        ...
