"""Infers from one message its template: the bytes that a portal's serialiser writes around the values of every message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: A template that is longer than this, without its values, is not used (bytes).
MAX_TEMPLATE_LENGTH: Final = 4_096

#: One member of a flat object: key, then a text without escapes, a small whole number, or null.
_MEMBER: Final = re.compile(rb'( *)"([A-Za-z0-9_.-]+)"( *: *)(?:"([^"\\]*)"|([1-9]?[0-9])|(null))( *)([,}])')


@dataclass(frozen=True, slots=True)
class TemplateValue:
    """The place of one value in a template: the value begins after a text and ends at, or just before, a quotation mark."""

    name: str  # "" for a field that is ignored
    is_text: bool
    quote: int  # text: number of its closing quote; number: number of the first quote after it, or -1 at the end of the message
    tail: int  # number: bytes between its last digit and that quote (or the end)


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """The bytes around the values: ``texts[n]`` comes before ``values[n]``, the last text after the last value."""

    texts: tuple[bytes, ...]
    values: tuple[TemplateValue, ...]
    quotes: int  # quotation marks in a message

    @property
    def fields(self) -> frozenset[str]:
        """The names of the template's fields; "" stands for ignored ones."""
        return frozenset(value.name for value in self.values)


def infer_template(message: bytes, *, texts: frozenset[str], numbers: frozenset[str]) -> MessageTemplate | None:
    """The template of a message, or None when the message is not a flat object in a form that templates support.

    Args:
        message: a message value.
        texts: fields that must be texts when they are present.
        numbers: fields that must be numbers when they are present. All other fields must be texts or null, and are ignored.
    """
    if not message.startswith(b"{"):
        return None
    at, before, quotes = 1, b"{", 0
    found: list[tuple[bytes, str, bool, int]] = []  # text before, name, is text, quotes up to the value
    seen: set[bytes] = set()
    while member := _MEMBER.match(message, at):
        lead, key, colon, text, number, null, trail, closing = member.groups()
        name = key.decode()
        if text == b"" and name in numbers:  # missing, as null is
            text, null = None, b'""'
            quotes += 2
        if key in seen or (number is not None and name not in numbers) or (text is not None and name in numbers):
            return None
        seen.add(key)
        before += lead + b'"' + key + b'"' + colon
        quotes += 2
        if text is not None:
            found.append((before + b'"', name if name in texts else "", True, quotes + 1))
            before, quotes = b'"', quotes + 2
        elif number is not None:
            found.append((before, name, False, quotes))
            before = b""
        else:
            before += null
        before += trail + closing
        at = member.end()
        if closing == b"}":
            break
    else:
        return None
    if at != len(message) or sum(len(text) for text, *_ in found) + len(before) > MAX_TEMPLATE_LENGTH:
        return None
    pieces = (*(text for text, *_ in found), before)
    values = []
    for (_, name, is_text, quote), after in zip(found, pieces[1:], strict=True):
        opening = after.find(b'"')
        values.append(
            TemplateValue(name, is_text=True, quote=quote, tail=0)
            if is_text
            else TemplateValue(
                name, is_text=False, quote=quote if opening >= 0 else -1, tail=opening if opening >= 0 else len(after)
            )
        )
    return MessageTemplate(pieces, tuple(values), quotes)
