"""Some messages as one array of bytes, so that byte ranges of all of them are compared and cut out in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from domain.errors import InvariantError
from domain.events import MAX_MESSAGE_BYTES
from pipeline.decode.message_template import MAX_TEMPLATE_LENGTH

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_ZERO: Final = ord("0")
_NINE: Final = 9
_WORD: Final = 8
_SPACE: Final = ord(" ")
_LAST_ASCII: Final = 127
#: In a large block, fewer messages than this with one template are left to the parser: matching them would take as long.
_MIN_ROWS: Final = 64


class MessageBlock:
    """Some messages as one array of bytes, with the offsets of their boundaries and quotation marks."""

    def __init__(self, values: Sequence[bytes | None], first_position: int) -> None:
        self.values, self.first_position = values, first_position
        #: A template must match more messages than this.
        self.min_rows = min(_MIN_ROWS, len(values) // 2)
        # A message that is too large is not an event. Without them a block stays far below the 2 GiB that its offsets can count.
        present = [value if value and len(value) <= MAX_MESSAGE_BYTES else b"" for value in values]
        lengths = np.fromiter(map(len, present), dtype=np.int64, count=len(present))
        #: All messages, then enough zeros to read a whole template after the last message.
        self.text = b"".join((*present, bytes(MAX_TEMPLATE_LENGTH + 64)))
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.bytes = np.frombuffer(self.text, dtype=np.uint8)
        seen = self.bytes[: int(self.ends[-1])]
        #: Offsets of the quotation marks, the index in ``quotes`` of each message's first one, and their number in each message.
        self.quotes = np.flatnonzero(seen == _QUOTE).astype(np.int32)
        self.first_quote = self._first_quotes()
        self.quotes_of_row = np.diff(self.first_quote, append=len(self.quotes))
        #: Messages in UTF-8 without control characters and backslashes, neither empty nor too large.
        self.plain = self._plain(seen, lengths)

    def _first_quotes(self) -> Positions:
        rows = len(self.starts)
        each = len(self.quotes) // rows
        if each:  # when every message has the same number of quotes, no search is necessary
            first = np.arange(rows, dtype=np.int64) * each
            if (self.quotes[first] >= self.starts).all() and (self.quotes[first + each - 1] < self.ends).all():
                return first
        return np.searchsorted(self.quotes, self.starts)

    def _plain(self, seen: npt.NDArray[np.uint8], lengths: Positions) -> Flags:
        plain: Flags = lengths > 0
        odd = np.zeros(0, dtype=np.int64)
        if len(seen) and seen.min() < _SPACE:
            odd = np.flatnonzero(seen < _SPACE)
        if b"\\" in self.text:
            odd = np.append(odd, np.flatnonzero(seen == _BACKSLASH))
        if len(seen) and seen.max() > _LAST_ASCII:
            try:
                self.text.decode("utf-8")  # a template begins and ends in ASCII, so no character spans two messages
            except UnicodeDecodeError:
                odd = np.append(odd, np.flatnonzero(seen > _LAST_ASCII))
        plain[np.searchsorted(self.ends, odd, side="right")] = False
        return plain

    def quotes_in(self, rows: Positions, count: int) -> npt.NDArray[np.int32]:
        """The offsets of the quotation marks of rows that have ``count`` of them each, as an array of shape (count, rows)."""
        if len(rows) * count == len(self.quotes):
            return np.ascontiguousarray(self.quotes.reshape(len(rows), count).T)
        found: npt.NDArray[np.int32] = self.quotes[self.first_quote[rows] + np.arange(count)[:, np.newaxis]]
        return found


def equals_at(text: bytes, at: Positions, expected: bytes) -> Flags:
    """For each offset in ``at`` whether ``text`` has ``expected`` there. Eight bytes are compared in one step."""
    words = np.ndarray((len(text) - _WORD + 1,), dtype="<u8", buffer=text, strides=(1,))
    fits: Flags = at >= 0
    at = np.maximum(at, 0)
    if len(expected) < _WORD:
        mask = np.uint64((1 << 8 * len(expected)) - 1)
        fits &= (words[at] & mask) == np.uint64(int.from_bytes(expected, "little"))
        return fits
    for offset in (*range(0, len(expected) - _WORD, _WORD), len(expected) - _WORD):  # the last word may overlap the one before
        fits &= words[at + offset] == np.uint64(int.from_bytes(expected[offset : offset + _WORD], "little"))
    return fits


def are_numbers(seen: npt.NDArray[np.uint8], first: Positions, end: Positions) -> Flags:
    """For each byte range whether it is one digit, or two digits that do not begin with 0. ``end`` is not part of a range."""
    width = end - first
    high, low = seen[first] - _ZERO, seen[np.maximum(end - 1, 0)] - _ZERO  # a byte below the digits wraps to a large number
    fits: Flags = (low <= _NINE) & ((width == 1) | ((width == 2) & (high >= 1) & (high <= _NINE)))
    return fits


def numbers_in(seen: npt.NDArray[np.uint8], first: Positions, end: Positions) -> npt.NDArray[np.uint8]:
    """The number in each byte range, which is one or two digits."""
    low = seen[end - 1] - _ZERO
    return np.where(end - first == 1, low, (seen[first] - _ZERO) * 10 + low).astype(np.uint8)


def texts_in(text: bytes, first: Positions, end: Positions) -> pa.Array:
    """The text in each byte range, all copied in one step: every second element of an array whose elements cover ``text``."""
    offsets = np.empty(2 * len(first) + 1, dtype=np.int32)
    offsets[0:-1:2], offsets[1::2], offsets[-1] = first, end, end[-1]
    if (offsets[1:] < offsets[:-1]).any():  # Arrow does not check its offsets
        raise InvariantError("Values of matched messages overlap.", remedy="Nothing was acknowledged; please report it.")
    elements = pa.StringArray.from_buffers(2 * len(first), pa.py_buffer(offsets), pa.py_buffer(text))
    return elements.take(pa.array(np.arange(0, 2 * len(first), 2, dtype=np.int32)))
