"""Event ids: UUIDs of version 8 (RFC 9562: made by the application's own rule)."""

from __future__ import annotations

import hashlib


def uuid8(digits: str) -> str:
    """The text of a UUID of version 8 from 32 hexadecimal digits; version and variant replace digits 13 and 17."""
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def uuid8_prefix(nonce: bytes) -> bytes:
    """The first 24 characters of ids of version 8 from 9 bytes; 12 hexadecimal digits complete an id."""
    digits = nonce.hex()
    return uuid8(f"{digits[:12]}0{digits[12:15]}0{digits[15:18]}").encode("ascii")


def derived_id(event_id: str, label: str) -> str:
    """Another id derived from an event id and ``label``: always the same for the same two texts."""
    return uuid8(hashlib.blake2b(f"{label}\0{event_id.lower()}".encode(), digest_size=16).hexdigest())


class EventIds:
    """Event ids as a pure function of seed, stream, dossier and step: a repeated run has the same ids.

    Args:
        seed: the user's seed.
        stream: the name of the stream, so that two streams of one seed never share an id.
    """

    def __init__(self, seed: int, stream: str) -> None:
        key = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=32).digest()
        self._keyed = hashlib.blake2b(digest_size=16, key=key)

    def of(self, dossier_code: str, step: int) -> str:
        """The id of one step of a dossier."""
        hashed = self._keyed.copy()
        hashed.update(f"{dossier_code}#{step}".encode())
        return uuid8(hashed.hexdigest())
