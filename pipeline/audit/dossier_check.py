"""Checks the dossiers of a share: whether every message counts as it should, by its row in the index and its correction.

What is right follows from the stored messages alone, by the rules of the domain. A dossier with a message that workers have in
hand is passed over: its corrections may not be written yet.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from domain.corrections import bits_alone
from domain.dossier_columns import BITS, count_bits
from domain.periods import civil_day
from pipeline.audit.in_hand import InHand
from pipeline.ingest.dossier_rows import decision_columns, message_columns
from pipeline.ingest.level_notes import checked
from sinks.contract.audit import EventRef
from sinks.contract.dossier_audit import DossierAudit, DossierSelection
from sinks.contract.exclusions import is_decision
from sinks.contract.level_notes import is_level_note, is_message

#: Rows that are judged at once, about; a dossier is never divided.
_BLOCK_ROWS: Final = 100_000
#: Examples of each kind of fault in the result of one share.
_EXAMPLES: Final = 20
#: The columns that the resolver reads as well.
_READ: Final = ("dossier", "occurred_at", "event_id", "id", "agency", "procedure_code", "due_at", "facts")


class DossierFault(enum.StrEnum):
    """What can be wrong about a message, or about a decision of an operator, which is a row of the index like a message."""

    WRONG = "wrong"  # another correction would be right, or its correction saw more messages than there are
    MISSING = "missing"  # it needs a correction, and has none
    SURPLUS = "surplus"  # without its correction it would count right, or the message is gone
    UNINDEXED = "unindexed"  # it is not in the index, or what it counts as is not claimed there
    ORPHANED = "orphaned"  # it is in the index and not stored


@dataclass(frozen=True, slots=True)
class FaultyMessage:
    """A message as an example of a fault: ``counted`` is what it counts as, ``right`` what it should count as."""

    fault: DossierFault
    message: EventRef
    counted: tuple[str, ...]
    right: tuple[str, ...]


def _no_faults() -> dict[DossierFault, int]:
    return dict.fromkeys(DossierFault, 0)


@dataclass(frozen=True, slots=True)
class DossierFaults:
    """What a check found.

    Attributes:
        messages, dossiers: numbers of those checked.
        in_hand: number of dossiers passed over, because workers have a message of them in hand.
        faults: fault -> number of messages.
        examples: some faulty messages of each fault.
        fallback_reason: why Kafka could not say which events are in hand; empty when it could.
    """

    messages: int = 0
    dossiers: int = 0
    in_hand: int = 0
    faults: Mapping[DossierFault, int] = field(default_factory=_no_faults)
    examples: tuple[FaultyMessage, ...] = ()
    fallback_reason: str = ""

    @property
    def total(self) -> int:
        """Number of faults of all kinds."""
        return sum(self.faults.values())

    def __add__(self, other: DossierFaults) -> DossierFaults:
        """The sum of two checks; of each kind of fault at most ``_EXAMPLES`` examples."""
        return DossierFaults(
            self.messages + other.messages,
            self.dossiers + other.dossiers,
            self.in_hand + other.in_hand,
            {fault: self.faults[fault] + other.faults[fault] for fault in DossierFault},
            tuple(_limited([*self.examples, *other.examples])),
            other.fallback_reason or self.fallback_reason,
        )

    def confirming(self, before: DossierFaults) -> DossierFaults:
        """The faults that an earlier check of the same dossiers (``before``) found, too; of each the smaller number."""
        faults = {fault: min(self.faults[fault], before.faults[fault]) for fault in DossierFault}
        return replace(self, faults=faults, examples=tuple(example for example in self.examples if faults[example.fault]))


@dataclass(frozen=True, slots=True)
class CheckedBlock:
    """Whole dossiers: one row for each message and each decision, and for each row its fault.

    Attributes:
        rows: see ``DossierAudit.stored_dossiers``.
        fault: for each row the position of its fault in ``DossierFault``; -1: no fault.
        counted, right: for each row what it counts as, and what it should count as (bits of ``BITS``).
        dossier: for each row the number of its dossier, counted from 0 within the block.
        stale: for each row whether a repair must first delete its dossier from index and corrections: these have messages that
            are gone, saw more messages than there are, or have a level note that contradicts the catalogue.
        in_hand: for each row whether its dossier was passed over, because workers have a message of it in hand.
    """

    rows: pa.Table
    fault: np.ndarray
    counted: np.ndarray
    right: np.ndarray
    dossier: np.ndarray
    stale: np.ndarray
    in_hand: np.ndarray


_POSITION: Final = {fault: position for position, fault in enumerate(DossierFault)}


def check_share(audit: DossierAudit, selection: DossierSelection, *, settle: dt.timedelta, in_hand: InHand) -> DossierFaults:
    """Check every selected dossier and sum up the faults. ``in_hand`` must have been read before the call.

    Raises:
        SinkError: the storage does not answer.
    """
    found = DossierFaults(fallback_reason=in_hand.fallback_reason)
    for block in checked_blocks(audit, selection, settle=settle, in_hand=in_hand):
        found += _summary(block)
    if not found.examples:
        return found
    codes = audit.codes(sorted({bytes.fromhex(example.message.dossier_code) for example in found.examples}))
    named = tuple(replace(example, message=_named(example.message, codes)) for example in found.examples)
    return replace(found, examples=named)


def checked_blocks(
    audit: DossierAudit, selection: DossierSelection, *, settle: dt.timedelta, in_hand: InHand
) -> Iterator[CheckedBlock]:
    """Check the selected dossiers in blocks of about ``_BLOCK_ROWS`` rows; the blocks have every row and its fault."""
    batches = audit.stored_dossiers(selection, settle=settle, acknowledged=in_hand.acknowledged)
    for rows in _whole_dossiers(batches):
        yield _checked(rows, audit.levels)


def _whole_dossiers(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join batches, whose rows are sorted by dossier, to tables that contain whole dossiers only."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        count += batch.num_rows
        if count < _BLOCK_ROWS:
            continue
        table = pa.Table.from_batches(waiting)
        numbers = _numbers(table)
        end = int(np.flatnonzero((numbers != numbers[-1]).any(axis=1))[-1]) + 1 if (numbers != numbers[-1]).any() else 0
        if end:
            yield table.slice(0, end).unify_dictionaries().combine_chunks()
        rest = table.slice(end)
        waiting, count = rest.to_batches(), rest.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting).unify_dictionaries().combine_chunks()


def _numbers(rows: pa.Table) -> np.ndarray:
    """The number of each row's dossier, as two 64-bit halves."""
    array = rows.column("dossier").combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    data = np.frombuffer(array.buffers()[1], dtype=np.uint8)[array.offset * 16 : (array.offset + len(array)) * 16]
    found: np.ndarray = data.view("<u8").reshape(-1, 2)
    return found


