"""Recognises JSON that does not have one object on each line, and names the command that converts it."""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
#: The first array of objects in a text, and the name of the field that holds it.
_ARRAY: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\[\s*\{')
#: What some programs write between lines, and JSON knows no such blanks.
_SEPARATORS: Final = "\u2028\u2029\x85\v\f\x1c\x1d\x1e"
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
    """Whether the objects on the lines are elements of one JSON document.

    The document is recognised by its first line, which opens it, or by the commas beside all objects but the first or the last.

    Args:
        lines: the first lines, without blanks around them; at least one is an object.
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
    """Whether the line begins with a whole object and goes on after it."""
    try:
        json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def fault_of(line: bytes) -> tuple[str, str] | None:
    """Why a line that begins like a JSON object is not one, and what to do; None: the line is not meant to be an object."""
    text = line.decode("utf-8", "replace")
    constants: list[str] = []
    lenient = json.JSONDecoder(strict=False, parse_constant=constants.append)
    fault: tuple[str, str] | None = None
    try:
        found, end = lenient.raw_decode(text) if text.startswith("{") else (None, 0)
    except json.JSONDecodeError as error:
        if text.endswith("}") and error.pos < len(text):  # one that is only not complete goes on in the next line
            fault = f"{error.msg}, at character {error.pos + 1}", "Correct what writes it."
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of levels
        fault = "a value in it is too long or too deep", "Correct what writes it."
    else:
        behind = text[end:].strip(" \t\r")
        if isinstance(found, dict) and not is_object(line) and (not behind or behind[0] in _SEPARATORS):
            fault = _separated_by(behind[0]) if behind else _fault_within(found, constants)
    return fault


def _fault_within(found: dict[str, object], constants: list[str]) -> tuple[str, str]:
    """The fault of a line that Python's JSON reader accepts although it is not JSON, and what to do."""
    if constants:
        return f"it holds {constants[0]}, which JSON does not have", "Write null in its place."
    if any("\ud800" <= character <= "\udfff" for character in json.dumps(found, ensure_ascii=False)):
        return "it holds half of a surrogate pair (\\ud800 to \\udfff alone)", "Correct what writes it."
    return "it holds a control character that is not escaped", "Correct what writes it."


def _separated_by(separator: str) -> tuple[str, str]:
    name = f"U+{ord(separator):04X}"
    as_sed = "".join(f"\\x{byte:02x}" for byte in separator.encode())
    return f"{name} separates the objects in place of a line feed", f"Convert it with `sed 's/{as_sed}/\\n/g'`."


def conversion(text: bytes) -> str:
    """The command that rewrites a text that begins with an object to one object on each line."""
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
