"""Lets the messages of finished dossiers expire: a share at a time, each step in an order that may break off anywhere.

A dossier expires as a whole, when the audit finds nothing wrong about it: its messages, index rows and corrections agree with the
rules. Then what each of its messages counts as is recorded, and with one row all records of a run count in the place of their
messages (``sinks.contract.expiry``). No tally changes, and none must be recounted.

Workers may write meanwhile. A message that this run did not see counts as one that comes later, in ``events`` at most:

1. It is indexed after the tombstone: the writer that resolves it sees the tombstone.
2. It is indexed before: it may have been resolved with the dossier. The look at ``late``, which comes after the tombstone, finds
   it, resolves the dossier again and recounts its days. A writer that claims it at the same time looks again and sees the
   tombstone. A record adds more to the version of its tallies than any look at its dossier did, so these recounts win.
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
    """Counts of what a run did.

    ``skipped``: finished dossiers that are kept, because the audit finds a fault in them, a worker has not acknowledged a message
    of theirs, or they changed lately.
    """

    dossiers: int = 0
    messages: int = 0
    skipped: int = 0

    def __add__(self, other: Expired) -> Expired:
        """Both together."""
        return Expired(self.dossiers + other.dossiers, self.messages + other.messages, self.skipped + other.skipped)


class MessageRetention:
    """Works on one server or one shard.

    Args:
        expiry: records, switches and removes.
        dossiers: reads everything about dossiers, as the audit does.
        index: the index of dossiers.
        recount: counts a civil day of some agencies again in every tier.
        settle: where Kafka does not say what workers have in hand: how old a message must be.
        in_hand: what workers have in hand.
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
        """Complete what earlier runs began, and give up what they did not switch on.

        Args:
            take_over: also of a run that began a moment ago.

        Raises:
            BusyError: such a run may still be at work.
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
        """Let a share of the finished dossiers expire, pausing between any two effects; their rows stay until ``remove``."""
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
        """Delete the messages of all runs in force, and finish these runs."""
        runs = self.expiry.runs().unfinished
        self.expiry.remove(runs)
        yield "removed"
        for run in runs:
            self.expiry.finish(run)
            yield "finished"

    def _complete(self, run: int) -> Generator[str, None, None]:
        """Make a run that is in force known to workers, and count again what came in between."""
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
    """The retention of a server, or of each shard of a cluster."""
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
    """What is recorded of the dossiers of a block that may expire: their messages (``RECORD_SCHEMA``), and they themselves.

    Args:
        block: dossiers, judged from what is stored.
        seen: by the number of a finished dossier, how many rows of the index it was judged by.
        older_than: all messages must be older.
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
