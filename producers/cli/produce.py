"""The command ``produce``: simulated portals. It also registers the commands of this folder."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from domain.errors import ConfigurationError
from producers.cli.catalogue_file import write_catalogue
from producers.cli.destination import destination
from producers.cli.live_traffic import LIVE, LIVE_RATE, LiveShape, live_traffic
from producers.cli.load import LOAD_HELP, load
from producers.cli.options import (
    FAULT_HELP,
    INTERRUPTED,
    LONGEST,
    BootstrapOption,
    CreateTopicOption,
    DataOption,
    FaultOption,
    JsonOption,
    Profile,
    ProfileOption,
    TargetOptions,
    TopicOption,
    TruthOption,
    fault_shares,
    number,
)
from producers.cli.replay import REPLAY_HELP, replay
from producers.cli.reports import not_delivered, require_different_files, require_places

if TYPE_CHECKING:
    from domain.agencies import AgencyRegistry
    from producers.portals.dossier_faults import FaultShares
    from producers.portals.produce import ProduceReport, Send
    from producers.sending.message_stream import MessageStream

_PRODUCE_HELP: Final = (
    "Send what simulated portals report: a published scenario, exactly, or endless live traffic.\n\n"
    "[bold]portalpulse produce[/bold] sends the 84 agencies of 1 January to 20 August 2024; counted, they give the "
    "published rates. Sent again with the same seed it changes nothing: the events are the same.\n\n"
    "[bold]portalpulse produce --scenario live --rate 200 --collapse H26 --collapse-after 60[/bold] sends live traffic, "
    "and after a minute the online share of Hà Nội collapses.\n\n"
    "[bold]portalpulse produce --scenario feb-2025 --events 1000000 --profile realistic --truth truth.json[/bold] sends every "
    "agency of February 2025 with the faults of real portals; six ministries are merged on 1 March, and their successors send "
    "the month again. The file says what must be counted.\n\n"
    "[bold]portalpulse produce --scenario feb-2025 --catalogue catalogue.csv[/bold] writes which procedures these agencies offer "
    "at which level, for [bold]portalpulse catalogue load[/bold]. With that of a published scenario, I2, I3 and I4 are the "
    "published ones, too.\n\n" + FAULT_HELP
)


#: The commands of this folder: name -> the module that registers it.
COMMANDS: Final = dict.fromkeys(("produce", "replay", "load"), __name__)


def register(app: typer.Typer) -> None:
    """Add the commands produce, replay and load to the command line."""
    app.command("produce", help=_PRODUCE_HELP)(_produce)
    app.command("replay", help=REPLAY_HELP)(replay)
    app.command("load", help=LOAD_HELP)(load)


def _produce(
    *,
    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A published scenario (emc-2024, services-2019, services-2020, thai-nguyen-2018), a month (feb-2025), or live: "
            "endless traffic, now.",
        ),
    ] = "emc-2024",
    profile: ProfileOption = Profile.REGULAR,
    fault: FaultOption = None,
    events: Annotated[
        int | None,
        typer.Option(min=1, max=100_000_000, metavar="N", help="feb-2025 only: at least so many messages. Default: 50000."),
    ] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Send a scenario in any order, not as its messages arrive.")] = False,
    truth: TruthOption = None,
    truth_dossiers: Annotated[
        Path | None,
        typer.Option("--truth-dossiers", metavar="FILE", help="Write what is true of each dossier, a line of JSON each."),
    ] = None,
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
        float | None,
        typer.Option(min=0, max=LONGEST, metavar="SECONDS", help="live only: stop after this time. Default: at Ctrl-C."),
    ] = None,
    shape: Annotated[
        LiveShape | None,
        typer.Option(help="live only: traffic over the day. Default: office; steady with --collapse.", show_default=False),
    ] = None,
    collapse: Annotated[
        str | None,
        typer.Option(
            metavar="CODE[:SHARE]", help="live only: this agency sends much traffic and its online share collapses (to 0.01)."
        ),
    ] = None,
    collapse_after: Annotated[
        float, typer.Option(min=0, max=LONGEST, metavar="SECONDS", help="live only: when the collapse begins.")
    ] = 0.0,
    catalogue: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the service catalogue of the simulated agencies as CSV, and send nothing."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write NDJSON to a file or standard output, not to Kafka.")
    ] = None,
    data: DataOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    create_topic: CreateTopicOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the command ``produce``; ``_PRODUCE_HELP`` is its help text."""
    wanted = number(rate, option="--rate")
    if scenario != LIVE and (duration is not None or collapse is not None):
        raise ConfigurationError("--duration and --collapse belong to live traffic.", remedy="Add --scenario live.")
    if scenario == LIVE and scale != 1:
        raise ConfigurationError("--scale belongs to a scenario.", remedy="Give live traffic a --rate instead.")
    if scenario == LIVE and (shuffle or truth_dossiers is not None):
        raise ConfigurationError("--shuffle and --truth-dossiers belong to a scenario.", remedy="Omit them.")
    from producers.portals.months import MONTHS  # noqa: PLC0415 - numpy and Kafka, which --help need not load

    if scenario not in MONTHS and events is not None:
        raise ConfigurationError(
            "--events needs a scenario that is a month.",
            remedy="Add --scenario feb-2025, or omit --events: other scenarios take --scale, live traffic --rate and --duration.",
        )
    shares = fault_shares(profile, fault)
    places = {"--truth": truth, "--truth-dossiers": truth_dossiers, "--catalogue": catalogue}
    require_places(places)
    require_different_files({"--output": None if output in (None, "-") else Path(output), **places})
    if catalogue is not None:
        unused = (output, truth, truth_dossiers)
        _write_catalogue(catalogue, scenario, seed=seed, scale=scale, shares=shares, unused=unused)
        return
    if output is not None and faults:
        raise ConfigurationError(
            "--faults cannot go into a file: some malformed messages are not lines.", remedy="Omit --output."
        )
    options = TargetOptions(data=data, bootstrap=bootstrap, topic=topic, create_topic=create_topic)
    from pipeline.logs import SENDING_LIBRARY, configure_logging  # noqa: PLC0415 - numpy and Kafka, which --help need not load
    from pipeline.registry import registry_of  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.shutdown import interrupted_by  # noqa: PLC0415
    from producers.portals.produce import live_stream  # noqa: PLC0415

    stream: Callable[[], MessageStream]
    if scenario == LIVE:
        traffic = live_traffic(
            seed=seed,
            rate=LIVE_RATE if rate is None else wanted,
            shape=shape or (LiveShape.OFFICE if collapse is None else LiveShape.STEADY),
            collapse=collapse,
            collapse_after=collapse_after,
        )
        stream = partial(live_stream, traffic, label=LIVE, seed=seed, duration=duration, faults=faults)
    else:
        _known_scenario(scenario)
        stream = partial(
            _scenario_stream,
            scenario,
            seed=seed,
            rate=wanted,
            scale=scale,
            events=events,
            shares=shares,
            shuffled=shuffle,
            faults=faults,
            truth=truth,
            truth_dossiers=truth_dossiers,
            registry=registry_of(load_settings()),
        )
    configure_logging(load_settings().log, silenced=SENDING_LIBRARY)
    with interrupted_by(signal.SIGTERM), destination(output, options) as send:
        report = _sent(stream, send, title="live traffic" if scenario == LIVE else scenario, seed=seed)
    _report(report, as_json=as_json, to_stderr=output == "-", may_be_interrupted=scenario == LIVE)


