"""The commands of this folder: ``produce`` (simulated portals) here; ``replay`` and ``load`` have modules of their own."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from domain.errors import ConfigurationError
from producers.cli.load import LOAD_HELP, load
from producers.cli.options import (
    INTERRUPTED,
    BootstrapOption,
    CreateTopicOption,
    DataOption,
    JsonOption,
    TargetOptions,
    TopicOption,
    number,
)
from producers.cli.replay import REPLAY_HELP, replay
from producers.sending.stream import Summary, Writer

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from producers.measuring.progress import RateProgress
    from producers.portals.live import LiveTraffic

#: The name of the endless scenario beside the packaged ones.
LIVE: Final = "live"
#: Messages a second of live traffic at the busiest hour, unless said otherwise.
_LIVE_RATE: Final = 50.0
#: From a low rate to the delivered alert, as the alert rules have it (a test compares): scrape, evaluation, waiting times.
QUICK_ALERT_SECONDS: Final = 20.0
ALERT_SECONDS: Final = 700.0
#: In live traffic every so many-th message is followed by one of the malformed ones asked for.
_FAULT_EVERY: Final = 20


class LiveShape(StrEnum):
    """How live traffic changes over the day."""

    OFFICE = "office"
    STEADY = "steady"


_PRODUCE_HELP: Final = (
    "Send what simulated portals report: a published scenario, exactly, or endless live traffic.\n\n"
    "[bold]portalpulse produce[/bold] sends the 84 agencies of 1 January to 20 August 2024; counted, they give the "
    "published rates. Sent again with the same seed it changes nothing: the events are the same.\n\n"
    "[bold]portalpulse produce --scenario live --rate 200 --collapse H26 --collapse-after 60[/bold] sends live traffic, "
    "and after a minute the online share of Hà Nội collapses."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("produce", help=_PRODUCE_HELP)(_produce)
    app.command("replay", help=REPLAY_HELP)(replay)
    app.command("load", help=LOAD_HELP)(load)


def _produce(
    *,
    scenario: Annotated[
        str, typer.Option(metavar="NAME", help="A packaged scenario (emc-2024), or live: endless traffic, now.")
    ] = "emc-2024",
    rate: Annotated[
        str | None,
        typer.Option(metavar="N|max", help="Messages a second. Default: max; for live 50 at the busiest hour."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 1,
    scale: Annotated[int, typer.Option(min=1, max=100, help="Whole factor on a scenario's volume; rates stay.")] = 1,
    faults: Annotated[
        int, typer.Option(min=0, max=1_000_000, metavar="N", help="Mix N malformed messages of many kinds in.")
    ] = 0,
    duration: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="live only: stop after so long. Default: at Ctrl-C.")
    ] = None,
    shape: Annotated[
        LiveShape | None,
        typer.Option(help="live only: traffic over the day. Default: office; steady with --collapse.", show_default=False),
    ] = None,
    collapse: Annotated[
        str | None,
        typer.Option(metavar="CODE[:SHARE]", help="live only: this agency sends much and its online share collapses (to 0.01)."),
    ] = None,
    collapse_after: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="live only: when the collapse begins.")] = 0.0,
    output: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write NDJSON to a file or standard output, not to Kafka.")
    ] = None,
    data: DataOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    create_topic: CreateTopicOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send simulated traffic; ``_PRODUCE_HELP`` says it to the user."""
    wanted = number(rate, option="--rate")
    if scenario != LIVE and (duration is not None or collapse is not None):
        raise ConfigurationError("--duration and --collapse belong to live traffic.", remedy="Add --scenario live.")
    if scenario == LIVE and scale != 1:
        raise ConfigurationError("--scale belongs to a scenario.", remedy="Give live traffic a --rate instead.")
    if output is not None and faults:
        raise ConfigurationError(
            "--faults cannot go into a file: some malformed messages are no lines.", remedy="Leave --output out."
        )
    destination = _Destination(output, TargetOptions(data=data, bootstrap=bootstrap, topic=topic, create_topic=create_topic))
    if scenario == LIVE:
        live = _live_traffic(
            seed=seed,
            rate=_LIVE_RATE if rate is None else wanted,
            shape=shape or (LiveShape.OFFICE if collapse is None else LiveShape.STEADY),
            duration=duration,
            collapse=collapse,
            collapse_after=collapse_after,
            faults=faults,
        )
        summary = _sent(destination, live, title="live traffic", rate=None)
    else:

        def send(writer: Writer, progress: RateProgress) -> Summary:
            from producers.portals.simulate import produce_scenario  # noqa: PLC0415 - numpy, which --help need not load

            return produce_scenario(
                scenario=scenario, seed=seed, rate=wanted, writer=writer, progress=progress, scale=scale, faults=faults
            )

        _known_scenario(scenario)
        summary = _sent(destination, send, title=scenario, rate=wanted)
    _report(summary, as_json=as_json, to_stderr=output == "-", may_be_interrupted=scenario == LIVE)


