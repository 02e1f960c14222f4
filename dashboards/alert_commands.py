"""``portalpulse alerts``: writes rules and routes, checks recipients, and shows what a message would say and who would get it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

import typer

from dashboards.alertmanager import bundle
from dashboards.alertmanager import generate as routes
from dashboards.generated import require_unchanged
from dashboards.history.backtest_command import backtest
from dashboards.history.year_command import year
from dashboards.notify.recipients_file import EXAMPLE, Directory, read_recipients
from dashboards.notify.setup import channels_of, links_of
from dashboards.percent_option import percent
from dashboards.rules import generate as rules
from domain.clock import SystemClock
from domain.errors import ConfigurationError
from domain.periods import VIETNAM, civil_day
from pipeline.registry import registry_of
from pipeline.settings import Settings, load_settings

#: Of AgencyRateLow the rung decides.
_SEVERITIES: Final = {
    **dict.fromkeys(("AgencyRateDropped", "AgencySilent", "AgencyAcceptedLate"), "warning"),
    **dict.fromkeys(("AgencyRateSurged", "AgencyOffPace"), "info"),
}
RELAY_URL: Final = "http://127.0.0.1:9095"

RecipientsOption = Annotated[
    Path | None,
    typer.Option("--recipients", metavar="FILE", help="The recipients file; else PORTALPULSE_NOTIFY__RECIPIENTS_FILE."),
]
RelayOption = Annotated[
    str | None,
    typer.Option(
        "--relay",
        metavar="URL",
        help=f"Where Alertmanager reaches `portalpulse relay`; else PORTALPULSE_NOTIFY__RELAY_URL, else {RELAY_URL}.",
    ),
]
HeartbeatOption = Annotated[
    str | None,
    typer.Option(
        "--heartbeat",
        metavar="URL",
        help="Where Alertmanager reaches `portalpulse watchdog`; else PORTALPULSE_NOTIFY__HEARTBEAT_URL.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of ``portalpulse alerts`` to the command line."""
    alerts = typer.Typer(no_args_is_help=True, help="Alert rules, routes, recipients and messages.")
    for command in (build, check, render, example, simulate):
        alerts.command(command.__name__)(command)
    alerts.command("test")(send_test)
    alerts.command("year")(year)
    alerts.command("backtest")(backtest)
    app.add_typer(alerts, name="alerts")


def directory_of(settings: Settings, file: Path | None) -> Directory:
    """The recipients in ``file``, or in the file that the settings name.

    Raises:
        ConfigurationError: neither names a file, or something in the file is wrong.
    """
    path = file or (Path(settings.notify.recipients_file) if settings.notify.recipients_file else None)
    if path is None:
        raise ConfigurationError(
            "There is no recipients file.",
            remedy="Write one (`portalpulse alerts example > recipients.yaml`) and name it with --recipients.",
        )
    return read_recipients(path, registry_of(settings), day=civil_day(SystemClock().now()))


def build() -> None:
    """Regenerate the rule files and the example of alertmanager.yml."""
    _list([*rules.write_rules(rules.COMMITTED, rules.RuleTiming.production()), *routes.write_committed()])


def check(*, recipients: RecipientsOption = None) -> None:
    """Check that the rule files and alertmanager.yml are up to date; with --recipients check that file and its secrets instead.

    Example: portalpulse alerts check --recipients recipients.yaml
    """
    settings = load_settings()
    if recipients is None:
        require_unchanged([*rules.changed_files(), *routes.changed_files()], rebuild="portalpulse alerts build")
        return
    directory = directory_of(settings, recipients)
    channels_of(directory, settings, clock=SystemClock()).check_secrets()
    with tempfile.TemporaryDirectory() as folder:
        text = routes.render_routes(directory, timing=routes.AlertTiming.production(), relay_url=RELAY_URL)
        Path(folder, "alertmanager.yml").write_text(text, encoding="utf-8")
        _say_checked(*bundle.verify_bundle(Path(folder)))
    without = [code for code, keys in directory.agencies.items() if not keys]
    typer.echo(f"{len(directory.recipients.recipients)} recipients; {len(directory.agencies) - len(without)} agencies have some")
    if without:
        typer.echo(f"{len(without)} agencies go to {', '.join(directory.default)}: {' '.join(without)}")


