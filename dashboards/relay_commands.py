"""``portalpulse relay`` sends alerts to people; ``portalpulse watchdog`` tells people when alerting has fallen silent."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from dashboards.alert_commands import HeartbeatOption, RecipientsOption, directory_of
from dashboards.alertmanager import bundle
from dashboards.alertmanager.generate import AlertTiming, render_routes
from dashboards.generated import write_files
from domain.clock import SystemClock
from domain.errors import ConfigurationError
from pipeline.logs import configure_logging
from pipeline.settings import load_settings
from pipeline.shutdown import stopped_by_signals

HostOption = Annotated[str, typer.Option(help="Address to listen on. Others than this machine need the token of deliveries.")]
#: Seconds between two looks at the heartbeat.
_LOOK_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands ``relay`` and ``watchdog`` to the command line."""
    app.command("relay")(relay)
    app.command("watchdog")(watchdog)


def relay(
    *,
    recipients: RecipientsOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 9095,
    write_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write alertmanager.yml there first, for an Alertmanager beside it.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With --write-config: where Alertmanager reaches this process; else PORTALPULSE_NOTIFY__RELAY_URL.",
        ),
    ] = None,
    heartbeat: HeartbeatOption = None,
) -> None:
    """Take alerts from Alertmanager and send them to people: in their language, over their channels, in their hours.

    Messages that wait for office hours are kept in the data folder.

    Example: portalpulse relay --recipients recipients.yaml
    """
    from dashboards.notify.relay_server import RelayServer  # noqa: PLC0415 - of this command only
    from dashboards.notify.setup import relay_of  # noqa: PLC0415

    settings = load_settings()
    configure_logging(settings.log)
    directory = directory_of(settings, recipients)
    for address, option in ((url, "--url"), (heartbeat, "--heartbeat")):
        if address is not None:
            bundle.check_address(address, option=option)
    work = relay_of(directory, settings, folder=settings.data_dir / "relay", clock=SystemClock())
    server = RelayServer(work, host=host, port=port, token=settings.notify.delivery_token.get_secret_value())
    try:
        if write_config is not None:
            text = render_routes(
                directory,
                timing=AlertTiming.production(),
                relay_url=url or settings.notify.relay_url or server.url,
                heartbeat_url=heartbeat or settings.notify.heartbeat_url or None,
                token_file=settings.notify.delivery_token_file or None,
            )
            try:
                write_files({write_config: text})
            except OSError as error:
                raise ConfigurationError(
                    f"{write_config} cannot be written: {error.strerror or error}.", remedy="Choose another one."
                ) from error
        server.start()
        typer.echo(f"Alertmanager delivers to {url or settings.notify.relay_url or server.url}", err=True)
        _until_stopped()
    finally:
        server.stop()


def watchdog(
    *,
    recipients: RecipientsOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 9096,
    after: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds of silence after which people are told.")] = 180.0,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="ID", help="Who is told; may be repeated. Default: operations.")
    ] = None,
) -> None:
    """Tell people when the heartbeat of Alertmanager stops, and when it returns. Run it on another machine.

    Alertmanager reaches it at any path of its address (`alerts render --heartbeat URL`).

    Example: portalpulse watchdog --recipients recipients.yaml --host 0.0.0.0
    """
    from dashboards.notify.setup import channels_of, links_of  # noqa: PLC0415 - of this command only
    from dashboards.notify.watchdog import Heartbeat, WatchdogChecker, watch  # noqa: PLC0415
    from dashboards.notify.webhooks import WebhookServer, of_alerts  # noqa: PLC0415

    settings = load_settings()
    configure_logging(settings.log)
    directory = directory_of(settings, recipients)
    keys = tuple(to or directory.recipients.operations)
    for key in keys:
        directory.person(key)
    clock = SystemClock()
    channels = channels_of(directory, settings, clock=clock)
    channels.check_secrets()
    checker = WatchdogChecker(
        directory,
        channels,
        to=keys,
        heartbeat=Heartbeat(after, heard=time.monotonic()),
        clock=clock,
        monotonic=time.monotonic,
        links=links_of(settings),
    )
    server = WebhookServer(host, port, of_alerts(checker.take), token=settings.notify.delivery_token.get_secret_value())
    stopped = threading.Event()
    thread = threading.Thread(target=watch, args=(checker, stopped), kwargs={"every": _LOOK_SECONDS}, daemon=True)
    try:
        server.start()
        thread.start()
        typer.echo(f"The heartbeat is awaited at {server.url}/heartbeat", err=True)
        _until_stopped()
    finally:
        stopped.set()
        server.stop()


def _until_stopped() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    try:
        with stopped_by_signals():
            threading.Event().wait()
    except KeyboardInterrupt:
        return
