"""Tells who sends a request: from its token, or, when no token is set, from whether it comes directly from this machine.

With a token set the address of the peer proves nothing and is not looked at. Without one, a request is of this machine when it
comes from a loopback address, no proxy forwarded it, and its Host is a name of this machine: a foreign page that points its own
name to 127.0.0.1 would have the browser of somebody here ask for it. Not every proxy identifies itself in a header, so a process
behind a proxy should have a token.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import HttpVersion11, web

from pipeline.serving.roles import Role

_PROXY_HEADERS: Final = ("Forwarded", "Via", "X-Real-IP")
_PROXY_PREFIX: Final = "x-forwarded-"


class Proof(enum.Enum):
    """How a request proves its role, or why it proves none."""

    TOKEN = "token"  # noqa: S105 - not a token
    #: The token as the password of a browser, which sends it along with everything: good for reading alone.
    PASSWORD = "password"  # noqa: S105 - not a password
    THIS_MACHINE = "this machine"
    UNKNOWN_TOKEN = "unknown token"  # noqa: S105 - not a token
    NO_TOKEN = "no token"  # noqa: S105 - not a token
    ANOTHER_MACHINE = "another machine"
    PROXIED = "proxied"
    FOREIGN_HOST = "foreign host"


@dataclass(frozen=True, slots=True)
class Identity:
    """The role of a request, its proof, and ``key``: the token (by number) or the peer whose rate limits apply."""

    role: Role
    proof: Proof
    key: str


class Identities:
    """Tells the identity of requests with the tokens and host names of the settings."""

    def __init__(self, *, read: Iterable[str], operate: Iterable[str], allowed_hosts: Collection[str] = ()) -> None:
        """``allowed_hosts``: names of this machine beside the loopback ones, without a port."""
        named = [(Role.READ, token) for token in read] + [(Role.OPERATE, token) for token in operate]
        self._tokens = tuple((_digest(token.encode()), role) for role, token in named)
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        #: Whether a token is set.
        self.by_token = bool(self._tokens)

    def of(self, request: web.Request) -> Identity:
        """The identity of a request."""
        peer = f"peer {request.remote}"
        if not self._tokens:
            proof = self._of_this_machine(request)
            return Identity(Role.OPERATE if proof is Proof.THIS_MACHINE else Role.PUBLIC, proof, peer)
        sent = request.headers.getall("Authorization", [])
        if not sent:
            return Identity(Role.PUBLIC, Proof.NO_TOKEN, peer)
        scheme, _, value = sent[0].encode(errors="surrogateescape").partition(b" ")  # a header may contain any bytes
        is_password = scheme.lower() == b"basic"
        token = _password(value) if is_password else value if scheme.lower() == b"bearer" else b""
        number, role = self._matching(token)
        if number is None or len(sent) > 1:
            return Identity(Role.PUBLIC, Proof.UNKNOWN_TOKEN, peer)
        if is_password:
            return Identity(Role.READ, Proof.PASSWORD, f"token {number}")
        return Identity(role, Proof.TOKEN, f"token {number}")

    def _matching(self, sent: bytes) -> tuple[int | None, Role]:
        """The number and the role of the token that was sent. Every token is compared, whether or not one was found."""
        found, role, digest = None, Role.PUBLIC, _digest(sent)
        for number, (token, of_token) in enumerate(self._tokens):
            if hmac.compare_digest(digest, token):
                found, role = number, of_token
        return found, role

    def _of_this_machine(self, request: web.Request) -> Proof:
        if not _is_local(request.remote):
            return Proof.ANOTHER_MACHINE
        if _is_proxied(request):
            return Proof.PROXIED
        hosts = request.headers.getall("Host", [])
        return Proof.THIS_MACHINE if len(hosts) == 1 and self._is_ours(hosts[0]) else Proof.FOREIGN_HOST

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine."""
        name = host_name(host)
        return name == "localhost" or _is_local(name) or name in self._allowed_hosts


def host_name(host: str) -> str:
    """A Host header without its port and in small letters; an address of version 6 without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _digest(token: bytes) -> bytes:
    """Of one length, so that the comparison does not tell that of the token."""
    return hashlib.sha256(token).digest()


def _password(encoded: bytes) -> bytes:
    """The password of HTTP Basic; the user may be any. Empty where there is none."""
    try:
        return base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def _is_local(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _is_proxied(request: web.Request) -> bool:
    """Whether a proxy forwarded the request, by its headers or HTTP/1.0, the default of nginx."""
    named = any(name in request.headers for name in _PROXY_HEADERS)
    return named or request.version < HttpVersion11 or any(name.lower().startswith(_PROXY_PREFIX) for name in request.headers)
