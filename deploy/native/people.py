"""The people of a recipients file in a local stack: writes their routes, and runs the relay that sends their messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dashboards.alertmanager.generate import render_routes
from dashboards.alertmanager.timing import AlertTiming
from dashboards.generated import write_files
from dashboards.notify.recipients_file import Directory, read_recipients
from dashboards.notify.relay_server import RelayServer
from dashboards.notify.setup import channels_of, relay_of
from deploy.native.ports import LOOPBACK
from deploy.native.stack_options import StackOptions
from domain.clock import SystemClock
from domain.periods import civil_day
from pipeline.registry import registry_of
from pipeline.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses of the servers that the relay asks."""

    prometheus: str
    alertmanager: str
    api: str = ""


def check_people(options: StackOptions) -> None:
    """Check that the recipients file of the options, if there is one, has no error and that its secrets can be read.

    Raises:
        ConfigurationError: the file has an error, or a secret cannot be read.
    """
    if options.recipients_file:
        directory, settings = _read(options)
        channels_of(directory, settings, clock=SystemClock()).check_secrets()


class People:
    """A relay on a free loopback port of this process."""

    def __init__(self, options: StackOptions, servers: Servers, *, timing: AlertTiming, say: Callable[[str], None]) -> None:
        """Read the file and begin to listen; answer after ``start``.

        ``say``: called with a line for the terminal about each message.

        Raises:
            ConfigurationError: something in the file is wrong, or a secret is missing.
            UnavailableError: no port is free, or the memory of messages cannot be read.
        """
        self._directory, settings = _read(options)
        self._timing = timing
        self._relay = relay_of(
            self._directory,
            settings,
            folder=options.data_dir / "relay",
            clock=SystemClock(),
            prometheus=servers.prometheus,
            alertmanager=servers.alertmanager,
            api=servers.api,
        )
        self._relay.on_sent = lambda route, message: say(f"Sent to {route.key} over {route.channel}: {message.subject}")
        self._server = RelayServer(self._relay, host=LOOPBACK, port=0)

    @property
    def text(self) -> str:
        """A line for the terminal: how many recipients the file has, and how many agencies have recipients of their own."""
        with_some = sum(bool(keys) for keys in self._directory.agencies.values())
        people = len(self._directory.recipients.recipients)
        return f"Alerts go to {people} recipients; {with_some} agencies have some of their own"

    def know_of(self, alert: str) -> bool:
        """Whether a message about the alert ``alert`` was sent to anybody."""
        return alert in self._relay.sent

    def start(self, config: Path, *, terminal: str) -> None:
        """Write alertmanager.yml to ``config`` and start answering. ``terminal``: the webhook that gets every alert, too."""
        text = render_routes(self._directory, timing=self._timing, relay_url=self._server.url, terminal_url=terminal)
        write_files({config: text})
        self._server.start()

    def stop(self) -> None:
        """Stop; messages that wait for office hours stay in the folder."""
        self._server.stop()


def _read(options: StackOptions) -> tuple[Directory, Settings]:
    settings = load_settings(registry_file=options.registry_file)
    day = civil_day(SystemClock().now())
    return read_recipients(Path(options.recipients_file), registry_of(settings), day=day), settings
