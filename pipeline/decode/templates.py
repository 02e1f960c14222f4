"""Finds the fields of many messages at once when the messages share a template, without parsing each of them.

A portal's serialiser writes the same bytes around the values every time: ``{"event_id":"`` … ``","status":`` … ``}``. Such a
*template* is inferred from one message. Another message matches when these bytes stand at the offsets that its quotation marks
give, which is compared for thousands of messages in one step. A matching message is, byte for byte, the template's text with
plain values between: no escapes, no control characters, whole numbers of one or two digits. That text is JSON with these values
and nothing else, so it needs no parser. Every message that does not match goes to the parser.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.decode.message_block import Flags, MessageBlock, Positions, are_numbers, equals_at, numbers_in, texts_in
from pipeline.decode.message_template import MessageTemplate, infer_template

#: Messages in one block. Portals have many templates, and each costs a few calls for each block that it is in.
_BLOCK: Final = 32_768
#: Templates kept, and how many are inferred at most from one block.
_MAX_TEMPLATES, _INFERRED_PER_BLOCK = 64, 4


class Group:
    """The messages that match one template, in ascending positions, and the columns of their values."""

    def __init__(self) -> None:
        self._positions: list[Positions] = []
        self._texts: dict[str, list[pa.Array]] = {}
        self._numbers: dict[str, list[npt.NDArray[np.uint8]]] = {}

    @property
    def positions(self) -> Positions:
        """Index of each message among the values given to ``MessageTemplates.split``."""
        return np.concatenate(self._positions)

    def column(self, name: str) -> pa.ChunkedArray | None:
        """The values of a field, text or uint8; None when the template has no such field."""
        if name in self._texts:
            return pa.chunked_array(self._texts[name])
        if name in self._numbers:
            return pa.chunked_array([pa.array(np.concatenate(self._numbers[name]))])
        return None

    def add(self, positions: Positions, texts: Mapping[str, pa.Array], numbers: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Add messages of another block: their positions, and field -> values."""
        self._positions.append(positions)
        for name, column in texts.items():
            self._texts.setdefault(name, []).append(column)
        for name, digits in numbers.items():
            self._numbers.setdefault(name, []).append(digits)


class MessageTemplates:
    """The templates of the messages seen so far. Several threads may use it: a template that one of them loses is inferred again.

    Args:
        texts: fields that are texts.
        numbers: fields that are whole numbers of at most two digits.
        required: a template without all of these is not used.
    """

    def __init__(self, *, texts: Iterable[str], numbers: Iterable[str], required: Iterable[str]) -> None:
        self._texts, self._numbers, self._required = frozenset(texts), frozenset(numbers), frozenset(required)
        self._known: tuple[MessageTemplate, ...] = ()

    def split(self, values: Sequence[bytes | None]) -> tuple[list[Group], Positions]:
        """Sort messages by template.

        Returns:
            the groups, and the positions of the messages that match no template (ascending).
        """
        groups: defaultdict[MessageTemplate, Group] = defaultdict(Group)
        rest = [np.empty(0, np.int64)]
        for start in range(0, len(values), _BLOCK):
            block = MessageBlock(values[start : start + _BLOCK], start)
            rest.append(start + self._sort(block, groups))
        return list(groups.values()), np.concatenate(rest)

    def _sort(self, block: MessageBlock, groups: defaultdict[MessageTemplate, Group]) -> Positions:
        """Add the block's messages to the groups of their templates; return the rows that match no template."""
        left = np.flatnonzero(block.plain)
        known = self._known
        used: list[MessageTemplate] = []
        for template in known:
            left, found = _move_matching(block, template, left, groups)
            used += [template] if found else []
        for attempt in range(_INFERRED_PER_BLOCK):
            if len(left) <= block.min_rows:
                break
            # Try different messages: the first may be irregular, and would keep every other template from being inferred.
            message = block.values[int(left[len(left) * attempt // _INFERRED_PER_BLOCK])]
            inferred = infer_template(message or b"", texts=self._texts, numbers=self._numbers)
            if inferred is not None and inferred not in known and self._required <= inferred.fields:
                left, found = _move_matching(block, inferred, left, groups)
                used += [inferred] if found else []
        if used:
            self._known = tuple(dict.fromkeys((*used, *known)))[:_MAX_TEMPLATES]
        others = np.flatnonzero(~block.plain)
        return np.sort(np.concatenate((others, left))) if len(others) else left


def _move_matching(
    block: MessageBlock, template: MessageTemplate, rows: Positions, groups: defaultdict[MessageTemplate, Group]
) -> tuple[Positions, bool]:
    """Move the rows that match ``template`` into its group; return the other rows, and whether a row matched."""
    same_quotes = block.quotes_of_row[rows] == template.quotes
    chosen = rows if same_quotes.all() else rows[same_quotes]
    if len(chosen) <= block.min_rows:
        return rows, False
    match = _Match.of(block, template, chosen)
    if not match.fits.any():
        return rows, False
    match.add_to(groups[template], block)
    moved = np.zeros(len(block.values), dtype=bool)
    moved[chosen[match.fits]] = True
    return rows[~moved[rows]], True


@dataclass(frozen=True, slots=True)
class _Match:
    """Which of some rows of a block match a template, and where their values are."""

    template: MessageTemplate
    rows: Positions
    fits: Flags
    spans: tuple[tuple[Positions, Positions], ...]  # first byte and end of each value of the template

    @classmethod
    def of(cls, block: MessageBlock, template: MessageTemplate, rows: Positions) -> _Match:
        """Compare the template's texts with rows of a block; the values lie between these texts.

        Each row has as many quotation marks as the template, so the one that ends a value is known by its number.
        """
        ends = block.ends[rows]
        quotes = block.quotes_in(rows, template.quotes)
        fits: Flags = np.ones(len(rows), dtype=bool)
        spans = []
        at = block.starts[rows]
        for text, value in zip(template.texts, template.values, strict=False):
            fits &= equals_at(block.text, at, text)
            first = at + len(text)
            at = (quotes[value.quote] if value.quote >= 0 else ends) - np.int64(value.tail)
            if not value.is_text:
                fits &= are_numbers(block.bytes, first, at)
            spans.append((first, at))
        fits &= equals_at(block.text, at, template.texts[-1])
        fits &= at + len(template.texts[-1]) == ends
        return cls(template, rows, fits, tuple(spans))

    def add_to(self, group: Group, block: MessageBlock) -> None:
        """Add the rows that match to ``group``, with their values as columns."""
        all_fit = bool(self.fits.all())
        texts, numbers = {}, {}
        for value, (first, end) in zip(self.template.values, self.spans, strict=True):
            if not value.name:
                continue
            span = (first, end) if all_fit else (first[self.fits], end[self.fits])
            if value.is_text:
                texts[value.name] = texts_in(block.text, *span)
            else:
                numbers[value.name] = numbers_in(block.bytes, *span)
        rows = self.rows if all_fit else self.rows[self.fits]
        group.add(rows + block.first_position, texts, numbers)
