"""Puts the parts of messages together from the settings."""

from __future__ import annotations

from pathlib import Path

from dashboards.notify.channels import Channels, Secrets
from dashboards.notify.content import Links
from dashboards.notify.memory import Memory
from dashboards.notify.present import Prometheus
from dashboards.notify.procedures import Procedures
from dashboards.notify.recipients_file import Directory
from dashboards.notify.relay import Relay
from domain.clock import Clock
from pipeline.authorities import trust_of
from pipeline.settings import Settings


def links_of(settings: Settings) -> Links:
    """The addresses for links in messages.

    Missing ones are not guessed: an address of this machine may mean nothing to a reader.
    """
    notify = settings.notify
    return Links(board=notify.board_url, agency=notify.agency_url, runbook=notify.runbook_url)


def channels_of(directory: Directory, settings: Settings, *, clock: Clock) -> Channels:
    """The channels of a recipients file with the secrets of the settings."""
    secrets = Secrets(
        smtp_password=settings.notify.smtp_password.get_secret_value(),
        telegram_token=settings.notify.telegram_token.get_secret_value(),
    )
    return Channels(directory, secrets, clock=clock)


def _procedures(settings: Settings, url: str) -> Procedures:
    trust = trust_of(settings.http.ca_file, variable="PORTALPULSE_HTTP__CA_FILE")
    return Procedures(url, token=settings.http.reading_token, trust=trust)


def relay_of(
    directory: Directory,
    settings: Settings,
    *,
    folder: Path,
    clock: Clock,
    prometheus: str = "",
    alertmanager: str = "",
    api: str = "",
) -> Relay:
    """A relay whose memory is in ``folder``; the given addresses win over those of the settings.

    Raises:
        ConfigurationError: a password, a token or a file with one is missing.
        UnavailableError: the memory cannot be read.
    """
    channels = channels_of(directory, settings, clock=clock)
    channels.check_secrets()
    prometheus = prometheus or settings.notify.prometheus_url
    return Relay(
        directory,
        channels,
        Memory(folder / "messages.sqlite"),
        clock,
        links=links_of(settings),
        truth=Prometheus(prometheus) if prometheus else None,
        procedures=_procedures(settings, api) if (api := api or settings.notify.api_url) else None,
        alertmanager=alertmanager or settings.notify.alertmanager_url or None,
    )