def _live_traffic(
    *,
    seed: int,
    rate: float | None,
    shape: LiveShape,
    duration: float | None,
    collapse: str | None,
    collapse_after: float,
    faults: int,
) -> Callable[[Writer, RateProgress], Summary]:
    """Live traffic on the settings' clock, ready to be sent; wrong options are refused before a broker is asked."""
    from domain.agencies import AgencyRegistry  # noqa: PLC0415 - as above
    from domain.clock import parse_clock  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from producers.portals.faults import malformed, mix  # noqa: PLC0415
    from producers.portals.live import LiveTraffic, parse_collapse  # noqa: PLC0415
    from producers.portals.load_shapes import SHAPES  # noqa: PLC0415
    from producers.sending.stream import send_all  # noqa: PLC0415

    settings = load_settings()
    traffic = LiveTraffic(
        registry=AgencyRegistry.packaged(),
        clock=parse_clock(settings.clock),
        seed=seed,
        rate=rate,
        shape=SHAPES[shape],
        collapse=None if collapse is None else parse_collapse(collapse, after=collapse_after),
        duration=duration,
    )

    for line in _live_lines(traffic, rate=rate, shape=shape, now=parse_clock(settings.clock).now(), settings=settings):
        typer.echo(line, err=True)

    def send(writer: Writer, progress: RateProgress) -> Summary:
        progress.aim_by(lambda _: traffic.rate_now())
        messages = mix(traffic, malformed(seed, faults), positions=itertools.count(_FAULT_EVERY, _FAULT_EVERY))
        return send_all(messages, source=LIVE, seed=seed, writer=writer, progress=progress)

    return send


def _live_lines(
    traffic: LiveTraffic, *, rate: float | None, shape: LiveShape, now: dt.datetime, settings: Settings
) -> Iterator[str]:
    """What to expect of the traffic: how much of it there is now, and when a collapse is told."""
    from domain.periods import VIETNAM  # noqa: PLC0415 - as above

    current = traffic.rate_now()
    if rate is not None and current is not None and shape is LiveShape.OFFICE:
        yield (
            f"At {now.astimezone(VIETNAM):%H:%M} in Viet Nam the office shape sends {current / rate:.0%} of"
            f" {rate:g} messages/s: {current:.2g}/s. --shape steady sends all of them."
        )
    collapse = traffic.collapse
    if collapse is None:
        return
    policies = [policy for policy in settings.thresholds if policy.kpi == "I1"]
    expected = [traffic.seconds_until_low(ratio=policy.ratio, min_volume=policy.min_volume) for policy in policies]
    low = min((seconds for seconds in expected if seconds is not None), default=None)
    if low is None:
        yield f"{collapse.agency} falls to {collapse.share:.2%}, which is below no threshold: there will be no alert."
        return
    yield (
        f"{collapse.agency} falls to {collapse.share:.2%}"
        + (f" after {collapse.after:g} s" if collapse.after else "")
        + f". Without earlier events, expect its alert after about {_duration(low + QUICK_ALERT_SECONDS)} with"
        f" `portalpulse up --quick-alerts`, and {_duration(low + ALERT_SECONDS)} without."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"


def _known_scenario(name: str) -> None:
    from producers.portals.scenarios import available_scenarios  # noqa: PLC0415 - as above

    if name not in available_scenarios():
        raise ConfigurationError(
            f"There is no scenario {name!r}.", remedy=f"Choose one of: {', '.join(available_scenarios())}, {LIVE}."
        )


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where the options say that the messages go."""

    output: str | None
    options: TargetOptions

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """An open writer; for Kafka, --bootstrap wins over the running local stack, which wins over the settings."""
        if self.output is not None:
            with self._file(self.output) as writer:
                yield writer
            return
        from producers.sending.kafka_writer import KafkaWriter  # noqa: PLC0415 - as above

        target = self.options.resolve()
        with KafkaWriter(
            bootstrap=target.bootstrap,
            topic=target.topic,
            create_partitions=self.options.partitions,
            security=target.security,
        ) as writer:
            yield writer

    @staticmethod
    @contextmanager
    def _file(name: str) -> Iterator[Writer]:
        from producers.files import FileWriter  # noqa: PLC0415 - as above

        if name == "-":
            yield FileWriter(sys.stdout.buffer, name="standard output")
            return
        try:
            file = Path(name).open("wb")  # noqa: SIM115 - closed below; only opening is answered here
        except OSError as error:
            raise ConfigurationError(f"{name} cannot be written: {error.strerror}.", remedy="Choose another file.") from error
        try:
            yield FileWriter(file, name=name)
        finally:
            # Whoever finished sending has flushed; after a full disk the error is on its way already.
            with suppress(OSError):
                file.close()


def _sent(
    destination: _Destination, send: Callable[[Writer, RateProgress], Summary], *, title: str, rate: float | None
) -> Summary:
    """Open the destination and send, with progress on stderr; SIGTERM ends the sending as Ctrl-C does."""
    from pipeline.logs import SENDING_LIBRARY, configure_logging, get_logger  # noqa: PLC0415 - as above
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.shutdown import interrupted_by  # noqa: PLC0415
    from producers.measuring.progress import shown  # noqa: PLC0415

    configure_logging(load_settings().log, silenced=SENDING_LIBRARY)
    log = get_logger("producers")
    console = Console(stderr=True)
    with (
        interrupted_by(signal.SIGTERM),
        destination.writer() as writer,
        shown(console, log.info, title=title, rate=rate) as progress,
    ):
        return send(writer, progress)


def _report(summary: Summary, *, as_json: bool, to_stderr: bool, may_be_interrupted: bool) -> None:
    """Print the summary and leave with 1 when anything failed, 130 when a finite stream was cut off."""
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), ensure_ascii=False).encode(), err=to_stderr)
    else:
        typer.echo(
            f"{summary.source}: sent {summary.sent:,} messages ({summary.distinct:,} distinct, {summary.repeated:,} repeated, "
            f"{summary.malformed:,} malformed), acknowledged {summary.acknowledged:,}, failed {summary.failed:,}, "
            f"in {summary.seconds:.1f} s ({summary.rate:,.0f}/s).",
            err=to_stderr,
        )
        if summary.problem:
            typer.echo(f"First failure: {summary.problem}.", err=True)
    if not summary.complete:
        raise typer.Exit(1)
    if summary.interrupted and not may_be_interrupted:
        raise typer.Exit(INTERRUPTED)
