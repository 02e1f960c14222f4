"""Finds the fields of many messages at once where the messages are laid out alike, without parsing each of them.

A portal's serialiser writes the same bytes around the values every time: ``{"event_id":"`` … ``","status":`` … ``}``. Such a
*layout* is learnt from one message; whether another message has it is a comparison of those bytes at the places where its
quotation marks stand, done for thousands of messages in one step. A message matches only if it is, byte for byte, the
layout's text with plain values between: no escapes, no control characters, whole numbers of one or two digits. That text is
JSON with these values and nothing else, so a match needs no parser; everything that does not match goes to one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from domain.errors import InvariantError
from domain.events import MAX_MESSAGE_BYTES

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_ZERO: Final = ord("0")
_NINE: Final = 9
_WORD: Final = 8
_SPACE: Final = ord(" ")
_LAST_ASCII: Final = 127
#: A layout that is longer than this, values left out, is not learnt (bytes).
_LONGEST: Final = 4_096
#: Messages looked at together: their bytes and quotation marks stay in the second-level cache.
_BLOCK: Final = 4_096
#: Layouts remembered, and how many are learnt at most from one block of messages.
_REMEMBERED, _LEARNT_AT_ONCE = 32, 4
#: Among many messages, fewer than this of one layout are left to the parser: the steps cost as much as parsing them.
_WORTH_IT: Final = 64

#: One member of a flat object: key, then a text without escapes, a small whole number, or null.
_MEMBER: Final = re.compile(rb'( *)"([A-Za-z0-9_.-]+)"( *: *)(?:"([^"\\]*)"|([1-9]?[0-9])|(null))( *)([,}])')


@dataclass(frozen=True, slots=True)
class _Value:
    """One value of a layout: where it begins is known from the text before it, where it ends from a quotation mark."""

    name: str  # "" for a member that is passed over
    is_text: bool
    mark: int  # text: index of its closing mark; number: index of the first mark behind it, or -1 at the end of the message
    tail: int  # number: bytes between its last digit and that mark (or the end)


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """The bytes around the values: ``texts[n]`` stands before ``values[n]``, the last text at the end."""

    texts: tuple[bytes, ...]
    values: tuple[_Value, ...]
    marks: int  # quotation marks in a message

    @property
    def fields(self) -> frozenset[str]:
        """Names of the values."""
        return frozenset(value.name for value in self.values)


def learn(message: bytes, *, texts: frozenset[str], numbers: frozenset[str]) -> MessageTemplate | None:
    """The layout of one message, or None when it has none that could be matched.

    Args:
        message: a message value.
        texts: fields that must be texts when they are there.
        numbers: fields that must be numbers when they are there. Members that are neither may be texts; they are passed over.
    """
    if not message.startswith(b"{"):
        return None
    at, before, marks = 1, b"{", 0
    found: list[tuple[bytes, str, bool, int]] = []  # text before, name, is text, marks up to the value
    seen: set[bytes] = set()
    while member := _MEMBER.match(message, at):
        lead, key, colon, text, number, null, trail, closing = member.groups()
        name = key.decode()
        if key in seen or (number is not None and name not in numbers) or (text is not None and name in numbers):
            return None
        seen.add(key)
        before += lead + b'"' + key + b'"' + colon
        marks += 2
        if text is not None:
            found.append((before + b'"', name if name in texts else "", True, marks + 1))
            before, marks = b'"', marks + 2
        elif number is not None:
            found.append((before, name, False, marks))
            before = b""
        else:
            before += null
        before += trail + closing
        at = member.end()
        if closing == b"}":
            break
    else:
        return None
    if at != len(message) or sum(len(text) for text, *_ in found) + len(before) > _LONGEST:
        return None
    pieces = (*(text for text, *_ in found), before)
    values = []
    for (_, name, is_text, mark), behind in zip(found, pieces[1:], strict=True):
        opening = behind.find(b'"')
        values.append(
            _Value(name, is_text=True, mark=mark, tail=0)
            if is_text
            else _Value(name, is_text=False, mark=mark if opening >= 0 else -1, tail=opening if opening >= 0 else len(behind))
        )
    return MessageTemplate(pieces, tuple(values), marks)


class Group:
    """Messages of one layout, in ascending positions, and the columns of their values."""

    def __init__(self) -> None:
        self._positions: list[Positions] = []
        self._texts: dict[str, list[pa.Array]] = {}
        self._numbers: dict[str, list[npt.NDArray[np.uint8]]] = {}

    @property
    def positions(self) -> Positions:
        """Index of each message among those given to ``MessageTemplates.split``."""
        return np.concatenate(self._positions)

    def column(self, name: str) -> pa.ChunkedArray | None:
        """The values of a field, text or uint8; None when the layout has no such field."""
        if name in self._texts:
            return pa.chunked_array(self._texts[name])
        if name in self._numbers:
            return pa.chunked_array([pa.array(np.concatenate(self._numbers[name]))])
        return None

    def add(self, positions: Positions, texts: Mapping[str, pa.Array], numbers: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Messages of a further block."""
        self._positions.append(positions)
        for name, column in texts.items():
            self._texts.setdefault(name, []).append(column)
        for name, digits in numbers.items():
            self._numbers.setdefault(name, []).append(digits)


