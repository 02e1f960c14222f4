"""Checks every request in one place: the role of its sender, the limits, and the page from which a browser sent it.

``roles`` says which role an endpoint needs, ``identity`` which role a request has. A browser sends the token as the password of
HTTP Basic, which is good for reading alone; everything else takes it as a bearer, which no page of another host can make a
browser send. A change that a browser sends on behalf of another page is refused in any case.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from domain.errors import PortalPulseError
from pipeline.logs import get_logger
from pipeline.serving.identity import Identities, Identity, Proof, host_name
from pipeline.serving.rate_limits import RateLimit
from pipeline.serving.roles import HEALTH, Endpoint, Role, endpoint_of
from pipeline.settings import HttpSettings

log = get_logger("api")

#: Names of the settings, for messages.
READ_TOKEN: Final = "PORTALPULSE_HTTP__READ_TOKEN"  # noqa: S105 - the name of the variable, not the token
OPERATE_TOKEN: Final = "PORTALPULSE_HTTP__OPERATE_TOKEN"  # noqa: S105
ANONYMOUS_SETTING: Final = "PORTALPULSE_HTTP__ANONYMOUS_READ"
HOSTS_SETTING: Final = "PORTALPULSE_HTTP__ALLOWED_HOSTS"
_ASK: Final = 'Basic realm="portalpulse: any user, a token as password", charset="UTF-8"'
#: Seconds of the rate that may come at once: a page with its files, or a command that asks for every day.
_BURST_SECONDS: Final = 10.0
#: Wrong tokens of a peer that are answered one by one, and how many more each second.
_WRONG_TOKENS: Final = 10.0
_WRONG_TOKENS_A_SECOND: Final = 0.2
#: Lines of the log about the wrong tokens of a peer.
_WARNINGS_A_SECOND: Final = 1 / 60
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: What a browser says of a request that its user or the page of the same address made.
_OWN_PAGE: Final = frozenset({"same-origin", "none"})


class ForbiddenError(PortalPulseError):
    """The sender of a request may not do what the request asks for."""


@dataclass(frozen=True, slots=True)
class _Access:
    """The settings and the rate limits of ``guard``."""

    identities: Identities
    anonymous_read: bool
    requests: RateLimit
    wrong_tokens: RateLimit
    warnings: RateLimit

    def role_of(self, identity: Identity) -> Role:
        """The role of an identity; with ``anonymous_read`` everybody may read."""
        return max(identity.role, Role.READ) if self.anonymous_read else identity.role


_ACCESS: Final = web.AppKey("access", _Access)
_ROLE: Final = web.RequestKey("role", Role)


def guard_with(app: web.Application, settings: HttpSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Store in the application the settings and limits that ``guard`` needs."""
    per_second = settings.requests_per_second
    app[_ACCESS] = _Access(
        Identities(read=settings.read_tokens, operate=settings.operate_tokens, allowed_hosts=settings.allowed_hosts),
        anonymous_read=settings.anonymous_read,
        requests=RateLimit(per_second, burst=per_second * _BURST_SECONDS, monotonic=monotonic),
        wrong_tokens=RateLimit(_WRONG_TOKENS_A_SECOND, burst=_WRONG_TOKENS, monotonic=monotonic),
        warnings=RateLimit(_WARNINGS_A_SECOND, burst=1, monotonic=monotonic),
    )


