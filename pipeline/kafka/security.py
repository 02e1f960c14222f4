"""The options for encryption and login of Kafka clients, for aiokafka and for librdkafka.

Every Kafka client must be created with these options; ``tests/test_layers.py`` looks for clients without them.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final

from domain.errors import ConfigurationError
from pipeline import crash_note
from pipeline.kafka.false_broker import without_false
from pipeline.settings import KafkaSettings

#: Without encryption and login, as the local stack's own broker.
PLAINTEXT: Final = KafkaSettings()


def _ignore(_error: object) -> None:
    pass


#: A librdkafka client that prints and reports no lost connections.
SILENT_LIBRDKAFKA: Final[dict[str, Any]] = {"log_level": 0, "error_cb": _ignore}


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments for encryption and login of every aiokafka client.

    Raises:
        ConfigurationError: the file of authorities cannot be read.
    """
    options: dict[str, Any] = {"security_protocol": settings.security_protocol, "ssl_context": tls_context(settings)}
    if uses_sasl(settings):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.user,
            "sasl_plain_password": settings.password.get_secret_value(),
        }
    return options


def librdkafka_options(settings: KafkaSettings, bootstrap: Sequence[str] = ()) -> dict[str, Any]:
    """Addresses, encryption and login as configuration of every librdkafka client.

    Args:
        settings: protocol, login and authorities.
        bootstrap: the addresses; empty: those of the settings. Addresses at which another program answers are skipped.

    Raises:
        ConfigurationError: the file of authorities cannot be read.
        UnavailableError: another program than a Kafka broker answers at the addresses.
    """
    tls_context(settings)  # librdkafka would only report that no client can be created
    addresses = without_false(bootstrap or settings.bootstrap, settings)
    crash_note.write(", ".join(addresses))
    options: dict[str, Any] = {
        "security.protocol": settings.security_protocol,
        "bootstrap.servers": ",".join(addresses),
    }
    if uses_sasl(settings):
        options |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.user,
            "sasl.password": settings.password.get_secret_value(),
        }
    if settings.ca_file:
        options["ssl.ca.location"] = settings.ca_file
    return options


def tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """A TLS context that checks the certificates and host names of brokers; None: the protocol is not encrypted.

    Raises:
        ConfigurationError: the file of authorities cannot be read.
    """
    if not settings.security_protocol.endswith("SSL"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # an ssl.SSLError is one, too
        raise ConfigurationError(
            f"The certificate authorities in {settings.ca_file} cannot be read: {error.strerror or error}.",
            remedy="Name a PEM file with the certificates of authorities in PORTALPULSE_KAFKA__CA_FILE.",
        ) from error


def uses_sasl(settings: KafkaSettings) -> bool:
    """Whether clients log in with user and password."""
    return settings.security_protocol.startswith("SASL_")