class MessageTemplates:
    """Remembers the layouts seen. Safe to use from several threads: what one forgets another learns again.

    Args:
        texts: fields that are texts.
        numbers: fields that are whole numbers of at most two digits.
        required: a layout without all of these is not learnt.
    """

    def __init__(self, *, texts: Iterable[str], numbers: Iterable[str], required: Iterable[str]) -> None:
        self._texts, self._numbers, self._required = frozenset(texts), frozenset(numbers), frozenset(required)
        self._known: tuple[MessageTemplate, ...] = ()

    def split(self, values: Sequence[bytes | None]) -> tuple[list[Group], Positions]:
        """Sort messages by layout.

        Returns:
            the groups, and the positions of the messages that match no layout (ascending).
        """
        groups: defaultdict[MessageTemplate, Group] = defaultdict(Group)
        rest = [np.empty(0, np.int64)]
        for start in range(0, len(values), _BLOCK):
            block = _Block(values[start : start + _BLOCK], start)
            rest.append(start + self._sort(block, groups))
        return list(groups.values()), np.concatenate(rest)

    def _sort(self, block: _Block, groups: defaultdict[MessageTemplate, Group]) -> Positions:
        """Add the block's messages to their groups; returns the rows that match no layout."""
        left = np.flatnonzero(block.plain)
        known = self._known
        used: list[MessageTemplate] = []
        for layout in known:
            left, found = self._take(block, layout, left, groups)
            used += [layout] if found else []
        for attempt in range(_LEARNT_AT_ONCE):
            if len(left) <= block.worth:
                break
            # Not always the first: it may be one that has no layout, for ever in front of those that have.
            message = block.values[int(left[len(left) * attempt // _LEARNT_AT_ONCE])]
            learnt = learn(message or b"", texts=self._texts, numbers=self._numbers)
            if learnt is not None and learnt not in known and self._required <= learnt.fields:
                left, found = self._take(block, learnt, left, groups)
                used += [learnt] if found else []
        if used:
            self._known = tuple(dict.fromkeys((*used, *known)))[:_REMEMBERED]
        others = np.flatnonzero(~block.plain)
        return np.sort(np.concatenate((others, left))) if len(others) else left

    def _take(
        self, block: _Block, layout: MessageTemplate, rows: Positions, groups: defaultdict[MessageTemplate, Group]
    ) -> tuple[Positions, bool]:
        """Move the rows that have the layout into its group; returns the others, and whether there were any."""
        alike = block.marks_of_row[rows] == layout.marks
        chosen = rows if alike.all() else rows[alike]
        if len(chosen) <= block.worth:
            return rows, False
        match = _Match.of(block, layout, chosen)
        if not match.fits.any():
            return rows, False
        match.add_to(groups[layout], block)
        taken = np.zeros(len(block.values), dtype=bool)
        taken[chosen[match.fits]] = True
        return rows[~taken[rows]], True


class _Block:
    """Some messages as one text, and where things are in it."""

    def __init__(self, values: Sequence[bytes | None], first_position: int) -> None:
        self.values, self.first_position = values, first_position
        self.worth = min(_WORTH_IT, len(values) // 2)
        # What is too large is no event; left out, a block stays far below the 2 GiB that its offsets can count.
        present = [value if value and len(value) <= MAX_MESSAGE_BYTES else b"" for value in values]
        lengths = np.fromiter(map(len, present), dtype=np.int64, count=len(present))
        #: All messages, then so many zeros that reading behind the last is harmless.
        self.text = b"".join((*present, bytes(_LONGEST + 64)))
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.bytes = np.frombuffer(self.text, dtype=np.uint8)
        seen = self.bytes[: int(self.ends[-1])]
        #: Places of the quotation marks, the first one of each message (an index of ``marks``), and how many it has.
        self.marks = np.flatnonzero(seen == _QUOTE).astype(np.int32)
        self.first_mark = self._first_marks()
        self.marks_of_row = np.diff(self.first_mark, append=len(self.marks))
        #: Messages in UTF-8 without control characters and backslashes, neither empty nor too large.
        self.plain = self._plain(seen, lengths)

    def _first_marks(self) -> Positions:
        rows = len(self.starts)
        each = len(self.marks) // rows
        if each:  # the same number in every message? Then there is nothing to search.
            first = np.arange(rows, dtype=np.int64) * each
            if (self.marks[first] >= self.starts).all() and (self.marks[first + each - 1] < self.ends).all():
                return first
        return np.searchsorted(self.marks, self.starts)

    def _plain(self, seen: npt.NDArray[np.uint8], lengths: Positions) -> Flags:
        plain: Flags = lengths > 0
        odd = np.zeros(0, dtype=np.int64)
        if len(seen) and seen.min() < _SPACE:
            odd = np.flatnonzero(seen < _SPACE)
        if b"\\" in self.text:
            odd = np.append(odd, np.flatnonzero(seen == _BACKSLASH))
        if len(seen) and seen.max() > _LAST_ASCII:
            try:
                self.text.decode("utf-8")  # a layout begins and ends in ASCII, so no character reaches into a neighbour
            except UnicodeDecodeError:
                odd = np.append(odd, np.flatnonzero(seen > _LAST_ASCII))
        plain[np.searchsorted(self.ends, odd, side="right")] = False
        return plain

    def marks_in(self, rows: Positions, count: int) -> npt.NDArray[np.int32]:
        """The places of the marks of rows that have ``count`` each: a line for each mark, a column for each row."""
        if len(rows) * count == len(self.marks):
            return np.ascontiguousarray(self.marks.reshape(len(rows), count).T)
        found: npt.NDArray[np.int32] = self.marks[self.first_mark[rows] + np.arange(count)[:, np.newaxis]]
        return found


@dataclass(frozen=True, slots=True)
class _Match:
    """Which of some rows have a layout, and where their values are."""

    layout: MessageTemplate
    rows: Positions
    fits: Flags
    spans: tuple[tuple[Positions, Positions], ...]  # first byte and end of each value, a pair for each of the layout's

    @classmethod
    def of(cls, block: _Block, layout: MessageTemplate, rows: Positions) -> _Match:
        """Compare: every text of the layout at its place, from the first byte to the last, leaves only the values.

        The quotation marks inside a text are the row's own marks in their order, because no other stands between them; so
        the mark that ends a value is known by its number.
        """
        ends = block.ends[rows]
        marks = block.marks_in(rows, layout.marks)
        fits: Flags = np.ones(len(rows), dtype=bool)
        spans = []
        at = block.starts[rows]
        for text, value in zip(layout.texts, layout.values, strict=False):
            fits &= _reads(block.text, at, text)
            first = at + len(text)
            at = (marks[value.mark] if value.mark >= 0 else ends) - np.int64(value.tail)
            if not value.is_text:
                fits &= _are_numbers(block.bytes, first, at)
            spans.append((first, at))
        fits &= _reads(block.text, at, layout.texts[-1])
        fits &= at + len(layout.texts[-1]) == ends
        return cls(layout, rows, fits, tuple(spans))

    def add_to(self, group: Group, block: _Block) -> None:
        """The rows that fit, with their values as columns."""
        every = bool(self.fits.all())
        texts, numbers = {}, {}
        for value, (first, end) in zip(self.layout.values, self.spans, strict=True):
            if not value.name:
                continue
            span = (first, end) if every else (first[self.fits], end[self.fits])
            if value.is_text:
                texts[value.name] = _texts(block.text, *span)
            else:
                numbers[value.name] = _numbers(block.bytes, *span)
        rows = self.rows if every else self.rows[self.fits]
        group.add(rows + block.first_position, texts, numbers)


def _reads(text: bytes, at: Positions, wanted: bytes) -> Flags:
    """Whether ``wanted`` stands at each of the places; eight bytes are compared in one step."""
    words = np.ndarray((len(text) - _WORD + 1,), dtype="<u8", buffer=text, strides=(1,))
    fits: Flags = at >= 0
    at = np.maximum(at, 0)
    if len(wanted) < _WORD:
        mask = np.uint64((1 << 8 * len(wanted)) - 1)
        fits &= (words[at] & mask) == np.uint64(int.from_bytes(wanted, "little"))
        return fits
    for offset in (*range(0, len(wanted) - _WORD, _WORD), len(wanted) - _WORD):  # the last word may overlap the one before
        fits &= words[at + offset] == np.uint64(int.from_bytes(wanted[offset : offset + _WORD], "little"))
    return fits


def _are_numbers(seen: npt.NDArray[np.uint8], first: Positions, end: Positions) -> Flags:
    """Whether one digit, or two that do not begin with 0, stand at each of the places."""
    width = end - first
    high, low = seen[first] - _ZERO, seen[np.maximum(end - 1, 0)] - _ZERO  # below the digits wraps around to large numbers
    fits: Flags = (low <= _NINE) & ((width == 1) | ((width == 2) & (high >= 1) & (high <= _NINE)))
    return fits


def _numbers(seen: npt.NDArray[np.uint8], first: Positions, end: Positions) -> npt.NDArray[np.uint8]:
    low = seen[end - 1] - _ZERO
    return np.where(end - first == 1, low, (seen[first] - _ZERO) * 10 + low).astype(np.uint8)


def _texts(text: bytes, first: Positions, end: Positions) -> pa.Array:
    """The texts between the places, copied out at once: every second piece of an array whose pieces cover all of ``text``."""
    offsets = np.empty(2 * len(first) + 1, dtype=np.int32)
    offsets[0:-1:2], offsets[1::2], offsets[-1] = first, end, end[-1]
    if (offsets[1:] < offsets[:-1]).any():  # Arrow would read wherever they point to
        raise InvariantError("Values of matched messages overlap.", remedy="Nothing was acknowledged; please report it.")
    pieces = pa.StringArray.from_buffers(2 * len(first), pa.py_buffer(offsets), pa.py_buffer(text))
    return pieces.take(pa.array(np.arange(0, 2 * len(first), 2, dtype=np.int32)))
