"""Says what is wrong with a message that is not JSON, where the parser's own text would mislead."""

from __future__ import annotations

import json
import re
from typing import Final

#: An escape of JSON: a pair of surrogates, half of one, or any other.
_ESCAPE: Final = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)


def describe_json_error(value: bytes, error: Exception) -> str:
    """The text of an error of the parser. To it, a text that ends in half of a surrogate pair is a message that was cut off."""
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