def render(
    out: Annotated[Path, typer.Option(help="Folder to write into.", file_okay=False)],
    *,
    recipients: RecipientsOption = None,
    relay: RelayOption = None,
    heartbeat: HeartbeatOption = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Instead of recipients: one address that receives every alert.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Intervals in seconds instead of minutes.")] = False,
) -> None:
    """Write rules and routes for your own Prometheus and Alertmanager, which `portalpulse relay` brings to people.

    The folder holds no secret and can be copied to other machines as it is. What amtool or promtool refuses is refused.

    Example: portalpulse alerts render --out alerting --recipients recipients.yaml --relay http://relay.example.vn:9095
    """
    rule_timing = rules.RuleTiming.demo() if demo else rules.RuleTiming.production()
    timing = routes.AlertTiming.demo() if demo else routes.AlertTiming.production()
    if webhook is not None:
        if recipients is not None:
            raise ConfigurationError("--webhook and --recipients exclude each other.", remedy="Choose one of them.")
        bundle.check_address(webhook, option="--webhook")
        config = routes.render(timing=timing, webhook_url=webhook)
    else:
        settings = load_settings()
        directory = directory_of(settings, recipients)
        relay = relay or settings.notify.relay_url or RELAY_URL
        bundle.check_address(relay, option="--relay")
        if heartbeat is not None:
            bundle.check_address(heartbeat, option="--heartbeat")
        config = routes.render_routes(
            directory,
            timing=timing,
            relay_url=relay,
            heartbeat_url=heartbeat or settings.notify.heartbeat_url or None,
            token_file=settings.notify.delivery_token_file or None,
        )
    _list(bundle.write_bundle(out, config=config, rules=rule_timing))
    _say_checked(*bundle.verify_bundle(out))


def example() -> None:
    """Print the example of a recipients file, with every field.

    Example: portalpulse alerts example > recipients.yaml
    """
    typer.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)


def simulate(
    *,
    agency: Annotated[str, typer.Option(metavar="CODE", help="The agency whose rate falls.")],
    rate: Annotated[str, typer.Option(metavar="PERCENT", help="To which rate, in percent, such as 3 or 4.97.")],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When, in the time of Viet Nam, such as 2026-11-29T22:00. Default: now.")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Which threshold it is below. Default: 5, or 10 for a rate from 5 on.")
    ] = None,
    dossiers: Annotated[int, typer.Option(min=1, max=1_000_000_000, help="Of how many dossiers.")] = 1_000,
    alert: Annotated[str, typer.Option(metavar="NAME", help="Which alert on agencies, such as AgencySilent.")] = "AgencyRateLow",
    recipients: RecipientsOption = None,
    message: Annotated[bool, typer.Option("--message", help="Print the text of every message, too.")] = False,
) -> None:
    """Say who would get what, and when, if the rate of an agency fell: through the real routes, hours and templates.

    Other alerts that mute this one are not simulated.

    Example: portalpulse alerts simulate --agency H17 --rate 3 --at 2026-11-29T22:00 --recipients recipients.yaml
    """
    from dashboards.notify import simulation  # noqa: PLC0415 - of this command only

    settings = load_settings()
    directory = directory_of(settings, recipients)
    if alert not in (names := simulation.agency_alerts()):
        raise ConfigurationError(f"There is no alert {alert[:40]!r} on agencies.", remedy=f"Choose {', '.join(names)}.")
    fallen = percent(rate, option="--rate")
    limit = _limit(fallen) if threshold is None else percent(threshold, option="--threshold")
    if alert == "AgencyRateLow" and fallen >= limit:
        raise ConfigurationError(f"{rate} % is not below a threshold.", remedy="Name a higher one with --threshold.")
    severity = "critical" if limit <= Fraction(1, 20) else "warning" if limit <= Fraction(1, 10) else "info"
    severity = _SEVERITIES.get(alert, severity)
    scene = simulation.Scene(
        agency=agency, rate=fallen, at=_instant(at), dossiers=dossiers, severity=severity, threshold=limit, name=alert
    )
    config = routes.render_routes(directory, timing=routes.AlertTiming.production(), relay_url=RELAY_URL)
    deliveries = simulation.simulate(directory, config, scene.alert(registry_of(settings)), links=links_of(settings))
    for delivery in deliveries:
        when = f"{delivery.at.astimezone(VIETNAM):%a %Y-%m-%d %H:%M:%S}"
        typer.echo(f"{when}  {delivery.key} ({delivery.name}), {' and '.join(delivery.channels)}, {delivery.why}")
        typer.echo(f"  {delivery.message.subject}")
        if message:
            typer.echo("".join(f"    {line}\n" for line in delivery.message.text.splitlines()))
    if not deliveries:
        typer.echo("Nobody would be told.")


