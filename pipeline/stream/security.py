"""How a client proves itself to the brokers: the same settings in the words of aiokafka, Faust and librdkafka."""

from __future__ import annotations

import ssl
from typing import Any

import faust

from pipeline.core.errors import ConfigurationError
from pipeline.settings import KafkaSettings


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments of every aiokafka client.

    Raises:
        ConfigurationError: the file of authorities cannot be read.
    """
    options: dict[str, Any] = {"security_protocol": settings.security_protocol, "ssl_context": tls_context(settings)}
    if _sasl(settings):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.user,
            "sasl_plain_password": settings.password.get_secret_value(),
        }
    return options


def faust_credentials(settings: KafkaSettings) -> Any:
    """Faust's ``broker_credentials``, or None. Without a TLS context Faust would take SASL to mean unencrypted.

    Raises:
        ConfigurationError: the file of authorities cannot be read.
    """
    context = tls_context(settings)
    if _sasl(settings):
        return faust.SASLCredentials(
            username=settings.user,
            password=settings.password.get_secret_value(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def librdkafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Configuration of every librdkafka client."""
    options: dict[str, Any] = {"security.protocol": settings.security_protocol}
    if _sasl(settings):
        options |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.user,
            "sasl.password": settings.password.get_secret_value(),
        }
    if settings.ca_file:
        options["ssl.ca.location"] = settings.ca_file
    return options


def tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """What checks the brokers' certificates and names; None when nothing is encrypted.

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
            remedy="Name a PEM file that holds them in PORTALPULSE_KAFKA__CA_FILE.",
        ) from error


def _sasl(settings: KafkaSettings) -> bool:
    return settings.security_protocol.startswith("SASL_")
