"""Computes the partition of a key: murmur2 as Kafka's own clients compute it, for many keys at once.

So a dossier keeps its partition whichever Kafka client sends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

_SEED: Final = 0x9747B28C
_M: Final = np.uint32(0x5BD1E995)
_R: Final = np.uint32(24)


def murmur2(keys: Sequence[bytes]) -> np.ndarray:
    """The hash of each key as unsigned 32 bits (org.apache.kafka.common.utils.Utils.murmur2)."""
    lengths = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    hashes = np.empty(len(keys), dtype=np.uint32)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        packed = b"".join([keys[row] for row in rows.tolist()])
        hashes[rows] = _of_one_length(np.frombuffer(packed, dtype=np.uint8).reshape(len(rows), length), length)
    return hashes


def partitions_of(keys: Sequence[bytes | None], count: int, *, start: int = 0) -> list[int]:
    """The partition of each key among ``count``; messages without a key are spread evenly, from partition ``start`` on."""
    hashes = murmur2([key or b"" for key in keys])
    chosen: list[int] = ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(count)).tolist()
    for row, key in enumerate(keys):
        if key is None:
            chosen[row] = (start + row) % count
    return chosen


def _of_one_length(octets: np.ndarray, length: int) -> np.ndarray:
    whole = length // 4
    words = np.ascontiguousarray(octets[:, : whole * 4]).view("<u4")
    h = np.full(len(octets), (_SEED ^ length) & 0xFFFFFFFF, dtype=np.uint32)
    for column in range(whole):
        k = words[:, column] * _M
        k = (k ^ (k >> _R)) * _M
        h = (h * _M) ^ k
    tail = octets[:, whole * 4 :].astype(np.uint32)
    for number in range(length % 4):
        h ^= tail[:, number] << np.uint32(8 * number)
    if length % 4:
        h *= _M
    h ^= h >> np.uint32(13)
    h *= _M
    return h ^ (h >> np.uint32(15))