@web.middleware
async def guard(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Refuse requests that may not be served with 401, 403 or 429; handle the others, with the body limit of their endpoint."""
    access = request.app[_ACCESS]
    endpoint = _endpoint(request)
    identity = access.identities.of(request)
    role = access.role_of(identity)
    refused = _limited(access, request, endpoint, identity) or _refused(endpoint, identity, role) or _from_a_page(request)
    if refused is not None:
        return refused
    request[_ROLE] = role
    if request.can_read_body and endpoint.largest_body:
        request = request.clone(client_max_size=endpoint.largest_body)
    response: web.StreamResponse = await handler(request)
    return response


def is_trusted(request: web.Request) -> bool:
    """Whether the sender of the request has the role operate, and so may read what identifies people."""
    return bool(request.get(_ROLE, Role.PUBLIC) >= Role.OPERATE)


def _endpoint(request: web.Request) -> Endpoint:
    resource = request.match_info.route.resource
    if request.match_info.http_exception is not None or resource is None:
        return Endpoint(Role.READ)  # there is no such endpoint; readers are told
    return endpoint_of(request.method, resource.canonical)


def _limited(access: _Access, request: web.Request, endpoint: Endpoint, identity: Identity) -> web.Response | None:
    """The answer 429 when the sender exceeds a rate limit, else None. Requests for health are never limited."""
    if request.path in HEALTH:
        return None
    # Scrapes have limits of their own: a flood of other requests must not hide a process from monitoring.
    wait = access.requests.take(f"{'public ' if endpoint.role is Role.PUBLIC else ''}{identity.key}")
    if wait:
        return _too_many("Too many requests.", wait)
    # A right token is served however many wrong ones come from the same address: behind a proxy that is everybody's.
    if identity.proof is Proof.UNKNOWN_TOKEN and endpoint.role is not Role.PUBLIC:
        wait = access.wrong_tokens.take(identity.key)
        if wait:
            if not access.warnings.take(identity.key):
                log.warning("too_many_wrong_tokens", peer=request.remote, action="they are answered with 429")
            return _too_many("Too many requests with a token that the process does not know.", wait)
    return None


def _too_many(problem: str, wait: float) -> web.Response:
    seconds = math.ceil(wait)
    text = f"{problem} Try again in {seconds} s."
    return web.json_response({"error": text}, status=429, headers={"Retry-After": str(seconds)})


def _refused(endpoint: Endpoint, identity: Identity, role: Role) -> web.Response | None:
    """The answer 401 or 403 when the sender's role is too low for the endpoint, else None."""
    if role >= endpoint.role:
        return None
    text = _reason(identity.proof, endpoint.role)
    if role is Role.PUBLIC and identity.proof is not Proof.FOREIGN_HOST:
        return web.json_response({"error": text}, status=401, headers={"WWW-Authenticate": _ASK})
    return web.json_response({"error": text}, status=403)


def _reason(proof: Proof, needed: Role) -> str:
    settings = OPERATE_TOKEN if needed is Role.OPERATE else f"{READ_TOKEN} or {OPERATE_TOKEN}"
    same = f"Set {settings} to the same value here; in a browser: any user, the token as password."
    what = "Raw messages and changes" if needed is Role.OPERATE else "Pages and figures"
    anonymous = "" if needed is Role.OPERATE else f", or {ANONYMOUS_SETTING}=true to let everybody read,"
    return {
        Proof.TOKEN: f"This needs the role operate, but the token of the request may only read. Send one of {OPERATE_TOKEN}.",
        Proof.PASSWORD: f"A password may read alone. This needs the role operate: send one of {OPERATE_TOKEN} as a bearer.",
        Proof.NO_TOKEN: f"This needs a token of the process. {same}",
        Proof.UNKNOWN_TOKEN: f"The token is not one of the process. {same}",
        Proof.PROXIED: f"Through a proxy this needs a token. Set {settings} where the process runs, and send it.",
        Proof.ANOTHER_MACHINE: f"{what} are available on this machine only. Set {settings}{anonymous} where the process runs.",
        Proof.FOREIGN_HOST: "The Host header of the request is not a name of this machine, so a foreign page may have sent it. "
        f"Use localhost or 127.0.0.1, add the name to {HOSTS_SETTING}, or set a token ({OPERATE_TOKEN}) where the process runs.",
    }[proof]


def _from_a_page(request: web.Request) -> web.Response | None:
    """The answer 403 to a change that a browser sends for a page of another address, else None."""
    if request.method in _SAFE:
        return None
    site, origin = request.headers.get("Sec-Fetch-Site", "none"), request.headers.get("Origin")
    if site in _OWN_PAGE and (origin is None or _is_same(origin, request.headers.get("Host", ""))):
        return None
    return web.json_response({"error": "A change must not come from the page of another address."}, status=403)


def _is_same(origin: str, host: str) -> bool:
    try:
        named = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(named) and named.lower() == host.lower() and bool(host_name(host))
