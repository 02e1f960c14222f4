"""The log files of a partition on a broker: where the last complete record batch ends, and a half-written batch."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Base offset and length of the rest in bytes, at the start of every batch.
_HEAD: Final = struct.Struct(">qi")
#: After them: leader epoch, magic byte, checksum, attributes, last offset minus base offset.
_REST: Final = struct.Struct(">ibihi")


@dataclass(frozen=True, slots=True)
class Segment:
    """The newest log file of one partition of one broker. ``size``: bytes up to the end of the last complete batch."""

    path: Path
    size: int
    end: int  # the offset after the last message
    last: bytes  # the last complete batch


def newest_segment(folder: Path) -> Segment:
    """Read the newest segment below a partition's folder; the broker must not run.

    Raises:
        ValueError: there is none, or it holds no whole batch.
    """
    path = max(folder.glob("*.log"), default=None)
    if path is None:
        raise ValueError(f"{folder} holds no segment")
    data = path.read_bytes()
    size, end, last = 0, 0, b""
    while size + _HEAD.size + _REST.size <= len(data):
        base, length = _HEAD.unpack_from(data, size)
        following = size + _HEAD.size + length
        if length <= 0 or following > len(data):
            break
        last = data[size:following]
        end = base + _REST.unpack_from(data, size + _HEAD.size)[4] + 1
        size = following
    if not last:
        raise ValueError(f"{path} holds no whole batch")
    return Segment(path, size, end, last)


def torn_batch(segment: Segment) -> bytes:
    """The first half of the next batch, as after a power cut during the write."""
    return (struct.pack(">q", segment.end) + segment.last[8:])[: max(_HEAD.size + 1, len(segment.last) // 2)]