def _write_catalogue(
    path: Path, scenario: str, *, seed: int, scale: int, shares: FaultShares, unused: tuple[object, ...]
) -> None:
    """Write the catalogue of ``--catalogue``; refuse ``unused``, the given options that only matter for sending."""
    if any(option is not None for option in unused):
        raise ConfigurationError(
            "--catalogue sends nothing.", remedy="Omit --output and --truth; send with a command of its own."
        )
    if scenario != LIVE:
        _known_scenario(scenario)
    write_catalogue(path, scenario=scenario, live=scenario == LIVE, seed=seed, scale=scale, shares=shares)


def _known_scenario(name: str) -> None:
    from producers.portals.documents import available_scenarios  # noqa: PLC0415
    from producers.portals.months import MONTHS  # noqa: PLC0415 - as above

    if name not in (known := (*available_scenarios(), *MONTHS)):
        raise ConfigurationError(f"There is no scenario {name!r}.", remedy=f"Choose one of: {', '.join(known)}, {LIVE}.")


def _scenario_stream(
    name: str,
    *,
    seed: int,
    rate: float | None,
    scale: int,
    events: int | None,
    shares: FaultShares,
    shuffled: bool,
    faults: int,
    truth: Path | None,
    truth_dossiers: Path | None,
    registry: AgencyRegistry,
) -> MessageStream:
    """Plan a scenario; its truth is written before anything is sent."""
    from producers.portals.produce import scenario_messages, stream_of  # noqa: PLC0415 - as above
    from producers.portals.truth import Truth, write_dossiers  # noqa: PLC0415

    messages = scenario_messages(name, seed=seed, scale=scale, events=events, shares=shares, shuffled=shuffled, registry=registry)
    if truth is not None:
        Truth.of(messages, seed=seed).write(truth)
    if truth_dossiers is not None:
        write_dossiers(messages, truth_dossiers)
    return stream_of(messages, seed=seed, rate=rate, faults=faults)


def _sent(stream: Callable[[], MessageStream], send: Send, *, title: str, seed: int) -> ProduceReport:
    """Send the stream with progress on stderr."""
    from pipeline.logs import get_logger  # noqa: PLC0415 - as above
    from producers.measuring.progress import shown  # noqa: PLC0415
    from producers.portals.produce import produce  # noqa: PLC0415

    with shown(Console(stderr=True), get_logger("producers").info, title=title) as progress:
        return produce(stream(), seed=seed, send=send, progress=progress)


def _report(report: ProduceReport, *, as_json: bool, to_stderr: bool, may_be_interrupted: bool) -> None:
    """Print the report and exit with 1 when anything failed, with 130 when a finite stream was interrupted."""
    if as_json:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False).encode(), err=to_stderr)
    else:
        typer.echo(report.text(), err=to_stderr)
    if not report.complete:
        raise not_delivered(report.result)
    if report.result.interrupted and not may_be_interrupted:
        raise typer.Exit(INTERRUPTED)
