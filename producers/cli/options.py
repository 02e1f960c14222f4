"""Options that several commands share, and the brokers and processes that the options name.

Typer reads the options of a command from its signature, so every command lists them by name. Each is defined here once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from domain.errors import ConfigurationError
from pipeline.folders import folder
from pipeline.hints import command
from producers.portals.dossier_faults import DESCRIPTIONS, PROFILES, FaultShares

if TYPE_CHECKING:
    from ssl import SSLContext

    from pipeline.settings import KafkaSettings
    from producers.measuring.service import Service

#: Exit status of a program that Ctrl-C ended, as shells report it.
INTERRUPTED: Final = 130


class Profile(StrEnum):
    """How regular the dossiers are; ``producers.portals.dossier_faults.PROFILES`` has their shares."""

    REGULAR = "regular"
    REALISTIC = "realistic"


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
    typer.Option(
        "--http",
        metavar="URL",
        help="The running process to ask. Default: that of the local stack, else PORTALPULSE_HTTP__URL.",
    ),
]
#: Bounds of a rate (messages a second) or a speed: beyond them times cannot be computed.
SMALLEST: Final = 1e-6
LARGEST: Final = 1e9
#: The longest run (seconds): a year.
LONGEST: Final = 31_536_000.0
ProcessesOption = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Sending processes; they divide the partitions.")]
ProfileOption = Annotated[
    Profile, typer.Option("--profile", help="Dossiers without faults, or as portals really send them: each fault in 5 %.")
]
FaultOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="NAME=SHARE",
        help="Change one share of the profile (repeatable). Names: above.",
    ),
]
TruthOption = Annotated[
    Path | None, typer.Option("--truth", metavar="FILE", help="Write the counts and findings that are true, by unit and day.")
]
ReportOption = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Also write the report as JSON to a file.")]


@dataclass(frozen=True, slots=True)
class Target:
    """The topic and the running process that the options and settings name.

    Attributes:
        bootstrap: broker addresses, host:port.
        topic: the topic of the dossier events, or a name that stands for the topics of portals.
        portals: the topics of portals, used instead of one topic.
        http: the address of the running process; None: none is known.
        security: protocol, login and certificate authorities for the brokers.
        token: the token for the running process; empty: none.
        trust: the certificates that are accepted from the running process; None: those of the public authorities.
    """

    bootstrap: tuple[str, ...]
    topic: str
    http: str | None
    security: KafkaSettings
    token: str = ""
    trust: SSLContext | None = None
    portals: tuple[str, ...] = ()

    def service(self, url: str) -> Service:
        """The running process at ``url``, which is asked with the token of this target."""
        from producers.measuring.service import Service  # noqa: PLC0415 - --help need not load it

        return Service(url, token=self.token, trust=self.trust)


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The options that name the target, as the user gave them."""

    data: Path | None
    bootstrap: str | None
    topic: str | None
    create_topic: bool
    http: str | None = None

    def resolve(self) -> Target:
        """Find the target: --bootstrap wins over the running local stack, which wins over the settings.

        TLS and login of the settings apply to every broker except that of the local stack, which uses neither.

        Raises:
            ConfigurationError: no stack runs on the folder that --data names, or a file of authorities cannot be used.
        """
        from pipeline.addresses import read_addresses  # noqa: PLC0415 - --help need not load it
        from pipeline.authorities import trust_of  # noqa: PLC0415
        from pipeline.kafka.security import PLAINTEXT  # noqa: PLC0415
        from pipeline.registry import registry_of  # noqa: PLC0415
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
        http = self.http or (running.http if running else settings.http.url or None)
        trust, token = trust_of(settings.http.ca_file, variable="PORTALPULSE_HTTP__CA_FILE"), settings.http.sent_token
        portals = () if self.topic else security.topics(registry_of(settings).codes)
        if portals and portals != (security.topic,):
            return Target(brokers, f"{security.portal_prefix}CODE", http, security, token, trust, portals)
        return Target(brokers, self.topic or settings.kafka.topic, http, security, token, trust)

    def create_missing_topic(self, target: Target) -> None:
        """With --create-topic, create the topic of ``target`` unless the topic exists.

        Raises:
            ConfigurationError: the topic exists with another number of partitions.
            UnavailableError: the brokers do not answer, or refuse to create the topic.
        """
        if not self.create_topic:
            return
        if target.portals:
            raise ConfigurationError(
                "--create-topic creates one topic, and every portal has its own.",
                remedy="Name a topic with --topic, or create those of the portals (docs/kafka_access.md).",
            )
        from pipeline.settings import load_settings  # noqa: PLC0415 - as above
        from producers.sending.topics import create_topic  # noqa: PLC0415

        partitions = load_settings().kafka.partitions
        create_topic(bootstrap=target.bootstrap, topic=target.topic, partitions=partitions, security=target.security)


def brokers_named(text: str, *, option: str) -> tuple[str, ...]:
    """The broker addresses in the text of an option.

    Raises:
        ConfigurationError: the text has no address, or one that is not host:port.
    """
    from pipeline.broker_addresses import addresses_in, require_addresses  # noqa: PLC0415 - as above

    addresses = addresses_in(text)
    try:
        require_addresses(addresses)
    except ValueError as error:
        raise ConfigurationError(f"{option} is wrong: {error}.", remedy=f"Write {option} HOST:PORT,HOST:PORT.") from error
    return addresses


def number(text: str | None, *, option: str) -> float | None:
    """The number in the text of an option, within ``SMALLEST`` and ``LARGEST``, or None for ``max``.

    Raises:
        ConfigurationError: the text is neither such a number nor ``max``.
    """
    if text is None or text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0.0:
        raise ConfigurationError(f"{option} {text!r} is not a positive number.", remedy=f"Write {option} 5000 or {option} max.")
    if not SMALLEST <= value <= LARGEST:
        raise ConfigurationError(
            f"{option} {text!r} is not between {SMALLEST:f} and {LARGEST:,.0f}.", remedy=f"Write {option} 5000 or {option} max."
        )
    return value


def fault_shares(profile: Profile, faults: list[str] | None) -> FaultShares:
    """The shares that --profile and --fault ask for.

    Raises:
        ConfigurationError: a --fault is not NAME=SHARE.
    """
    return PROFILES[profile].changed(faults or ())


#: The names of --fault for a help text.
FAULT_HELP: Final = "Names of --fault:\n\n" + "\n\n".join(f"[bold]{name}[/bold]: {text}" for name, text in DESCRIPTIONS.items())
