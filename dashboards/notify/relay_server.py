"""The relay's HTTP server: Alertmanager's webhooks come in at ``/deliver/RECIPIENT/CHANNEL``, and ``/healthz`` answers."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Final

from dashboards.notify.alerts import Alert
from dashboards.notify.memory import Route
from dashboards.notify.relay import Relay
from dashboards.notify.webhooks import WebhookServer, of_alerts
from domain.errors import ConfigurationError, PortalPulseError, describe_error
from pipeline.logs import get_logger

log = get_logger("relay")

_PATH_PARTS: Final = 3
_TICK_SECONDS: Final = 15.0


class RelayServer:
    """A relay with its HTTP server, and the thread that sends held-back messages."""

    def __init__(self, relay: Relay, *, host: str, port: int, token: str = "", tick_seconds: float = _TICK_SECONDS) -> None:
        """Begin to listen; deliveries are answered after ``start``. ``token``: see ``WebhookServer``.

        Raises:
            UnavailableError: the port is taken or may not be used.
        """
        self._relay, self._tick = relay, tick_seconds
        self._webhooks = WebhookServer(host, port, of_alerts(self._take), token=token)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    @property
    def url(self) -> str:
        """The address to which Alertmanager delivers, without a path."""
        return self._webhooks.url

    def start(self) -> None:
        """Start to answer deliveries and to send held-back messages."""
        self._webhooks.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop; held-back alerts stay on disk."""
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
            for work in (self._relay.release_held, self._relay.ask_again, self._relay.settle):
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - the next round tries again; a dead thread would hold everything back
                    log.warning("relay_round_failed", error=describe_error(error))
