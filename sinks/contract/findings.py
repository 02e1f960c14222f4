"""Findings: what is read to find what is unusual about dossiers."""

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
    """Which findings are asked for: those of civil days, and of certain units (None: all)."""

    period: Period
    agencies: tuple[str, ...] | None = None


class FindingReader(Protocol):
    """Reads dossiers that may have a finding."""

    def messages_within(self, scope: FindingScope) -> int:
        """How many messages lie in the scope, about: repeats may be counted."""
        ...

    def histories(self, scope: FindingScope, shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages and decisions of the dossiers of a hash shard that have a message in the scope and may have a finding.

        A dossier with a finding is never missing; one without may be there. The rows of a dossier follow each other. A row may
        be there several times. Decisions are rows as in ``sinks.contract.exclusions``.

        Yields:
            ``HISTORY_COLUMNS``.
        """
        ...

    def codes_of(self, messages: Mapping[bytes, DossierEvent]) -> Mapping[bytes, str]:
        """The codes of dossiers (``dossier`` of ``histories``), each looked up by one of its messages."""
        ...
