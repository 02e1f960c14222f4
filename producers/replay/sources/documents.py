"""Recognises JSON that is not an object a line, and names the command that converts its layout."""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
#: The first array of objects in a text, and the name of the field that holds it.
_ARRAY: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\[\s*\{')
#: A name that jq takes without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A field of every event, as it is written in JSON.
_OF_EVENTS: Final = b'"event_id"'
#: Objects with a comma between them: on one line, and on several.
_COMMA: Final = re.compile(rb"\}[ \t]*,[ \t]*\{")
_COMMA_OF_LINES: Final = re.compile(rb"\}[ \t]*,[ \t]*\r?\n|\n[ \t]*,")


def is_object(line: bytes) -> bool:
    """Whether a line is one JSON object."""
    try:
        _OBJECT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def is_a_document(lines: list[bytes]) -> bool:
    """Whether the objects are elements of one JSON document.

    Its first line opens it, or all objects but the first or the last have a comma beside them.

    Args:
        lines: the first ones, without blanks around them; at least one is an object.
    """
    objects = sum(map(is_object, lines))
    elements = sum(is_object(line.strip(b", \t")) for line in lines if line.startswith(b",") or line.endswith(b","))
    separators = lines.count(b",")
    opened = not is_object(lines[0]) and lines[0].startswith((b"[", b"{"))
    # A line that ends within an array or object, and not within a text: a message that was cut off does not begin a document.
    if opened and lines[0].endswith((b"[", b"{")):
        return True
    return (elements > 0 and (opened or elements > objects)) or (separators > 0 and separators >= objects - 1)


def begins_with_whole_object(line: bytes) -> bool:
    """Whether something follows an object on its line."""
    try:
        json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def conversion(text: bytes) -> str:
    """The command that makes an object a line of a text that begins with an object."""
    if b"\0" in text:
        return r"Convert it with `tr '\0' '\n'`."
    found = _ARRAY.search(text)
    if found is not None and _OF_EVENTS not in text[: found.start()] and _OF_EVENTS in text[found.end() :]:
        field = found[1].decode("utf-8", "replace")
        return (
            f"Convert it with `jq -c '.{field}[]'`."
            if _PLAIN.fullmatch(field)
            else f"Convert it with `jq -c '.[\"{field}\"][]'`."
        )
    if _COMMA_OF_LINES.search(text) and any(is_object(line.strip(b", \t\r")) for line in text.split(b"\n")):
        return "Remove the commas with `sed -E 's/^[[:space:]]*,|,[[:space:]]*$//g'`."
    if begins_with_whole_object(text) and _COMMA.search(text):
        return "Convert it with `(echo '['; cat FILE; echo ']') | jq -c '.[]'`."
    return "Convert it with `jq -c .`."
