"""Lets the messages of finished dossiers expire, a share at a time. The steps may break off anywhere.

A dossier expires as a whole, and only when the audit finds nothing wrong about it: its messages, index rows and corrections agree
with the rules. A run first records what each of its messages counts as. Then one row switches all records of the run on: from
then on they count instead of their messages (``sinks.contract.expiry``). No tally changes, and none must be recounted. Last, a
*tombstone* in the index says that the messages of the dossier expired.

Workers may write meanwhile. A message of such a dossier that the run did not see must count like one that comes later: at most in
``events``. There are two cases:

1. The message is indexed after the tombstone: the worker that resolves it sees the tombstone.
2. The message is indexed before the tombstone, and may have been resolved with the dossier. ``late``, which is read after the
   tombstone was written, has it: the run resolves the dossier again and recounts its days. A worker that claims the message at
   the same time reads the dossier again and sees the tombstone. A record raises the version of its tallies by more than any
   earlier resolution did, so these recounts replace others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.audit.dossier_check import CheckedBlock, checked_blocks, days_of
from pipeline.audit.in_hand import InHand
from pipeline.ingest.dossier_resolver import Corrected, DossierResolver
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierAudit, DossierSelection, Finished
from sinks.contract.dossiers import DossierIndex
from sinks.contract.exclusions import is_decision
from sinks.contract.expiry import RECORD_SCHEMA, BusyError, MessageExpiry
from sinks.contract.level_notes import is_message
from sinks.contract.storage import Storage

#: A run that began so long ago and was not switched on is given up (seconds).
_LEASE: Final = 600.0
#: Messages that may come for a dossier between a look at it and its tombstone, at most: they add to what later looks saw.
_LATER: Final = 16
_COPIED: Final = ("dossier", "occurred_at", "event_id", "agency", "procedure_code")


@dataclass(frozen=True, slots=True)
class Expired:
    """Numbers of dossiers and messages that a run let expire.

    ``skipped``: number of finished dossiers that did not expire, because the audit finds a fault in them, a worker has not
    acknowledged a message of them, or they changed lately.
    """

    dossiers: int = 0
    messages: int = 0
    skipped: int = 0

    def __add__(self, other: Expired) -> Expired:
        """The sum of two runs."""
        return Expired(self.dossiers + other.dossiers, self.messages + other.messages, self.skipped + other.skipped)


class MessageRetention:
    """Lets messages expire on one server, or on one shard of a cluster.

    Args:
        expiry: the storage's records, runs and removals.
        dossiers: reads all rows of dossiers, as for the audit.
        index: the index of dossiers.
        recount: counts a civil day of some agencies again in every tier.
        settle: settling time: how old a message must be when Kafka does not say what workers have in hand.
        in_hand: asks Kafka what workers have in hand.
    """

    def __init__(
        self,
        expiry: MessageExpiry,
        *,
        dossiers: DossierAudit,
        index: DossierIndex,
        recount: Callable[[dt.date, Sequence[str]], object],
        settle: dt.timedelta,
        in_hand: Callable[[], InHand],
    ) -> None:
        self.expiry, self._dossiers, self._index = expiry, dossiers, index
        self._recount, self._settle, self._in_hand = recount, settle, in_hand
        self._resolver = DossierResolver(index)

    def recover(self, *, take_over: bool = False) -> Generator[str, None, None]:
        """Complete earlier runs that were switched on, and give up those that were not.

        Args:
            take_over: whether to give up also a run that began within the last ``_LEASE`` seconds.

        Raises:
            BusyError: a run began so recently that it may still be at work, and ``take_over`` is not given.
        """
        runs = self.expiry.runs()
        for run, seconds in runs.begun:
            if seconds < _LEASE and not take_over:
                raise BusyError(
                    f"Another `portalpulse retention apply` began {seconds:.0f} seconds ago and has not ended.",
                    remedy="Wait for it. If it was killed, add --take-over.",
                )
            self.expiry.give_up(run)
            yield "given up"
        for run in runs.unfinished:
            yield from self._complete(run)

    def expire(self, share: HashShard, finished: Finished) -> Generator[str, None, Expired]:
        """Let a share of the finished dossiers expire. Their rows stay until ``remove``. Pauses after every write, for tests."""
        selection = DossierSelection(share, finished=finished)
        candidates = self.expiry.candidates(selection)
        if not candidates.num_rows:
            return Expired()
        in_hand = self._in_hand()
        run = self.expiry.begin(finished.older_than)
        yield "begun"
        seen = dict(zip(*(candidates.column(name).to_pylist() for name in ("dossier", "seen")), strict=True))
        done = Expired(skipped=candidates.num_rows)
        for block in checked_blocks(self._dossiers, selection, settle=self._settle, in_hand=in_hand):
            messages, dossiers = records_of(block, seen, finished.older_than)
            if not dossiers.num_rows:
                continue
            self.expiry.record(run, messages, dossiers)
            done += Expired(dossiers.num_rows, messages.num_rows, -dossiers.num_rows)
            yield "recorded"
        if not done.dossiers:
            self.expiry.give_up(run)
            return done
        self.expiry.switch(run)
        yield "switched"
        yield from self._complete(run)
        return done

    def remove(self) -> Generator[str, None, None]:
        """Delete the messages of all runs that are switched on, and finish these runs."""
        runs = self.expiry.runs().unfinished
        self.expiry.remove(runs)
        yield "removed"
        for run in runs:
            self.expiry.finish(run)
            yield "finished"

    def _complete(self, run: int) -> Generator[str, None, None]:
        """Write the tombstones of a run that is switched on, and count again the dossiers that got a message meanwhile."""
        self.expiry.entomb(run)
        yield "entombed"
        late = self.expiry.late(run)
        if not len(late):
            return
        # Everything about these dossiers, before anything of it is deleted.
        days = days_of(self._index.histories(pa.table({"dossier": late})))
        corrected: Corrected = yield from self._resolver.recount_steps(late)
        for day in sorted(days):
            self._recount(day, sorted(days[day]))
            yield "recounted"
        if corrected.claims.num_rows:
            self._resolver.confirm(corrected)
            yield "confirmed"


def parts_of(
    storage: Storage,
    *,
    recount: Callable[[dt.date, Sequence[str]], object],
    settle: dt.timedelta,
    in_hand: Callable[[], InHand],
) -> list[MessageRetention]:
    """The ``MessageRetention`` of a server, or those of each shard of a cluster."""
    return [
        MessageRetention(
            part.expiry(),
            dossiers=part.dossier_audit(),
            index=part.dossier_index(),
            recount=recount,
            settle=settle,
            in_hand=in_hand,
        )
        for part in storage.parts()
    ]


def records_of(block: CheckedBlock, seen: dict[bytes, int], older_than: dt.datetime) -> tuple[pa.Table, pa.Table]:
    """The records of the dossiers of a block that may expire: a row for each message (``RECORD_SCHEMA``), a row for each dossier.

    Args:
        block: dossiers as the audit checked them.
        seen: number of a finished dossier -> number of index rows by which its row in the table of dossiers was judged.
        older_than: a dossier expires only when all its messages are older than this.
    """
    rows, dossier = block.rows, block.dossier
    facts = rows.column("facts").to_numpy()
    message = is_message(facts)
    first = np.flatnonzero(np.r_[True, dossier[1:] != dossier[:-1]])
    numbers = rows.column("dossier").take(pa.array(first)).to_pylist()
    known = np.array([seen.get(number, -1) for number in numbers], dtype=np.int64)
    occurred_at = rows.column("occurred_at").cast(pa.int64()).to_numpy()
    is_late = message & (occurred_at >= round(older_than.timestamp() * 1_000))
    kept = (block.fault >= 0) | block.in_hand | is_decision(facts) | is_late
    indexed = np.bincount(dossier, weights=rows.column("indexed").to_numpy() > 0).astype(np.int64)
    expires = (np.bincount(dossier, weights=kept) == 0) & (indexed == known)
    counts = np.bincount(dossier, weights=message).astype(np.int64)
    chosen = np.flatnonzero(message & expires[dossier])
    columns = {name: rows.column(name).take(pa.array(chosen)) for name in _COPIED}
    for name in ("agency", "procedure_code"):
        columns[name] = columns[name].cast(pa.string())
    columns["status"] = pa.array(facts[chosen] & np.uint16(15)).cast(pa.uint8())
    columns["number"] = pa.array(chosen - first[dossier[chosen]], pa.uint32())
    columns["counts_as"] = pa.array(block.right[chosen], pa.uint16())
    columns["weight"] = pa.array(1 + counts[dossier[chosen]] + _LATER, pa.uint32())
    messages = pa.table({name: columns[name] for name in RECORD_SCHEMA.names})
    these = np.flatnonzero(expires)
    dossiers = pa.table(
        {
            "dossier": rows.column("dossier").take(pa.array(first[these])),
            "seen": pa.array(known[these], pa.uint64()),
        }
    )
    return messages, dossiers