def _checked(rows: pa.Table, levels: Callable[[Collection[str]], CatalogueLevels]) -> CheckedBlock:
    numbers = _numbers(rows)
    dossier = np.cumsum(np.r_[False, (numbers[1:] != numbers[:-1]).any(axis=1)])
    columns = {name: rows.column(name).to_numpy() for name in ("plus", "minus", "seen")}
    stored, indexed, corrected, waiting = (
        rows.column(name).to_numpy() > 0 for name in ("stored", "indexed", "corrected", "in_hand")
    )
    sent = message_columns(rows.select(_READ))
    alone = bits_alone(sent.status, sent.channel, sent.level, sent.returned)
    alone[~stored] = 0
    facts = rows.column("facts").to_numpy()
    decided, noted = is_decision(facts), is_level_note(facts)
    decisions = decision_columns(sent, np.flatnonzero(stored & decided)) if decided.any() else None
    right = np.zeros(len(stored), dtype=np.uint16)
    known = np.flatnonzero(stored & is_message(facts))
    judged = count_bits(sent.take(known), decisions)
    notes = rows.filter(pa.array(noted)), dossier[noted]
    filled = checked(judged, rows.take(pa.array(known)), dossier[known], notes, levels)
    right[known] = filled.bits
    counted = (alone & ~columns["minus"]) | columns["plus"]
    # A level note is in the index alone. It is written again when it is missing, from the catalogue.
    messages = np.bincount(dossier, weights=stored | noted).astype(np.int64)[dossier]
    claimed, as_now = _claims(rows, counted)

    fault = np.full(len(stored), -1, dtype=np.int8)
    orphaned = ~stored & ~noted & (indexed | claimed)
    too_many_seen = corrected & (columns["seen"] > messages)
    # A message has one fault: a later line replaces an earlier one.
    # A decision counts as nothing, claims nothing and has no correction.
    for where, kind in (
        (stored & (~indexed | (corrected & ~as_now)), DossierFault.UNINDEXED),
        (orphaned, DossierFault.ORPHANED),
        (stored & corrected & ((counted != right) | too_many_seen), DossierFault.WRONG),
        (corrected & (~stored | ((counted != right) & (right == alone))), DossierFault.SURPLUS),
        (stored & ~corrected & (right != alone), DossierFault.MISSING),
    ):
        fault[where] = _POSITION[kind]
    passed_over = np.bincount(dossier, weights=waiting)[dossier] > 0
    fault[passed_over] = -1
    weights = orphaned | too_many_seen | (corrected & ~stored)
    weights[known] |= filled.contradicted
    stale = np.bincount(dossier, weights=weights)[dossier] > 0
    return CheckedBlock(rows, fault, counted, right, dossier, stale, passed_over)


