"""An HTTP server for the webhooks of Alertmanager; it also answers ``/healthz``.

A delivery needs the token; where no token is set, it must come directly from this machine, because it makes the process send
messages or count a heartbeat. A delivery from a browser is always refused.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import threading
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from dashboards.notify.alerts import Alert, read_delivery
from domain.errors import UnavailableError, describe_error
from pipeline.logs import get_logger

log = get_logger("webhooks")

#: Eighty agencies with several alerts each are some 500 kB.
LARGEST_BODY: Final = 16 << 20

#: Takes path and body; returns the status. A body that is not as expected may raise ValueError, KeyError, TypeError or
#: AttributeError.
Take = Callable[[str, dict[str, Any]], HTTPStatus]
#: What browsers send, and proxies.
_OF_A_BROWSER: Final = ("Origin", "Sec-Fetch-Site")
_OF_A_PROXY: Final = ("Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")


def _refusal(headers: Message, peer: str, token: str) -> HTTPStatus | None:
    """The status with which a delivery is refused; None: it is accepted."""
    if any(name in headers for name in _OF_A_BROWSER):
        return HTTPStatus.FORBIDDEN
    if token:
        sent = hashlib.sha256((headers.get("Authorization") or "").encode(errors="surrogateescape")).digest()
        known = hmac.compare_digest(sent, hashlib.sha256(f"Bearer {token}".encode()).digest())
        return None if known else HTTPStatus.UNAUTHORIZED
    host = (headers.get("Host") or "localhost").removeprefix("[").split("]")[0]
    name = host if host.count(":") > 1 else host.partition(":")[0]
    local = _is_loopback(peer) and not any(name in headers for name in _OF_A_PROXY)
    return None if local and (name.lower() == "localhost" or _is_loopback(name)) else HTTPStatus.FORBIDDEN


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def of_alerts(take: Callable[[str, tuple[Alert, ...]], HTTPStatus]) -> Take:
    """Turn a function that takes alerts into one that takes request bodies. A body without alerts is rejected."""

    def take_body(path: str, body: dict[str, Any]) -> HTTPStatus:
        alerts = read_delivery(body)
        return take(path, alerts) if alerts else HTTPStatus.BAD_REQUEST

    return take_body


class _Server(ThreadingHTTPServer):
    """An HTTP server with a long queue: Alertmanager opens hundreds of connections at once when many agencies fall.

    Connections beyond the queue are ignored by the system and tried again after seconds, until Alertmanager gives up.
    """

    request_queue_size = 4_096


class WebhookServer:
    """Takes deliveries of Alertmanager and hands them to ``take``, in threads of this process until ``stop``."""

    def __init__(self, host: str, port: int, take: Take, *, token: str = "") -> None:
        """Begin to listen; answer after ``start``. ``token``: every delivery needs it; empty: only this machine may deliver.

        Raises:
            UnavailableError: the port is taken or may not be used.
        """
        try:
            self._server = _Server((host, port), _handler(take, token))
        except (OSError, OverflowError, UnicodeError) as error:
            raise UnavailableError(
                f"Port {port} on {host} cannot be used: {getattr(error, 'strerror', '') or error}.",
                remedy="Choose another one with --port.",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="webhooks", daemon=True)

    @property
    def url(self) -> str:
        """The address at which the server listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Start answering."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _handler(take: Take, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Accepts Alertmanager's POST; any other body is rejected."""

        timeout = 10.0

        def do_GET(self) -> None:
            self._answer(HTTPStatus.OK if self.path in {"/healthz", "/livez"} else HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            refused = _refusal(self.headers, self.client_address[0], token)
            if refused is not None:
                log.warning("delivery_refused", peer=self.client_address[0], status=refused.value)
                self._answer(refused)
                return
            try:
                length = int(self.headers.get("Content-Length", ""))
                # A negative length would read until the other side ends.
                body: dict[str, Any] = json.loads(self.rfile.read(max(0, min(length, LARGEST_BODY))))
                status = take(self.path, body)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                status = HTTPStatus.BAD_REQUEST
            except Exception as error:  # noqa: BLE001 - Alertmanager repeats; a broken connection would say nothing
                log.warning("delivery_failed", error=describe_error(error))
                status = HTTPStatus.INTERNAL_SERVER_ERROR
            self._answer(status)

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name http.server uses
            """Log no requests: the function that takes the deliveries logs their result."""

    return Handler
