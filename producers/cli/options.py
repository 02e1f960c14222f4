"""What the commands of this folder share: their options, and the brokers and processes that these name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from domain.errors import ConfigurationError
from pipeline.folders import folder
from pipeline.hints import command

if TYPE_CHECKING:
    from pipeline.settings import KafkaSettings

#: What a shell reports for a program that Ctrl-C ended.
INTERRUPTED: Final = 130

DataOption = Annotated[
    Path | None,
    typer.Option("--data", parser=folder, metavar="DIR", help="Folder of the running local stack (`portalpulse up`)."),
]
BootstrapOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Kafka brokers, separated by commas; wins over --data and settings.")
]
TopicOption = Annotated[str | None, typer.Option(metavar="NAME", help="Topic of the dossier events.")]
CreateTopicOption = Annotated[bool, typer.Option("--create-topic", help="Create the topic when it does not exist.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
HttpOption = Annotated[
    str | None,
    typer.Option("--http", metavar="URL", help="The running process to ask what is visible. Default: that of the local stack."),
]
ProcessesOption = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Sending processes; they divide the partitions.")]
ReportOption = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Also write the report as JSON to a file.")]


@dataclass(frozen=True, slots=True)
class Target:
    """Where options and settings point to.

    Attributes:
        bootstrap: broker addresses, host:port.
        topic: of the dossier events.
        http: the running process; None: none is known.
        security: whose protocol, login and certificate authorities hold for the brokers.
    """

    bootstrap: tuple[str, ...]
    topic: str
    http: str | None
    security: KafkaSettings


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The options as they were given."""

    data: Path | None
    bootstrap: str | None
    topic: str | None
    create_topic: bool
    http: str | None = None

    def resolve(self) -> Target:
        """--bootstrap wins over the running local stack, which wins over the settings.

        TLS and login of the settings hold for every broker but the local stack's own, which is plain.

        Raises:
            ConfigurationError: --data names a folder on which nothing runs.
        """
        from pipeline.addresses import read_addresses  # noqa: PLC0415 - --help need not load it
        from pipeline.kafka.security import PLAINTEXT  # noqa: PLC0415
        from pipeline.settings import load_settings  # noqa: PLC0415

        settings = load_settings()
        running = None
        if self.bootstrap is None or self.data is not None:
            running = read_addresses(self.data or settings.data_dir)
            if running is None and self.data is not None:
                raise ConfigurationError(
                    f"No local stack runs on {self.data}.", remedy=f"Start one with `{command('up', '--data', self.data)}`."
                )
        security = settings.kafka
        if self.bootstrap is not None:
            brokers = brokers_named(self.bootstrap, option="--bootstrap")
        elif running is not None:
            brokers, security = (running.kafka,), PLAINTEXT
        else:
            brokers = settings.kafka.bootstrap
        http = self.http or (running.http if running else None)
        return Target(brokers, self.topic or settings.kafka.topic, http, security)

    @property
    def partitions(self) -> int | None:
        """With how many partitions a missing topic is to be created; None: not at all."""
        from pipeline.settings import load_settings  # noqa: PLC0415 - as above

        return load_settings().kafka.partitions if self.create_topic else None


def brokers_named(text: str, *, option: str) -> tuple[str, ...]:
    """The addresses of brokers in an option.

    Raises:
        ConfigurationError: it holds none, or one that is not host:port.
    """
    from pipeline.settings import addresses_in, require_addresses  # noqa: PLC0415 - as above

    addresses = addresses_in(text)
    try:
        require_addresses(addresses)
    except ValueError as error:
        raise ConfigurationError(f"{option} is wrong: {error}.", remedy=f"Write {option} HOST:PORT,HOST:PORT.") from error
    return addresses


def require_report_place(report: Path | None, *, sources: Sequence[str] = (), state: Path | None = None) -> None:
    """Look at where the report is to be written, before anything is sent.

    Raises:
        ConfigurationError: it would replace what is replayed or its state, or cannot be written.
    """
    if report is None:
        return
    remedy = "Give --report another file."
    if any(_same_file(report, Path(source)) for source in sources):
        raise ConfigurationError(f"{report} is replayed; the report would replace it.", remedy=remedy)
    if state is not None and _same_file(report, state):
        raise ConfigurationError(f"{report} is the file of --state; the report would replace it.", remedy=remedy)
    place = report if report.exists() else report.parent
    if report.is_dir() or not place.exists() or not os.access(place, os.W_OK):
        reason = "it is a folder" if report.is_dir() else "no right to write" if place.exists() else f"there is no folder {place}"
        raise ConfigurationError(f"{report} cannot be written: {reason}.", remedy=remedy)


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them is not there yet
        return first.resolve() == second.resolve()


def number(text: str | None, *, option: str) -> float | None:
    """A positive number, or None for ``max``.

    Raises:
        ConfigurationError: it is neither.
    """
    if text is None or text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ConfigurationError(f"{option} {text!r} is no positive number.", remedy=f"Write {option} 5000 or {option} max.")
    return value
