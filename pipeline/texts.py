"""Checks texts of settings and options, and JSON that people write.

A text must have only characters that UTF-8 can express, because clients send it in UTF-8. Bytes of the environment or the command
line that are not UTF-8 arrive as halves of surrogate pairs, which are not characters. The name of a file or folder may have any
bytes but NUL, because the system takes them as they are.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Final

#: Longest name that an error repeats (characters).
_LONGEST: Final = 100


def require_text(text: str, *, names_a_file: bool = False) -> None:
    """Check that a text can be sent in UTF-8. The error does not quote the text, which may be a password.

    Args:
        text: the text.
        names_a_file: whether the text is the name of a file or folder, which may have other bytes.

    Raises:
        ValueError: the text is not UTF-8, or has a NUL character, which ends a text for libraries written in C.
    """
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    try:
        if names_a_file:
            os.fsencode(text)
        else:
            text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8") from None  # the cause would show the text


def holds_login(address: str) -> bool:
    """Whether an address, with or without a scheme, contains a user or a password."""
    authority = address.partition("://")[2] if "://" in address else address.lstrip("/")
    return "@" in re.split(r"[/?#]", authority, maxsplit=1)[0]


def escaped(text: str, *, keep: str = "") -> str:
    """Escape characters that are not printable, because a terminal could obey them. Those in ``keep`` stay."""
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def expressible(name: str) -> str:
    """The name of a file as text that UTF-8 can express: other bytes are written as Python escapes them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_json(text: str | bytes) -> Any:
    """Parse a JSON text that people wrote. An error quotes no value, which may be a password.

    Raises:
        json.JSONDecodeError, UnicodeDecodeError: the text is not JSON.
        ValueError: the value is nested too deep, or an object has a name twice, of which the parser would keep only the last.
    """
    try:
        return json.loads(text, object_pairs_hook=_each_name_once)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(fields := dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        twice = ascii(next(name for name in names if names.count(name) > 1))
        raise ValueError(f"the field {twice if len(twice) <= _LONGEST else twice[:_LONGEST] + '...'} stands twice in one object")
    return fields
