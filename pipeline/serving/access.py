"""Access to raw messages and changes: from this machine, or with the token.

Behind a reverse proxy on the same machine every request comes from the loopback address, so the address proves nothing. Without
a token, proxied requests are therefore refused. Not every proxy identifies itself in a header, so a process behind a proxy
should have a token. With a token only the token counts.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from aiohttp import HttpVersion11, web

from domain.errors import PortalPulseError

#: Name of the token's setting, for messages.
TOKEN_SETTING: Final = "PORTALPULSE_HTTP__TOKEN"  # noqa: S105 - the name of the variable, not the token
#: The token of a server; empty when none is set.
TOKEN: Final = web.AppKey("token", str)
_PROXY_HEADERS: Final = ("Forwarded", "Via", "X-Real-IP")
_PROXY_PREFIX: Final = "x-forwarded-"


class ForbiddenError(PortalPulseError):
    """The request may not read raw messages or make changes."""


def require_trust(request: web.Request) -> None:
    """Return when the request may read raw messages and make changes.

    Raises:
        ForbiddenError: it may not.
    """
    token = request.app[TOKEN]
    if token:
        sent = request.headers.get("Authorization", "").encode(errors="surrogateescape")  # a header may contain any bytes
        if not hmac.compare_digest(sent, f"Bearer {token}".encode()):
            raise ForbiddenError(
                "This request needs the token of the process.", remedy=f"Set {TOKEN_SETTING} to the same value here."
            )
        return
    if not _is_local(request.remote):
        raise ForbiddenError(
            "Raw messages and changes are available on this machine only.",
            remedy=f"Run the command where the process runs, or set {TOKEN_SETTING} there and here.",
        )
    if _is_proxied(request):
        raise ForbiddenError(
            "Raw messages and changes are not available through a proxy.",
            remedy=f"Connect to the process directly, or set {TOKEN_SETTING} there and send it as `Authorization: Bearer TOKEN`.",
        )


def is_trusted(request: web.Request) -> bool:
    """Whether the request may read what identifies people; see ``require_trust``."""
    try:
        require_trust(request)
    except ForbiddenError:
        return False
    return True


def _is_local(peer: str | None) -> bool:
    try:
        return ipaddress.ip_address(peer or "").is_loopback
    except ValueError:
        return False


def _is_proxied(request: web.Request) -> bool:
    """Whether a proxy forwarded the request, by its headers or HTTP/1.0, the default of nginx."""
    named = any(name in request.headers for name in _PROXY_HEADERS)
    return named or request.version < HttpVersion11 or any(name.lower().startswith(_PROXY_PREFIX) for name in request.headers)