def send_test(
    recipient: Annotated[str, typer.Argument(metavar="RECIPIENT", help="The id of a recipient in the file.")],
    *,
    recipients: RecipientsOption = None,
    channel: Annotated[str | None, typer.Option(help="Only this one: mail, telegram, webhook or chat.")] = None,
) -> None:
    """Send a marked test message to one recipient, over every channel; status 2 when one does not take it.

    Example: portalpulse alerts test truc-van-hanh --recipients recipients.yaml
    """
    from dashboards.notify.content import content_of  # noqa: PLC0415 - of this command only
    from dashboards.notify.messages import message_of  # noqa: PLC0415
    from dashboards.notify.simulation import Scene  # noqa: PLC0415
    from dashboards.notify.words import LANGUAGES  # noqa: PLC0415

    settings = load_settings()
    directory = directory_of(settings, recipients)
    person = directory.person(recipient)
    names = person.channels.names
    if channel is not None and channel not in names:
        raise ConfigurationError(f"{recipient} has no channel {channel[:20]!r}.", remedy=f"Choose {', '.join(names)}.")
    code = next((code for code, keys in directory.agencies.items() if recipient in keys), next(iter(directory.agencies)))
    alert = Scene(agency=code, rate=Fraction(3, 100), at=SystemClock().now()).alert(registry_of(settings))
    words = LANGUAGES[person.language]
    content = content_of([alert], words, links=links_of(settings), notes=[words.test])
    content = dataclasses.replace(content, subject=f"[{words.test.partition(':')[0]}] {content.subject}")
    sender = channels_of(directory, settings, clock=SystemClock())
    sender.check_secrets()
    for name in names:
        if channel in {None, name}:
            sender.send(recipient, name, message_of(content, words), [alert])
            typer.echo(f"sent to {recipient} over {name}")


def _limit(rate: Fraction) -> Fraction:
    """The threshold that a rate falls below: 5 % for a rate below 5 %, else 10 %."""
    return Fraction(1, 20) if rate < Fraction(1, 20) else Fraction(1, 10)


def _instant(text: str | None) -> dt.datetime:
    if text is None:
        return SystemClock().now()
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--at {text[:30]!r} is not a time.", remedy="Write 2026-11-29T22:00.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=VIETNAM)


def _say_checked(checked: Sequence[str], missing: Sequence[str]) -> None:
    if checked:
        typer.echo(f"checked with {' and '.join(checked)}")
    for name in missing:
        typer.echo(f"{name} is not installed here. Check the folder with it on a machine that has it.", err=True)


def _list(paths: Sequence[Path]) -> None:
    for path in paths:
        typer.echo(f"wrote {path}")
