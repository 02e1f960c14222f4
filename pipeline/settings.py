"""Settings: typed, checked once at start, read from ``PORTALPULSE_...`` variables (nested with ``__``) and files of secrets.

No other module reads the environment. docs/settings.md lists every setting; a test compares the two. One module, above 300 lines,
so that every setting is found in one place.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from domain.acceptance import FIRST_DAY
from domain.clock import parse_clock
from domain.errors import ConfigurationError
from domain.portal_topics import SEPARATOR, portal_of
from pipeline.broker_addresses import addresses_in, require_addresses
from pipeline.secret_files import with_secret_files
from pipeline.setting_messages import explained, json_fault, unknown_variable, unreadable, variable_set_twice
from pipeline.texts import require_text

#: Prefix of every variable.
PREFIX = "PORTALPULSE_"
#: Shortest token (characters): shorter ones can be guessed.
_MIN_TOKEN = 16
#: Begins an address that names a folder.
_FOLDER = "chdb:"


def _checked(model: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Apply the rule for texts to a value of a field; those of a group are checked with the group.

    Raises:
        ValueError: a text is not UTF-8.
    """
    name = info.field_name or ""
    for item in value if isinstance(value, list | tuple) else (value,):
        text = item.get_secret_value() if isinstance(item, SecretStr) else item
        if isinstance(text, str):
            names_a_folder = model.model_fields[name].annotation is Path or (name == "url" and text.startswith(_FOLDER))
            require_text(text, names_a_file=names_a_folder)
    return value


def _web_address(value: str) -> str:
    """An address of a page, or nothing.

    Raises:
        ValueError: it is neither.
    """
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("it must start with http:// or https://")
    return value


class _Group(BaseModel):
    """Settings that share a name. A field that is not known is an error."""

    model_config = {"extra": "forbid"}

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any, info: ValidationInfo) -> Any:
        return _checked(cls, value, info)