def _claims(rows: pa.Table, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each message whether it has a claim, and whether one of its claims says what it counts as now."""
    array = rows.column("claims").combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    lengths = np.diff(array.offsets.to_numpy())
    owner, values = np.repeat(np.arange(len(lengths)), lengths), array.flatten().to_numpy()
    as_now = np.zeros(len(lengths), dtype=bool)
    as_now[owner[values == counted[owner] + np.uint16(1)]] = True
    return lengths > 0, as_now


def _summary(block: CheckedBlock) -> DossierFaults:
    counts = np.bincount(block.fault[block.fault >= 0], minlength=len(DossierFault))
    examples: list[FaultyMessage] = []
    if counts.any():
        for fault, position in _POSITION.items():
            examples += [_example(block, int(row), fault) for row in np.flatnonzero(block.fault == position)[:_EXAMPLES]]
    dossiers = int(block.dossier[-1]) + 1
    passed_over = len(np.unique(block.dossier[block.in_hand]))
    return DossierFaults(
        messages=int((block.rows.column("stored").to_numpy() > 0)[is_message(block.rows.column("facts").to_numpy())].sum()),
        dossiers=dossiers - passed_over,
        in_hand=passed_over,
        faults={fault: int(counts[position]) for fault, position in _POSITION.items()},
        examples=tuple(examples),
    )


def _example(block: CheckedBlock, row: int, fault: DossierFault) -> FaultyMessage:
    fields = block.rows.select(["dossier", "occurred_at", "agency", "event_id"]).slice(row, 1)
    dossier, occurred_at = fields.column("dossier")[0].as_py(), fields.column("occurred_at")[0].as_py()
    # ``id`` is two little-endian halves of the text.
    identity = block.rows.column("id")[row].as_py()
    text = f"{int.from_bytes(identity[:8], 'little'):016x}{int.from_bytes(identity[8:], 'little'):016x}"
    event_id = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    ref = EventRef(fields.column("agency")[0].as_py(), occurred_at, event_id, dossier.hex())
    return FaultyMessage(fault, ref, _names(int(block.counted[row])), _names(int(block.right[row])))


def _names(bits: int) -> tuple[str, ...]:
    return tuple(name for position, name in enumerate(BITS) if bits >> position & 1)


def _named(message: EventRef, codes: Mapping[bytes, str]) -> EventRef:
    """The message with the code of its dossier instead of the number; the code is empty when no message of it is stored."""
    return replace(message, dossier_code=codes.get(bytes.fromhex(message.dossier_code), ""))


def _limited(examples: Iterable[FaultyMessage]) -> Iterator[FaultyMessage]:
    seen = _no_faults()
    for example in examples:
        seen[example.fault] += 1
        if seen[example.fault] <= _EXAMPLES:
            yield example


def days_of(rows: pa.Table) -> dict[dt.date, set[str]]:
    """Civil day -> agencies, of the messages among ``rows``. Decisions and level notes have no day and are ignored."""
    rows = rows.filter(pa.array(is_message(rows.column("facts").to_numpy())))
    keys = pa.table({"day": rows.column("occurred_at"), "agency": rows.column("agency").cast(pa.string())})
    found: dict[dt.date, set[str]] = {}
    for row in keys.group_by(["day", "agency"]).aggregate([]).to_pylist():
        found.setdefault(civil_day(row["day"]), set()).add(row["agency"])
    return found
