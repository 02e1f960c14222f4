"""Computes which shard a dossier belongs to, by the same number as the sharding key of the Distributed tables.

A dossier is stored on one shard with everything that is made from it: messages, index, corrections, its row, and its part of each
tally. So no statement that counts has to read two shards.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

#: The shard as SQL, before ``% shards``: of a row with the number of its dossier, and of one with its code. Both are the lowest
#: 32 bits of the number (migration 0012).
OF_NUMBER: Final = "toUInt32(bitAnd(dossier, 4294967295))"
OF_CODE: Final = "toUInt32(bitAnd(bitShiftRight(reinterpretAsUInt128(sipHash128(dossier_code)), 32), 4294967295))"
#: The initial state of SipHash with a key of zeros.
_INITIAL: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
#: Codes hashed at once, so that the memory for long ones stays small.
_AT_ONCE: Final = 65_536


def shard_of_codes(codes: pa.Array | pa.ChunkedArray, shards: int) -> np.ndarray:
    """The shard of each dossier code, int64."""
    plain = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    plain = plain.cast(pa.large_binary())
    pieces = [_hashed(plain.slice(start, _AT_ONCE)) for start in range(0, len(plain), _AT_ONCE)]
    hashes = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.uint64)
    found: np.ndarray = ((hashes >> np.uint64(32)) % np.uint64(shards)).astype(np.int64)
    return found


def shard_of_numbers(dossiers: pa.Array | pa.ChunkedArray, shards: int) -> np.ndarray:
    """The shard of each dossier number (16 bytes, little-endian), int64."""
    plain = dossiers.combine_chunks() if isinstance(dossiers, pa.ChunkedArray) else dossiers
    words = np.frombuffer(plain.buffers()[1], dtype="<u4").reshape(-1, 4)[plain.offset : plain.offset + len(plain)]
    found: np.ndarray = (words[:, 0] % np.uint32(shards)).astype(np.int64)
    return found


def shard_of_number(dossier: bytes, shards: int) -> int:
    """The shard of one dossier number."""
    return int.from_bytes(dossier[:4], "little") % shards


def _hashed(codes: pa.Array) -> np.ndarray:
    """The lower half of ``sipHash128`` of each text, uint64.

    All texts with the same number of 8-byte words are hashed together.
    """
    _, offsets_buffer, data_buffer = codes.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[codes.offset : codes.offset + len(codes) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else np.zeros(0, dtype=np.uint8)
    lengths = np.diff(offsets)
    words = lengths // 8 + 1  # the last one holds the rest and the length
    found = np.zeros(len(codes), dtype=np.uint64)
    for count in np.unique(words).tolist():
        rows = np.flatnonzero(words == count)
        padded = np.zeros((len(rows), count * 8), dtype=np.uint8)
        place = np.arange(count * 8)
        inside = place < lengths[rows, None]
        padded[inside] = data[(offsets[rows, None] + place)[inside]]
        padded[:, -1] = (lengths[rows] & 0xFF).astype(np.uint8)
        found[rows] = _sip_hash(padded.view("<u8"))
    return found


def _sip_hash(blocks: np.ndarray) -> np.ndarray:
    """SipHash-2-4 with a key of zeros of rows of words, (texts, words) uint64: the first half of ClickHouse's 128 bits."""
    v0, v1, v2, v3 = (np.full(len(blocks), word, dtype=np.uint64) for word in _INITIAL)
    for word in blocks.T:
        v3 = v3 ^ word
        v0, v1, v2, v3 = _round(*_round(v0, v1, v2, v3))
        v0 = v0 ^ word
    v2 = v2 ^ np.uint64(0xFF)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    found: np.ndarray = v0 ^ v1
    return found


def _round(
    v0: np.ndarray, v1: np.ndarray, v2: np.ndarray, v3: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    v0 = v0 + v1
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 = v2 + v3
    v3 = _rotated(v3, 16) ^ v2
    v0 = v0 + v3
    v3 = _rotated(v3, 21) ^ v0
    v2 = v2 + v1
    v1 = _rotated(v1, 17) ^ v2
    v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


def _rotated(words: np.ndarray, bits: int) -> np.ndarray:
    found: np.ndarray = (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
    return found
