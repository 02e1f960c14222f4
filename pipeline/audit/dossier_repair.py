"""Repairs dossiers whose index rows or corrections are wrong. May run beside workers.

Why the order of its steps is safe while workers write. For each message a worker stores it, indexes it, reads its dossier,
claims, reads the dossier again and corrects.

1. The repair first deletes stale dossiers from the index and the corrections. A worker that reads such a dossier now may see too
   few messages. Its corrections then saw fewer messages than those of the repair will, so those of the repair replace them.
2. Then the stored messages are read and indexed. A message that this reading does not see is stored later, so its worker indexes
   it later, too, and after the deletion: the deletion removed no index row that is not written again. The same holds for the
   decisions of operators, which are read and indexed with the messages.
3. Then every message of the dossier is claimed, the dossier is read again, and the messages are corrected. This reading sees
   every message that is indexed before. A message that is indexed later is resolved by its worker, which then finds the claims.
4. The caller recounts the days at the end, under a raised epoch when something was deleted, because versions are smaller then.
   This recount replaces one that a worker began before; a recount that begins later reads the new corrections.

One case is left: a worker that read the dossier before the deletion, and writes its corrections after it, saw messages that are
gone, and its corrections replace those of the repair. The next check finds them, and the repair is repeated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pyarrow as pa

from pipeline.audit.dossier_check import CheckedBlock, checked_blocks, days_of
from pipeline.audit.in_hand import InHand
from pipeline.ingest.dossier_resolver import DossierResolver
from sinks.contract.dossier_audit import DossierAudit, DossierSelection
from sinks.contract.dossiers import DossierIndex, fields_of, flags_of

#: Wrong dossiers that are repaired together. Each time the codes of all messages are scanned.
_TOGETHER = 20_000


@dataclass(frozen=True, slots=True)
class RepairedDossiers:
    """What a repair did.

    Attributes:
        dossiers: number of repaired dossiers.
        deleted: whether rows were deleted, so that the epoch must be raised before the recounts.
        days: civil days whose tallies must be recounted -> their agencies.
    """

    dossiers: int = 0
    deleted: bool = False
    days: Mapping[dt.date, frozenset[str]] = field(default_factory=dict)


class DossierRepair:
    """Repairs the wrong dossiers of a selection."""

    def __init__(self, audit: DossierAudit, index: DossierIndex) -> None:
        self._audit, self._index, self._resolver = audit, index, DossierResolver(index)

    def __call__(self, selection: DossierSelection, *, settle: dt.timedelta, in_hand: InHand) -> RepairedDossiers:
        """Repair every wrong dossier of a selection, except those of which workers have a message in hand."""
        steps = self.steps(selection, settle=settle, in_hand=in_hand)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast("RepairedDossiers", end.value)

    def steps(
        self, selection: DossierSelection, *, settle: dt.timedelta, in_hand: InHand
    ) -> Generator[str, None, RepairedDossiers]:
        """The repair as a generator that pauses after every write, so that a test can let workers act in between."""
        wrong: dict[bytes, bool] = {}  # number -> whether it is stale
        days: dict[dt.date, set[str]] = {}
        for block in checked_blocks(self._audit, selection, settle=settle, in_hand=in_hand):
            found, rows = _wrong_dossiers(block)
            wrong |= found
            _merge(days, days_of(rows))
        numbers = list(wrong)
        for start in range(0, len(numbers), _TOGETHER):
            some = numbers[start : start + _TOGETHER]
            stale = [number for number in some if wrong[number]]
            if stale:
                self._audit.forget(stale)
                yield "forgotten"
            messages = self._audit.stored_messages(some)
            if not messages.num_rows:
                continue
            # Messages that came since the check are here, too.
            _merge(days, days_of(messages))
            self._index.add(as_indexed(messages))
            yield "indexed"
            yield from self._resolver.rewrite_steps(_distinct(messages.column("dossier")))
        agencies = {day: frozenset(codes) for day, codes in days.items()}
        return RepairedDossiers(len(wrong), any(wrong.values()), agencies)


def _wrong_dossiers(block: CheckedBlock) -> tuple[dict[bytes, bool], pa.Table]:
    """Number of each wrong dossier of a block -> whether it is stale; and all rows of these dossiers."""
    is_wrong = np.bincount(block.dossier, weights=block.fault >= 0)[block.dossier] > 0
    rows = block.rows.filter(pa.array(is_wrong))
    numbers = rows.column("dossier").to_pylist()
    return dict(zip(numbers, block.stale[is_wrong].tolist(), strict=True)), rows


def as_indexed(messages: pa.Table) -> pa.Table:
    """Stored messages and decisions as rows of the index."""
    fields = fields_of(messages.column("facts").to_numpy())
    flags = flags_of(**{name: fields[name] for name in ("status", "channel", "level", "returned")})
    return messages.drop_columns(["id"]).append_column("flags", pa.array(flags))


def _distinct(dossiers: pa.ChunkedArray) -> pa.Array:
    return pa.array(sorted(set(dossiers.to_pylist())), dossiers.type)


def _merge(days: dict[dt.date, set[str]], more: Mapping[dt.date, set[str]]) -> None:
    for day, agencies in more.items():
        days.setdefault(day, set()).update(agencies)
