"""Who may read raw messages and ask for changes: this machine, or whoever has the token.

A peer's address proves nothing behind a reverse proxy on the same machine: every request then comes from the loopback
address. Without a token a request that a proxy handed on is therefore refused. Not every proxy says so in a header, so a
process behind one should have a token; with a token only the token counts.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from aiohttp import HttpVersion11, web

from domain.errors import PortalPulseError

#: Name of the token's setting, for messages.
TOKEN_SETTING: Final = "PORTALPULSE_HTTP__TOKEN"  # noqa: S105 - the name of the variable, not the token
#: Where a server keeps its token; empty: none is set.
TOKEN: Final = web.AppKey("token", str)
_PROXY_HEADERS: Final = ("Forwarded", "Via", "X-Real-IP")
_PROXY_PREFIX: Final = "x-forwarded-"


class ForbiddenError(PortalPulseError):
    """The request may not read raw messages or ask for changes."""


def demand_trust(request: web.Request) -> None:
    """Return when the request may read raw messages and ask for changes.

    Raises:
        ForbiddenError: it may not.
    """
    token = request.app[TOKEN]
    if token:
        sent = request.headers.get("Authorization", "").encode(errors="surrogateescape")  # a header may hold any bytes
        if not hmac.compare_digest(sent, f"Bearer {token}".encode()):
            raise ForbiddenError("This needs the token of the process.", remedy=f"Set {TOKEN_SETTING} to the same value here.")
        return
    if not _is_local(request.remote):
        raise ForbiddenError(
            "Raw messages and changes are for this machine only.",
            remedy=f"Run the command where the process runs, or set {TOKEN_SETTING} there and here.",
        )
    if _is_proxied(request):
        raise ForbiddenError(
            "Raw messages and changes are not given through a proxy.",
            remedy=f"Ask the process directly, or set {TOKEN_SETTING} there and send it as `Authorization: Bearer TOKEN`.",
        )


def _is_local(peer: str | None) -> bool:
    try:
        return ipaddress.ip_address(peer or "").is_loopback
    except ValueError:
        return False


def _is_proxied(request: web.Request) -> bool:
    """Whether something says that a proxy handed the request on: a header, or HTTP/1.0, which nginx speaks by default."""
    named = any(name in request.headers for name in _PROXY_HEADERS)
    return named or request.version < HttpVersion11 or any(name.lower().startswith(_PROXY_PREFIX) for name in request.headers)