class KafkaSettings(_Group):
    """Where the dossier events come from."""

    bootstrap: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1:9092",), description="Broker addresses, host:port, separated by commas."
    )
    topic: str = Field(
        "dvc.dossier-events.v1",
        min_length=1,
        max_length=249,
        description="Topic of the dossier events. With portal_prefix it is used only when it begins with it: that portal alone.",
    )
    portal_prefix: str = Field(
        "",
        max_length=200,
        description="Prefix of the topics of portals, as dvc.portal.: the rest of a topic's name is the agency that may report"
        " in it. Empty: the topic is shared, and its senders are trusted.",
    )
    group: str = Field("portalpulse", min_length=1, max_length=249, description="Consumer group of the workers.")
    partitions: int = Field(4, ge=1, le=1024, description="Partitions of the topic when portalpulse creates it.")
    session_timeout_seconds: float = Field(
        10.0, ge=6.0, le=90.0, description="A worker that sends no heartbeat for this long loses its partitions."
    )
    fetch_bytes: int = Field(4 << 20, ge=1 << 16, le=1 << 27, description="Maximum bytes fetched per partition and request.")
    fetch_min_bytes: int = Field(
        1 << 18, ge=1, le=1 << 24, description="The broker waits for this much, or for fetch_max_wait_ms."
    )
    fetch_max_wait_ms: int = Field(100, ge=1, le=5_000, description="Longest wait of a fetch for fetch_min_bytes.")
    metadata_max_age_seconds: float = Field(
        15.0, ge=1.0, le=300.0, description="A partition added to the topic is found within this."
    )
    security_protocol: str = Field(
        "PLAINTEXT",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="Protocol of the brokers: SSL encrypts, SASL logs in with user and password.",
    )
    sasl_mechanism: str = Field(
        "SCRAM-SHA-512",
        pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$",
        description="How the login to the brokers works.",
    )
    user: str = Field("", description="User for the brokers; only used with SASL.")
    password: SecretStr = Field(SecretStr(""), description="Password of that user; never printed or logged.")
    ca_file: str = Field(
        "", description="File (PEM) of the authorities that sign the brokers' certificates; empty: those of the system."
    )

    @field_validator("bootstrap", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return addresses_in(value) if isinstance(value, str) else value

    @field_validator("bootstrap")
    @classmethod
    def _host_and_port(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        require_addresses(value)
        return value

    @field_validator("portal_prefix")
    @classmethod
    def _ends_a_word(cls, value: str) -> str:
        if value and not value.endswith(SEPARATOR):  # a right on dvc.portal would reach dvc.portals, too
            raise ValueError("it must end with a dot")
        return value

    def topics(self, agencies: Iterable[str]) -> tuple[str, ...]:
        """The topics that are read: the shared one, that of one portal, or with ``portal_prefix`` that of every agency.

        The list does not depend on which topics exist, so that all workers of a group have the same one at every moment.
        """
        if not self.portal_prefix or self.topic.startswith(self.portal_prefix):
            return (self.topic,)
        return tuple(f"{self.portal_prefix}{code}" for code in agencies)

    def portal_of(self, topic: str) -> str | None:
        """The portal that a topic belongs to; None: any agency may report in it."""
        return portal_of(topic, self.portal_prefix)

    @model_validator(mode="after")
    def _nothing_is_left_unused(self) -> KafkaSettings:
        """A password that is not sent, or a certificate that is not checked, is a mistake that would go unnoticed."""
        given, needed = bool(self.user or self.password.get_secret_value()), self.security_protocol.startswith("SASL_")
        if needed and not (self.user and self.password.get_secret_value()):
            raise ValueError(f"{self.security_protocol} needs user and password")
        if given and not needed:
            raise ValueError(f"user and password are not sent with {self.security_protocol}, choose SASL_SSL")
        if self.ca_file and not self.security_protocol.endswith("SSL"):
            raise ValueError(f"ca_file is not used with {self.security_protocol}, choose SSL or SASL_SSL")
        return self


#: Without an address ClickHouse is embedded, in this folder of the data folder.
_EMBEDDED = f"{_FOLDER}{{data_dir}}/clickhouse"


def embedded_url(data_dir: Path) -> str:
    """The address of the embedded ClickHouse of a data folder."""
    folder = str(data_dir / "clickhouse")
    return f"chdb://{folder}" if folder.startswith("//") else f"chdb:{folder}"  # "chdb://" is read as "chdb:"


#: The form of ``ClickHouseSettings.shards``.
_ADDRESSES: Final = TypeAdapter(list[list[str]])


class ClickHouseSettings(_Group):
    """Where the events and tallies are kept."""

    url: SecretStr = Field(
        SecretStr(_EMBEDDED),
        description="chdb:FOLDER for the embedded engine, http(s)://user:password@host:port/database for a server. "
        "{data_dir} in the default is PORTALPULSE_DATA_DIR.",
    )
    shards: SecretStr = Field(
        SecretStr(""),
        description="A cluster instead of URL: for each shard the addresses of its replicas, as JSON, for example "
        '[["http://a:8123","http://b:8123"],["http://c:8123","http://d:8123"]].',
    )
    cluster: str = Field(
        "portalpulse",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the cluster in remote_servers of every server, for the tables that read all shards.",
    )
    timeout_seconds: float = Field(60.0, ge=0.1, le=600, description="Longest wait for any answer of ClickHouse.")
    ca_file: str = Field(
        "", description="File (PEM) of the authorities that sign the certificate of ClickHouse; empty: the public ones."
    )

    @field_validator("shards")
    @classmethod
    def _lists_of_addresses(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            try:
                _ADDRESSES.validate_json(value.get_secret_value())
            except ValidationError:  # its text would show passwords
                raise ValueError(
                    'write a list of addresses for each shard, as JSON: [["http://a:8123","http://b:8123"]]'
                ) from None
        return value

    @property
    def addresses(self) -> list[list[str]]:
        """The addresses of the replicas of each shard; none for a single ClickHouse."""
        text = self.shards.get_secret_value()
        return _ADDRESSES.validate_json(text) if text else []

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("chdb:", "http://", "https://")):
            raise ValueError("it must start with chdb:, http:// or https://")
        return value

    @model_validator(mode="after")
    def _nothing_is_left_unchecked(self) -> ClickHouseSettings:
        """Authorities of an address without TLS are a mistake that would go unnoticed."""
        if self.ca_file and not self.url.get_secret_value().startswith("https://"):
            raise ValueError("ca_file is only used with an address that starts with https://")
        return self


class HttpSettings(_Group):
    """The worker's and exporter's own HTTP endpoint: metrics, health, report."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    read_token: SecretStr = Field(
        SecretStr(""),
        description="Requests with it may read pages and figures; several for rotation, with commas. Never printed.",
    )
    operate_token: SecretStr = Field(
        SecretStr(""),
        description="Requests with it may read everything and make changes; several for rotation, with commas. Never printed.",
    )
    anonymous_read: bool = Field(default=False, description="Whether everybody may read pages and figures without a token.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names of this machine in addresses, beside localhost, separated by commas; only used without a token."
    )
    certificate_file: str = Field(
        "", description="File (PEM) of the certificate with its chain, read again when it changes: https alone; empty: http."
    )
    key_file: str = Field("", description="File (PEM) of the key of that certificate, without a password.")
    url: str = Field(
        "", description="Where commands reach the process, such as https://exporter.example:8080; empty: host and port."
    )
    ca_file: str = Field(
        "", description="File (PEM) of the authorities that commands and relay trust with https; empty: the public ones."
    )
    requests_per_second: float = Field(
        200.0,
        ge=0,
        le=1e6,
        description="Requests of one token, or of one peer without a token; ten seconds of it at once. 0: any.",
    )

    @field_validator("read_token", "operate_token")
    @classmethod
    def _fit_a_header(cls, value: SecretStr) -> SecretStr:
        for token in _tokens(value):
            _require_token(token)
        return value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", host):
                raise ValueError(f"{host[:40]!r} is not a name of a host: omit http:// and the port")
        return value

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _web_address(value).rstrip("/")

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> HttpSettings:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file are needed together")
        return self

    @model_validator(mode="after")
    def _a_token_has_one_role(self) -> HttpSettings:
        if set(self.read_tokens) & set(self.operate_tokens):
            raise ValueError("read_token and operate_token have a token in common: a token has one role")
        return self

    @property
    def read_tokens(self) -> tuple[str, ...]:
        """The tokens that may read."""
        return _tokens(self.read_token)

    @property
    def operate_tokens(self) -> tuple[str, ...]:
        """The tokens that may do everything."""
        return _tokens(self.operate_token)

    @property
    def sent_token(self) -> str:
        """The token that commands send: the first one that may do everything, else the first one that may read, else none."""
        return next(iter((*self.operate_tokens, *self.read_tokens)), "")

    @property
    def reading_token(self) -> str:
        """The token that the relay sends: the first one that may read, else the first one that may do everything, else none."""
        return next(iter((*self.read_tokens, *self.operate_tokens)), "")


def _require_token(token: str) -> None:
    """Accept a token, or none.

    Raises:
        ValueError: it is short, or does not fit a header.
    """
    if token and (len(token) < _MIN_TOKEN or not all("!" <= sign <= "~" for sign in token)):
        raise ValueError(f"each token must have at least {_MIN_TOKEN} characters, visible ones of ASCII")


def _tokens(value: SecretStr) -> tuple[str, ...]:
    return tuple(token for token in value.get_secret_value().split(",") if token)


class IngestSettings(_Group):
    """Batch sizes and budgets of the worker."""

    batch_rows: int = Field(100_000, ge=1, le=1_000_000, description="Maximum number of rows decoded and inserted at once.")
    linger_ms: int = Field(100, ge=0, le=10_000, description="While the storage is busy: longest wait for a batch to fill.")
    store_interval_ms: int = Field(
        200, ge=0, le=10_000, description="Shortest time between the starts of two batches, unless a batch is full."
    )
    max_unstored_rows: int = Field(
        400_000, ge=1, le=10_000_000, description="Maximum number of rows in memory; fetching pauses above it."
    )
    max_unstored_bytes: int = Field(
        128 << 20,
        ge=1 << 20,
        le=1 << 33,
        description="Maximum size of messages in memory (bytes); fetching pauses above it.",
    )
    future_tolerance_seconds: float = Field(
        86_400.0, ge=0, le=3.2e9, description="An event dated later than now plus this is dead-lettered as in_the_future."
    )
    dossier_interval_ms: int = Field(
        500, ge=10, le=60_000, description="Shortest time between the starts of two looks at dossiers of stored messages."
    )
    minute_interval_ms: int = Field(
        250, ge=10, le=60_000, description="Shortest time between the starts of two recounts of minute tallies."
    )
    day_interval_ms: int = Field(600, ge=10, le=600_000, description="Shortest time between the starts of two roll-ups of days.")
    procedure_interval_ms: int = Field(
        5_000, ge=10, le=600_000, description="Shortest time between the starts of two recounts of procedures."
    )

    @model_validator(mode="after")
    def _a_batch_fits(self) -> IngestSettings:
        if self.max_unstored_rows < self.batch_rows:
            raise ValueError("max_unstored_rows must be at least batch_rows")
        return self


class DeadLetterSettings(_Group):
    """When a worker stops because too many messages are dead-lettered, and how long the bytes of malformed messages are kept."""

    max_consecutive: int = Field(
        10_000,
        ge=0,
        le=1_000_000_000,
        description="Stop after this many consecutive rejected messages of a partition; 0 switches it off.",
    )
    max_ratio: float = Field(
        0.5, ge=0, le=1, description="Stop when more than this share of window_messages is rejected; 0 switches it off."
    )
    window_messages: int = Field(
        100_000,
        ge=0,
        le=1_000_000_000,
        description="Number of the latest messages of a partition that max_ratio refers to; 0 switches it off.",
    )
    bytes_days: float = Field(
        7.0,
        ge=0,
        le=3_650,
        description="Days until workers remove the bytes of a rejected message that does not parse.",
    )


class WatchdogSettings(_Group):
    """When a worker exits because its broker does not answer."""

    assignment_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Exit when the group assigns no partitions for this long after the start."
    )
    stall_seconds: float = Field(
        120.0, ge=1, le=86_400, description="Exit when the broker answers no heartbeat or fetch for this long."
    )


class AuditSettings(_Group):
    """How often an exporter or all-in-one worker compares the tallies with the stored events."""

    interval_seconds: float = Field(
        15.0, ge=0, le=86_400, description="Shortest pause between rounds of the continuous audit; 0 switches it off."
    )
    duty: float = Field(
        20.0,
        ge=1,
        le=10_000,
        description="Pause at least this many times the duration of the last audit round: a larger value means less work.",
    )
    settle_seconds: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="Where Kafka does not say what workers have in hand: events stored longer ago than this must be tallied.",
    )


class DossierSettings(_Group):
    """How often a worker judges the dossiers that changed, for the figures that need whole dossiers."""

    interval_seconds: float = Field(
        30.0, ge=0.1, le=3_600, description="Shortest time between the starts of two rounds of judging changed dossiers."
    )
    duty: float = Field(
        2.0,
        ge=0,
        le=10_000,
        description="Rest at least this many times as long as judging took: a larger value means less work.",
    )


class FindingSettings(_Group):
    """How often an exporter or all-in-one worker searches the findings of the current day."""

    interval_seconds: float = Field(
        60.0, ge=0, le=86_400, description="Shortest pause between searches for today's findings; 0 switches their metric off."
    )
    duty: float = Field(
        20.0,
        ge=1,
        le=10_000,
        description="Pause at least this many times the duration of the last search: a larger value means less work.",
    )


class ThresholdPolicy(_Group):
    """When an agency counts as fallen behind: one indicator over one window."""

    model_config = {"frozen": True}

    kpi: str = Field("I1", pattern="^(I1|I5)$", description="Indicator.")
    window: str = Field("1d", pattern="^(1h|1d|7d|30d|month|ytd)$", description="Window of the gauge.")
    block: str = Field("", pattern="^(|ministry|province)$", description="Only for agencies of this block; empty: for all.")
    agency: str = Field("", max_length=16, description="Only for this agency, by its code; empty: for all.")
    ratio: float = Field(0.05, gt=0, le=1, description="Alert below this ratio (strictly).")
    low_ratio: float = Field(0.1, ge=0, le=1, description="Warn below this ratio; not above ratio: no warning.")
    target: float = Field(0.0, ge=0, le=1, description="The agency's own target; 0: that of the year, for the window ytd.")
    min_volume: int = Field(30, ge=1, le=1_000_000_000, description="No alert on fewer dossiers than this.")


class IndicatorSettings(_Group):
    """What the indicators count where both ways are in use. Both are stored: changing it recounts nothing."""

    return_at_counter: str = Field(
        "excluded",
        pattern="^(excluded|counted)$",
        description="Whether a dossier whose result was handed out at the counter counts as settled toàn trình in I1.",
    )
    accepted_late_from: dt.date = Field(
        FIRST_DAY, description="Registrations from this day on are counted as accepted in time or late (118/2025/NĐ-CP)."
    )
    working_days_file: str = Field(
        "",
        description="File (CSV: day,kind) of working days and days off that decrees exchange; empty: no day is exchanged.",
    )


class NotifySettings(_Group):
    """Messages about alerts: who gets them, secrets of their channels, and addresses in their texts."""

    recipients_file: str = Field("", description="File (YAML) of the people who are told about alerts; empty: none.")
    smtp_password: SecretStr = Field(
        SecretStr(""), description="Password of the mail account, where the recipients file names no file. Never printed."
    )
    telegram_token: SecretStr = Field(
        SecretStr(""), description="Token of the Telegram bot, where the recipients file names no file. Never printed."
    )
    prometheus_url: str = Field(
        "", description="Prometheus, asked whether an alert really ended and for the present rate; empty: nobody is asked."
    )
    api_url: str = Field("", description="Exporter, asked for the procedures that explain a low rate; empty: messages have none.")
    alertmanager_url: str = Field(
        "", description="Alertmanager, asked for alerts that ended while they were muted; empty: their end is not told."
    )
    delivery_token: SecretStr = Field(
        SecretStr(""),
        description="Token of deliveries to relay and watchdog, as a bearer; empty: only this machine delivers. Never printed.",
    )
    delivery_token_file: str = Field(
        "", description="Where Alertmanager finds that token, for the routes that are written for it; empty: it sends none."
    )
    heartbeat_url: str = Field(
        "", description="Where Alertmanager reaches `portalpulse watchdog`; empty: nobody notices when alerting itself stops."
    )
    board_url: str = Field("", description="Address of the board in messages; empty: not printed.")
    agency_url: str = Field("", description="Address of an agency's page, with {agency} for its code; empty: not printed.")
    runbook_url: str = Field("", description="Address of the runbook, with {alert} and {language} (vi, en); empty: not printed.")

    @field_validator("delivery_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        _require_token(value.get_secret_value())
        return value

    @field_validator("prometheus_url", "api_url", "alertmanager_url", "heartbeat_url", "board_url", "agency_url", "runbook_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _web_address(value)


class BoardSettings(_Group):
    """The live board at the address of an exporter or all-in-one worker."""

    prometheus_url: str = Field(
        "", description="Prometheus, asked for open alerts and their history; empty: the board says that it is not connected."
    )
    alertmanager_url: str = Field(
        "", description="Alertmanager, asked for open alerts in place of Prometheus, because it knows which are muted."
    )
    stale_seconds: float = Field(
        600.0,
        ge=1,
        le=86_400,
        description="Figures count as old after so many seconds of office hours without an event, or when counting is so late.",
    )

    @field_validator("prometheus_url", "alertmanager_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _web_address(value)


class LogSettings(_Group):
    """How the log is written."""

    level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Least severe level written; libraries from warning on, and all at debug.",
    )
    format: str = Field("console", pattern="^(console|json)$", description="For people (console) or machines (json).")


class Settings(BaseSettings):
    """Every setting of portalpulse."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", nested_model_default_partial_update=True
    )

    data_dir: Path = Field(Path(".portalpulse"), description="Folder for all local data.")
    secrets_dir: str = Field(
        "", description="Folder of files that are named like variables and hold their values, for secrets; empty: none."
    )
    clock: str = Field("system", description="system, or the fixed instant of a scenario (RFC 3339 with offset).")
    registry_file: str = Field(
        "", description="File (CSV) that replaces the packaged registry of agencies for new events; empty: the packaged one."
    )
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    http: HttpSettings = HttpSettings()
    ingest: IngestSettings = IngestSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    audit: AuditSettings = AuditSettings()
    dossiers: DossierSettings = DossierSettings()
    findings: FindingSettings = FindingSettings()
    indicators: IndicatorSettings = IndicatorSettings()
    notify: NotifySettings = NotifySettings()
    board: BoardSettings = BoardSettings()
    log: LogSettings = LogSettings()
    thresholds: tuple[ThresholdPolicy, ...] = Field(
        (ThresholdPolicy(window="1d"), ThresholdPolicy(window="ytd")),
        description="JSON list of policies: for which agencies, indicator and window, below which ratios, on how many dossiers.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature of pydantic-settings
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller gives, then the environment with the files of secrets; there is no other source."""
        variables = EnvSettingsSource(settings_cls)
        variables.env_vars = {name.lower(): value for name, value in _variables().items()}
        return init_settings, variables

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any, info: ValidationInfo) -> Any:
        return _checked(cls, value, info)

    @field_validator("data_dir", mode="before")
    @classmethod
    def _names_a_folder(cls, value: Any) -> Any:
        """An empty text would be the current folder: mostly a shell variable that is not set."""
        if value == "":
            raise ValueError("it is empty; the current folder is called .")
        return value

    @model_validator(mode="after")
    def _all_local_data_is_in_one_folder(self) -> Settings:
        if self.clickhouse.url.get_secret_value() == _EMBEDDED:
            url = SecretStr(embedded_url(self.data_dir))
            self.clickhouse = self.clickhouse.model_copy(update={"url": url})
        return self

    @field_validator("clock")
    @classmethod
    def _is_a_clock(cls, value: str) -> str:
        try:
            parse_clock(value)
        except ConfigurationError as error:
            raise ValueError(f"{error.problem.removesuffix('.')}. {error.remedy.removesuffix('.')}") from error
        return value

    @field_validator("thresholds")
    @classmethod
    def _one_policy_a_series(cls, value: tuple[ThresholdPolicy, ...]) -> tuple[ThresholdPolicy, ...]:
        """Two policies for one series would be exported twice, which Prometheus refuses."""
        seen: set[tuple[str, str, str]] = set()
        for number, policy in enumerate(value, 1):
            if policy.agency and policy.block:
                raise ValueError(f"policy {number} names an agency and a block: write one of them")
            whose = policy.agency or policy.block
            if (policy.kpi, policy.window, whose) in seen:
                of = f" of {whose}" if whose else ""
                raise ValueError(f"policy {number} is a second one for {policy.kpi} over {policy.window}{of}: write one of them")
            seen.add((policy.kpi, policy.window, whose))
        return value


def _variables() -> dict[str, str]:
    return with_secret_files(os.environ, PREFIX)


def load_settings(**overrides: Any) -> Settings:
    """Read and check the settings; ``overrides`` (from the command line) win over the environment.

    Raises:
        ConfigurationError: one line that names the first wrong variable and what it must be, or a variable with our prefix
            that no setting reads.
    """
    variables = _variables()
    if unknown := unknown_variable(variables, Settings, PREFIX):
        raise ConfigurationError(unknown, remedy="docs/settings.md lists every setting; remove the variable or correct it.")
    if twice := variable_set_twice(variables, PREFIX):
        raise ConfigurationError(twice, remedy="Remove one of the two; docs/settings.md lists every setting.")
    if fault := json_fault(variables, Settings, PREFIX):
        raise ConfigurationError(fault, remedy="docs/settings.md lists every setting with its form.")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        # The messages may quote wrong values, but never secrets.
        wrong = error.errors(include_url=False)
        more = f" {len(wrong) - 1} more are wrong." if len(wrong) > 1 else ""
        raise ConfigurationError(
            f"{explained(wrong[0], Settings, PREFIX)}{more}",
            remedy="docs/settings.md lists every setting with its range.",
        ) from None  # the cause would show the values
    except ValueError as error:  # a variable that should be JSON and is not (pydantic-settings' own SettingsError)
        field = re.search(r'field "(\w+)"', str(error))
        problem = unreadable(field[1], PREFIX, Settings) if field else f"A setting cannot be read: {error}."
        raise ConfigurationError(problem, remedy="docs/settings.md lists every setting with its form.") from error
