"""The bulk path for messages without a template: Arrow parses many messages as one text.

Arrow reads concatenated objects as separate rows and skips blank messages. A message with two objects beside an empty message
would give the right number of rows, and the fault would go unnoticed. So each value is wrapped as ``{"n":17,"v":...}``:
every message becomes exactly one row, as the number n proves, and anything besides one object is an unexpected field.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from domain.events import MAX_MESSAGE_BYTES, MAX_NESTING
from pipeline.decode.event_schema import MESSAGE_FIELDS
from pipeline.decode.known_fields import known_fields

#: Most messages in one text.
MAX_MESSAGES: Final = 32_000
#: A text that does not parse is parsed again in pieces of this many messages, so that a bad message slows only its own piece.
_PIECE: Final = 2_000
_PARSE: Final = pj.ParseOptions(
    explicit_schema=pa.schema([("n", pa.int32()), ("v", pa.struct(list(MESSAGE_FIELDS)))]), unexpected_field_behavior="error"
)
#: Blocks of 1 MB stay in the second-level cache. Arrow's threads do not hold the interpreter lock.
_READ: Final = pj.ReadOptions(use_threads=True, block_size=1 << 20)

#: A column for each field of a message.
Columns = dict[str, pa.ChunkedArray | None]


def parse_in_pieces(
    values: Sequence[bytes | None], positions: np.ndarray, doubtful: list[int]
) -> Iterator[tuple[np.ndarray, Columns]]:
    """Parse the messages at ``positions``.

    Yields:
        Positions and columns of messages that were parsed. The positions of the other messages are added to ``doubtful``.
    """
    chosen = values if len(positions) == len(values) else [values[int(position)] for position in positions]
    whole = parse(chosen)
    if whole is not None:
        yield positions, whole
        return
    for start in range(0, len(chosen), _PIECE):
        piece, piece_positions = chosen[start : start + _PIECE], positions[start : start + _PIECE]
        columns = parse(piece) if len(piece) < len(chosen) else None
        columns = columns or parse(_without_unknown_fields(piece))
        if columns is None:
            doubtful.extend(piece_positions.tolist())
        else:
            yield piece_positions, columns


def parse(values: Sequence[bytes | None]) -> Columns | None:
    """Field -> column with a row for each value; None when a value is not certainly one JSON object of known fields."""
    if not values:
        return None
    try:
        if max(map(len, values)) > MAX_MESSAGE_BYTES:  # type: ignore[arg-type]
            return None
        table = pj.read_json(pa.BufferReader(wrap(values)), parse_options=_PARSE, read_options=_READ)  # type: ignore[arg-type]
    except (TypeError, pa.ArrowInvalid):  # TypeError: a tombstone has no length
        return None
    if not _one_row_each(table, len(values)):
        return None
    flat = pa.Table.from_batches([pa.RecordBatch.from_struct_array(chunk) for chunk in table.column("v").chunks])
    return {name: flat.column(index) for index, (name, _) in enumerate(MESSAGE_FIELDS)}


def wrap(values: Sequence[bytes]) -> bytes:
    """All values as one text, each wrapped into an object with its number."""
    parts: list[bytes] = [b""] * (2 * len(values) + 1)
    parts[0:-1:2] = prefixes()[: len(values)]
    parts[1::2] = values
    parts[-1] = b"}\n"
    return b"".join(parts)


@functools.cache
def prefixes() -> tuple[bytes, ...]:
    """For each row number n the text before its value: ``}`` of the row before, then the opening of row n.

    The tuple is cached, because it is the same for every batch.
    """
    return (b'{"n":0,"v":', *(b'}\n{"n":%d,"v":' % number for number in range(1, MAX_MESSAGES)))


def _without_unknown_fields(values: Sequence[bytes | None]) -> list[bytes]:
    """The messages without their unknown fields; an empty list when one of the messages is doubtful.

    Portals may send more fields than the contract has. Validating all such messages one by one would take ten times as long.
    """
    try:
        if any(
            len(value) > MAX_MESSAGE_BYTES or value.count(b"[") + value.count(b"{") > MAX_NESTING  # type: ignore[arg-type,union-attr]
            for value in values
        ):
            return []
        b"".join(values).decode("utf-8")  # type: ignore[arg-type] # msgspec does not check strings that it skips
        return [known_fields(value) for value in values]  # type: ignore[arg-type]
    except (TypeError, UnicodeDecodeError, msgspec.DecodeError):  # TypeError: a tombstone
        return []


def _one_row_each(table: pa.Table, count: int) -> bool:
    """Whether message n became row n, for every n, and each row is an object."""
    if table.num_rows != count or table.column("v").null_count:
        return False
    return bool((table.column("n").to_numpy() == np.arange(count)).all())
