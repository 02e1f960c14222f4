"""The audit of dossiers: reads all that is stored about the dossiers of a share, one row for each message, and deletes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from sinks.contract.audit import Acknowledged, HashShard


@dataclass(frozen=True, slots=True)
class Finished:
    """Selects dossiers that are settled or given back, without a message since ``older_than``, whose row is older than ``quiet``.

    The rows of the table of dossiers (``sinks.contract.dossier_table``) tell this; an excluded dossier is never selected.
    """

    older_than: dt.datetime
    quiet: dt.datetime


@dataclass(frozen=True, slots=True)
class DossierSelection:
    """Selects a share of all dossiers whose messages have not expired.

    Attributes:
        shard: the share, by the hash of the dossier.
        days: the first and the last civil day; only dossiers with a message or decision on these days; None: any day.
        finished: only dossiers that are finished in this sense; None: all.
    """

    shard: HashShard
    days: tuple[dt.date, dt.date] | None = None
    finished: Finished | None = None


class DossierAudit(Protocol):
    """Reads dossiers from the stored messages, the index and the corrections."""

    def stored_dossiers(
        self, selection: DossierSelection, *, settle: dt.timedelta, acknowledged: Acknowledged | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Everything about the selected dossiers, dossier by dossier, one row for each message or decision that any table knows.

        The corrections are read before the index, and the index before the messages. Writers store in the opposite order, so
        whatever a correction or the index knew is among the messages, unless somebody deleted it.

        Yields:
            ``dossier``, ``occurred_at``, ``event_id``, ``id``, ``agency``, ``procedure_code``, ``due_at``, ``facts`` as
            ``DossierIndex.histories``; ``stored``, ``indexed``, ``corrected``: 1 when the message is in that table; ``plus``,
            ``minus``, ``seen`` of the correction, 0 without one; ``claims``: every claimed value (1 + bits); ``in_hand``: 1 when
            the message need not be counted yet (``TallyAudit.compare``). Decisions of operators are rows as in
            ``sinks.contract.exclusions``; a decision younger than ``settle`` is in hand. Level notes of the index are rows as in
            ``sinks.contract.level_notes``.
        """
        ...

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the service catalogue of some agencies, as they are at one moment during this call."""
        ...

    def stored_messages(self, dossiers: Sequence[bytes]) -> pa.Table:
        """The distinct stored messages and decisions of dossiers, in the columns of ``stored_dossiers`` up to ``facts``."""
        ...

    def codes(self, dossiers: Sequence[bytes]) -> Mapping[bytes, str]:
        """The codes of dossiers that have a stored message or decision."""
        ...

    def forget(self, dossiers: Sequence[bytes]) -> None:
        """Delete everything about these dossiers from the index, the corrections and the table of dossiers; their messages stay.

        Rows that are written during the call may stay.
        """
        ...
