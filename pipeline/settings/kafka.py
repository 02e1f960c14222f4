"""Settings of Kafka: brokers, topics, the group, protocol and login."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from domain.portal_topics import SEPARATOR, portal_of
from pipeline.broker_addresses import addresses_in, require_addresses
from pipeline.settings.group import Group


class KafkaSettings(Group):
    """The brokers, topics and consumer group from which workers read the dossier events."""

    bootstrap: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1:9092",), description="Broker addresses, host:port, separated by commas."
    )
    topic: str = Field(
        "dvc.dossier-events.v1",
        min_length=1,
        max_length=249,
        description="Topic of the dossier events. With portal_prefix it is used only if it begins with that prefix, to read"
        " one portal.",
    )
    portal_prefix: str = Field(
        "",
        max_length=200,
        description="Prefix of the topics of portals, as dvc.portal.: the rest of a topic's name is the agency that may report"
        " in it. Empty: the topic is shared, and its senders are trusted.",
    )
    group: str = Field("portalpulse", min_length=1, max_length=249, description="Consumer group of the workers.")
    instance_id: str = Field(
        "",
        max_length=249,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of this worker in the group, which no other worker may have (static membership): a worker that is back"
        " within the session timeout gets its partitions again, and the others go on. Empty: each start is a new member.",
    )
    leave_on_stop: bool = Field(
        default=False,
        description="With instance_id: whether a worker that is asked to stop leaves the group, so that other workers get its"
        " partitions at once. A worker without instance_id always leaves it.",
    )
    partitions: int = Field(4, ge=1, le=1024, description="Partitions of the topic when portalpulse creates it.")
    session_timeout_seconds: float = Field(
        10.0, ge=6.0, le=90.0, description="A worker that sends no heartbeat for this long loses its partitions."
    )
    fetch_bytes: int = Field(4 << 20, ge=1 << 16, le=1 << 27, description="Maximum bytes fetched per partition and request.")
    fetch_min_bytes: int = Field(
        1 << 18,
        ge=1,
        le=1 << 24,
        description="The broker answers a fetch when it has this many bytes, or after fetch_max_wait_ms.",
    )
    fetch_max_wait_ms: int = Field(100, ge=1, le=5_000, description="Longest time that the broker waits for fetch_min_bytes.")
    metadata_max_age_seconds: float = Field(
        15.0, ge=1.0, le=300.0, description="Workers find a partition that is added to the topic within this time."
    )
    security_protocol: str = Field(
        "PLAINTEXT",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="Protocol of the brokers: SSL encrypts, SASL logs in with user and password.",
    )
    sasl_mechanism: str = Field(
        "SCRAM-SHA-512",
        pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$",
        description="Mechanism of the login to the brokers; only used with SASL.",
    )
    user: str = Field("", description="User for the brokers; only used with SASL.")
    password: SecretStr = Field(SecretStr(""), description="Password of the user for the brokers; never printed or logged.")
    ca_file: str = Field(
        "", description="File (PEM) of the authorities that sign the brokers' certificates; empty: the authorities of the system."
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

    @field_validator("instance_id")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value in (".", ".."):  # Kafka's rule for names
            raise ValueError("it must be more than dots")
        return value

    def topics(self, agencies: Iterable[str]) -> tuple[str, ...]:
        """The topics that workers read: the shared one, that of one portal, or with ``portal_prefix`` one for each agency.

        The list does not depend on which topics exist, so that all workers of a group always have the same list.
        """
        if not self.portal_prefix or self.topic.startswith(self.portal_prefix):
            return (self.topic,)
        return tuple(f"{self.portal_prefix}{code}" for code in agencies)

    def portal_of(self, topic: str) -> str | None:
        """The portal to which a topic belongs; None: any agency may report in the topic."""
        return portal_of(topic, self.portal_prefix)

    @model_validator(mode="after")
    def _nothing_is_left_unused(self) -> KafkaSettings:
        """Refuse user, password or ``ca_file`` that the protocol does not use, and SASL without them: nobody would notice."""
        given, needed = bool(self.user or self.password.get_secret_value()), self.security_protocol.startswith("SASL_")
        if needed and not (self.user and self.password.get_secret_value()):
            raise ValueError(f"{self.security_protocol} needs user and password")
        if given and not needed:
            raise ValueError(f"user and password are not sent with {self.security_protocol}, choose SASL_SSL")
        if self.ca_file and not self.security_protocol.endswith("SSL"):
            raise ValueError(f"ca_file is not used with {self.security_protocol}, choose SSL or SASL_SSL")
        return self
