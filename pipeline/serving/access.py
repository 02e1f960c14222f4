"""Who may read figures, and who may read raw messages and make changes: this machine, or a request with the token.

Pages and ``/api`` are for this machine, for requests with the token, and for everybody where ``anonymous_read`` is set. Metrics
and health are for everybody, because monitoring asks for them. A browser sends the token as the password of HTTP Basic; changes
take it as a bearer only, which no page of another host can make a browser send.

Behind a reverse proxy on the same machine every request comes from the loopback address, so the address proves nothing. Without
a token, proxied requests are therefore refused. Not every proxy identifies itself in a header, so a process behind a proxy
should have a token. With a token only the token counts.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Callable
from typing import Any, Final

from aiohttp import HttpVersion11, web

from domain.errors import PortalPulseError

#: Name of the token's setting, for messages.
TOKEN_SETTING: Final = "PORTALPULSE_HTTP__TOKEN"  # noqa: S105 - the name of the variable, not the token
ANONYMOUS_SETTING: Final = "PORTALPULSE_HTTP__ANONYMOUS_READ"
#: The token of a server; empty when none is set.
TOKEN: Final = web.AppKey("token", str)
#: Whether everybody may read pages and figures.
ANONYMOUS_READ: Final = web.AppKey("anonymous_read", bool)
#: Paths that need no token.
_FOR_EVERYBODY: Final = frozenset({"/metrics", "/healthz", "/readyz"})
_ASK: Final = 'Basic realm="portalpulse: any user, the token as password", charset="UTF-8"'
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


@web.middleware
async def require_reader(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Answer 401 to a request for pages or figures that comes from elsewhere without the token."""
    if request.path not in _FOR_EVERYBODY and not may_read(request):
        text = (
            "Pages and figures need the token of the process. In a browser: any user, the token as password."
            if request.app[TOKEN]
            else f"Pages and figures are available on this machine only. Set {TOKEN_SETTING}, or "
            f"{ANONYMOUS_SETTING}=true to let everybody read, where the process runs."
        )
        return web.json_response({"error": text}, status=401, headers={"WWW-Authenticate": _ASK})
    response: web.StreamResponse = await handler(request)
    return response


def may_read(request: web.Request) -> bool:
    """Whether the request may read pages and figures."""
    if request.app[ANONYMOUS_READ] or (_is_local(request.remote) and not _is_proxied(request)):
        return True
    token = request.app[TOKEN]
    sent = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    return bool(token) and (hmac.compare_digest(sent, f"Bearer {token}".encode()) or _has_password(sent, token))


def _has_password(sent: bytes, token: str) -> bool:
    """Whether a header of HTTP Basic has the token as password; the user may be any."""
    scheme, _, encoded = sent.partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(decoded.partition(b":")[2], token.encode())


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
