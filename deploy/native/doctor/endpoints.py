"""Asks HTTP endpoints of parts, and reads the certificates of their TLS."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from deploy.native.doctor.clocks import Clocks, Reading
from deploy.native.doctor.finding import Finding
from domain.errors import UnavailableError

#: Longest wait for an answer (seconds).
ANSWER_SECONDS: Final = 5.0
#: A certificate that ends within so many days is worth knowing, and within so many a fault.
_SOON_DAYS, _NOW_DAYS = 21, 3


def answers(part: str, url: str, remedy: str, trust: ssl.SSLContext | None = None) -> Finding:
    """Whether the address ``url`` of a part answers with success."""
    try:
        answer = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False, verify=trust or True)
    except httpx.TimeoutException:
        return Finding(part, "wrong", f"{url} does not answer within {ANSWER_SECONDS:g} s", remedy)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Finding(part, "wrong", f"{url} cannot be reached: {error}", remedy)
    if answer.is_success:
        return Finding(part, "ok", f"{url} answers")
    message = " ".join(answer.text.split())[:200]
    return Finding(part, "wrong", f"{url} answers {answer.status_code}: {message}", remedy)


def json_of(name: str, url: str, path: str, remedy: str, *, parameters: Mapping[str, str] | None = None) -> Any:
    """The JSON answer of ``path`` at an address.

    Raises:
        UnavailableError: the address does not answer, or answers something else.
    """
    try:
        answer = httpx.get(f"{url.rstrip('/')}{path}", params=dict(parameters or {}), timeout=ANSWER_SECONDS, trust_env=False)
    except httpx.TimeoutException as error:
        raise UnavailableError(f"{name} at {url} does not answer within {ANSWER_SECONDS:g} s.", remedy=remedy) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UnavailableError(f"{name} at {url} cannot be reached: {error}.", remedy=remedy) from error
    if not answer.is_success:
        message = " ".join(answer.text.split())[:200]
        raise UnavailableError(f"{name} at {url} answers {answer.status_code} to {path}: {message}", remedy=remedy)
    try:
        return answer.json()
    except ValueError as error:
        raise UnavailableError(
            f"{url}{path} answers something that is not JSON: it is not {name}.", remedy="Correct the address."
        ) from error


def read_clock(name: str, url: str, clocks: Clocks, trust: ssl.SSLContext | None = None) -> None:
    """Add a reading of the clock of the machine behind an address, from the header Date, which is cut to whole seconds."""
    before = time.time()
    try:
        answer = httpx.head(url, timeout=ANSWER_SECONDS, trust_env=False, verify=trust or True)
        told = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError):
        return
    after = time.time()
    clocks.add(Reading(name, told + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2))


def certificate(part: str, host: str, port: int, trust: ssl.SSLContext | None) -> list[Finding]:
    """Until when the certificate at a port is valid.

    No finding when the handshake fails, which the examination of the part reports.
    """
    context = trust or ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            found = encrypted.getpeercert() or {}
        ends = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), dt.UTC)
    except (OSError, ValueError, KeyError):
        return []
    days = (ends - dt.datetime.now(dt.UTC)).days
    says = f"{host}:{port} has a certificate until {ends:%Y-%m-%d} ({days} days)"
    if days >= _SOON_DAYS:
        return [Finding(part, "ok", says)]
    remedy = "Renew it: clients refuse it from then on."
    return [Finding(part, "wrong" if days < _NOW_DAYS else "note", says, remedy)]
