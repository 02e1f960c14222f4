"""The rule for every text of a setting or an option: characters that UTF-8 can express, because clients send it in UTF-8.

Bytes of the environment or the command line that are not UTF-8 arrive as halves of surrogate pairs, which are not characters. The
name of a file or folder may have any bytes but NUL: the system takes it as it is.
"""

from __future__ import annotations

import os


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
