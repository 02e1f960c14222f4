"""Describes what is wrong with a message that is not JSON, also where the text of the parser's error would mislead."""

from __future__ import annotations

import json
import re
from typing import Final

#: An escape of JSON: a pair of surrogates, half of one, or any other.
_ESCAPE: Final = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)


def describe_json_error(value: bytes, error: Exception) -> str:
    """What is wrong with a message that the parser refused.

    It is the text of the parser's error, except for half of a surrogate pair, which the parser calls a message that was cut off.
    """
    half = next((found[1] for found in _ESCAPE.finditer(value) if found[1]), None)
    if half is None or not _is_complete(value):
        return str(error)
    return f"{half.decode('ascii', 'replace')} is half of a surrogate pair, not a character"


def _is_complete(value: bytes) -> bool:
    try:
        json.loads(value)  # takes halves of pairs
    except (ValueError, RecursionError):
        return False
    return True
