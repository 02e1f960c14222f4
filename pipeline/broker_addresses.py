"""Reads addresses of brokers as people write them in a setting or an option: host:port, separated by commas."""

from __future__ import annotations

import re
from typing import Final

#: Names of hosts in any language, IPv4 and IPv6 addresses: no blanks, and no signs of an URL or a list.
_HOST: Final = re.compile(r"[^\s/;,@?#]+")

#: Longest address that a sentence repeats whole (characters); names of hosts end before.
_LONGEST: Final = 260


def addresses_in(text: str) -> tuple[str, ...]:
    """Split a text at commas into addresses of brokers, without blanks."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def require_addresses(addresses: tuple[str, ...]) -> None:
    """Check addresses of brokers.

    Raises:
        ValueError: there is no address, or one is not host:port.
    """
    if not addresses:
        raise ValueError("at least one host:port is needed")
    for address in addresses:
        host, _, port = address.rpartition(":")
        if _HOST.fullmatch(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65_536:
            continue
        scheme, found, _ = address.partition("://")
        advice = f": omit {scheme}://" if found else ": separate addresses with commas" if ";" in address else ""
        shown = address if len(address) <= _LONGEST else address[:_LONGEST] + "..."
        if "@" in address:  # what is before it may be a password
            shown = f"...{address[address.rindex('@') :][:_LONGEST]}"
            advice = ": the login is PORTALPULSE_KAFKA__USER and __PASSWORD"
        raise ValueError(f"{shown!r} is not host:port{advice}")
