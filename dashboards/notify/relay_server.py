"""The relay's HTTP server: Alertmanager's webhooks come in at ``/deliver/RECIPIENT/CHANNEL``, and ``/healthz`` answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from dashboards.notify.alerts import Alert, read_delivery
from dashboards.notify.memory import Route
from dashboards.notify.relay import Relay
from domain.errors import ConfigurationError, PortalPulseError, UnavailableError, describe_error
from pipeline.logs import get_logger

log = get_logger("relay")

#: Eighty agencies with several alerts each are some 500 kB.
LARGEST_BODY: Final = 16 << 20
_PATH_PARTS: Final = 3
_TICK_SECONDS: Final = 15.0

#: Takes path and alerts; returns the status.
Take = Callable[[str, tuple[Alert, ...]], HTTPStatus]


class WebhookServer:
    """Reads deliveries of Alertmanager and hands them to ``take``, in threads of this process until ``stop``."""

    def __init__(self, host: str, port: int, take: Take) -> None:
        """Listen at once; answer after ``start``.

        Raises:
            UnavailableError: the port is taken or may not be used.
        """
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(take))
        except (OSError, OverflowError, UnicodeError) as error:
            raise UnavailableError(
                f"Port {port} on {host} cannot be used: {getattr(error, 'strerror', '') or error}.",
                remedy="Choose another one with --port.",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="webhooks", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
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


class RelayServer:
    """A relay with its server and the thread that sends what waits."""

    def __init__(self, relay: Relay, *, host: str, port: int, tick_seconds: float = _TICK_SECONDS) -> None:
        """Listen at once; see ``WebhookServer``.

        Raises:
            UnavailableError: the port is taken or may not be used.
        """
        self._relay, self._tick = relay, tick_seconds
        self._webhooks = WebhookServer(host, port, self._take)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    @property
    def url(self) -> str:
        """Where Alertmanager delivers to, without a path."""
        return self._webhooks.url

    def start(self) -> None:
        """Start answering and sending."""
        self._webhooks.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is held back stays on disk."""
        self._stopped.set()
        self._webhooks.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _take(self, path: str, alerts: tuple[Alert, ...]) -> HTTPStatus:
        parts = path.strip("/").split("/")
        if len(parts) != _PATH_PARTS or parts[0] != "deliver":
            return HTTPStatus.NOT_FOUND
        route = Route(parts[1], parts[2])
        try:
            self._relay.deliver(route, alerts)
        except (PortalPulseError, OSError) as error:
            log.warning("message_not_sent", recipient=route.key, channel=route.channel, error=str(error))
            # Alertmanager repeats what ends with 5xx, and counts the failure.
            wrong = isinstance(error, ConfigurationError)
            return HTTPStatus.INTERNAL_SERVER_ERROR if wrong else HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK

    def _run(self) -> None:
        while not self._stopped.wait(self._tick):
            for work in (self._relay.release_held, self._relay.settle):
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - the next round tries again; a dead thread would hold everything back
                    log.warning("relay_round_failed", error=describe_error(error))


def _handler(take: Take) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Accepts Alertmanager's POST; any other body is rejected."""

        timeout = 10.0

        def do_GET(self) -> None:
            self._answer(HTTPStatus.OK if self.path == "/healthz" else HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length", ""))
                body: dict[str, Any] = json.loads(self.rfile.read(min(length, LARGEST_BODY)))
                alerts = read_delivery(body)
                status = take(self.path, alerts) if alerts else HTTPStatus.BAD_REQUEST
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
            """No log of requests: what was sent is logged by the relay."""

    return Handler
