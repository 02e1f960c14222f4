"""The rule for every text of a setting or an option: characters that UTF-8 can express, because clients send it in UTF-8.

Bytes of the environment or the command line that are not UTF-8 arrive as halves of surrogate pairs, which are not characters. The
name of a file or folder may have any bytes but NUL: the system takes it as it is. And the rule for JSON that people write.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Final

#: Longest name that an error repeats (characters).
_LONGEST: Final = 100


def require_text(text: str, *, names_a_file: bool = False) -> None:
    """Check a text. The error does not quote it: it may be a password.

    Args:
        text: the text.
        names_a_file: whether it is the name of a file or folder.

    Raises:
        ValueError: it is not UTF-8, or holds a NUL, which ends a text for libraries that are written in C.
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
    """Whether an address, with or without a scheme, holds a user or a password."""
    authority = address.partition("://")[2] if "://" in address else address.lstrip("/")
    return "@" in re.split(r"[/?#]", authority, maxsplit=1)[0]


def escaped(text: str, *, keep: str = "") -> str:
    """Escape characters that are not printable, except those in ``keep``: a terminal could obey them."""
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def expressible(name: str) -> str:
    """The name of a file as text that UTF-8 can express: its other bytes as in Python, with a backslash."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text that people wrote. The error quotes no value: it may be a password.

    Raises:
        json.JSONDecodeError, UnicodeDecodeError: it is not JSON.
        ValueError: it is nested too deep, or a name stands twice in an object, of which a parser would keep the last one.
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
