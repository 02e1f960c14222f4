"""Rows of dossiers as columns: those of the index, those that the rules read, and which rows are the same message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from domain.dossier_columns import LEVEL_RANKS, NO_DUE, RETURN_RANKS, DecisionColumns, MessageColumns
from sinks.contract.dossiers import INDEX_SCHEMA, facts_of, fields_of, flags_of

#: What is read of a stored row.
RESOLVED_COLUMNS: Final = (
    *INDEX_SCHEMA.names[:6],
    *("status", "channel", "service_level", "returned_by", "legacy_level", "named_by_code"),
)
#: An odd number without a pattern, for a hash.
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)


def indexed_rows(rows: pa.Table) -> pa.Table:
    """Stored rows (``RESOLVED_COLUMNS``) as rows of the index (``INDEX_SCHEMA``)."""
    small = {
        "status": rows.column("status").to_numpy(),
        "channel": rows.column("channel").to_numpy(),
        "level": _ranks(rows.column("service_level"), LEVEL_RANKS),
        "returned": _ranks(rows.column("returned_by"), RETURN_RANKS),
    }
    facts = facts_of(
        **small, legacy=rows.column("legacy_level").to_numpy(), named=rows.column("named_by_code").to_numpy(zero_copy_only=False)
    )
    columns = [rows.column(name) for name in INDEX_SCHEMA.names[:6]]
    return pa.table([*columns, pa.array(facts), pa.array(flags_of(**small))], names=INDEX_SCHEMA.names)


def _ranks(column: pa.ChunkedArray, ranks: tuple[str, ...]) -> np.ndarray:
    """The position in ``ranks`` of each text of a column."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    of_code = np.array([ranks.index(text) for text in array.dictionary.to_pylist()], dtype=np.uint8)
    found: np.ndarray = of_code[array.indices.to_numpy()] if len(of_code) else np.zeros(0, dtype=np.uint8)
    return found


def message_columns(rows: pa.Table) -> MessageColumns:
    """The columns that the rules read, from rows of ``DossierIndex.histories``."""
    due = rows.column("due_at").cast(pa.int64()).to_numpy()
    halves = _fixed(rows.column("id")).view("<u8").reshape(-1, 2)
    return MessageColumns(
        dossier=_numbered(rows.column("dossier")),
        occurred_at=rows.column("occurred_at").cast(pa.int64()).to_numpy(),
        due=np.where(due == 0, NO_DUE, due),
        id_high=halves[:, 0],
        id_low=halves[:, 1],
        procedure=_text_ranks(rows.column("procedure_code")),
        unit=_text_ranks(rows.column("agency")),
        **fields_of(rows.column("facts").to_numpy()),
    )


def decision_columns(rows: MessageColumns, positions: np.ndarray) -> DecisionColumns:
    """The distinct decisions among rows of the index; ``positions``: where decision rows are (``sinks.contract.exclusions``)."""
    decided = rows.take(positions)
    _, first = distinct_messages(decided, np.zeros(len(positions), dtype=np.uint16))
    decided = decided.take(first)
    # The bit that says that a decision excludes is the first of the channel.
    return DecisionColumns(decided.dossier, decided.occurred_at, decided.id_high, decided.id_low, (decided.channel & 1) != 0)


def notes_of(rows: pa.Table, columns: MessageColumns, positions: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """The distinct level notes among rows of the index, which are at ``positions``, and the dossier's number of each note."""
    noted = columns.take(positions)
    _, first = distinct_messages(noted, np.zeros(len(positions), dtype=np.uint16))
    return rows.take(pa.array(positions[first])), noted.dossier[first]


def distinct_messages(sent: MessageColumns, claim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the number of its message, and for each distinct message the position of its row.

    ``claim``: 0 for the row of a message, otherwise the row is a claim about it. A claim whose message was deleted has number -1.
    """
    keys = (sent.due, sent.procedure, sent.unit, sent.occurred_at, *sent.small, sent.id_low, sent.id_high, sent.dossier)
    # Sorting by a hash of all columns takes a fraction of the time. Should two messages share it, sort by the columns.
    hashed = _hash(keys)
    order = np.lexsort((claim, hashed))
    same = _equal_neighbours((hashed,), order)
    if not np.array_equal(same, _equal_neighbours(keys, order)):
        order = np.lexsort((claim, *keys))
        same = _equal_neighbours(keys, order)
    begins = np.r_[np.ones(min(len(order), 1), dtype=bool), ~same]
    first = order[begins]
    is_known = claim[first] == 0  # of equal rows the message is the first
    number = np.where(is_known, np.cumsum(is_known) - 1, -1)
    message = np.empty(len(order), dtype=np.int64)
    message[order] = number[np.cumsum(begins) - 1]
    return message, first[is_known]


def _equal_neighbours(keys: Sequence[np.ndarray], order: np.ndarray) -> np.ndarray:
    """For each row except the first, in the order ``order``: whether it equals the row before it in all ``keys``."""
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in keys:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    return same


def _hash(columns: Sequence[np.ndarray]) -> np.ndarray:
    """A hash of each row, uint64: equal rows have equal hashes, different rows almost never."""
    found = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        found = (found ^ column.astype(np.uint64)) * _MULTIPLIER
        found ^= found >> np.uint64(29)
    return found


def _fixed(column: pa.ChunkedArray) -> np.ndarray:
    """The bytes of all values of a column of fixed-size binaries, one after the other."""
    array = column.combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    width = array.type.byte_width
    return np.frombuffer(array.buffers()[1], dtype=np.uint8)[array.offset * width : (array.offset + len(array)) * width]


def _numbered(column: pa.ChunkedArray) -> np.ndarray:
    """For each row the number of its dossier: equal for rows of one dossier, different for others."""
    halves = _fixed(column).view("<u8").reshape(-1, 2)
    # The halves of a hash are random: two dossiers with an equal first half are rare, and told apart.
    _, numbers = np.unique(halves[:, 0], return_inverse=True)
    _, others = np.unique(halves[:, 1], return_inverse=True)
    found: np.ndarray = numbers.astype(np.int64) * (int(others.max(initial=0)) + 1) + others
    return found


def _text_ranks(column: pa.ChunkedArray) -> np.ndarray:
    """The rank of each text among the distinct texts, in the order of their code points."""
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    texts = encoded.dictionary.to_pylist()
    rank = np.empty(len(texts), dtype=np.int64)
    rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    found: np.ndarray = rank[encoded.indices.to_numpy()]
    return found
