"""The TLS and login options of Faust. The other clients take theirs from ``pipeline.kafka.security``."""

from __future__ import annotations

from typing import Any

import faust

from pipeline.kafka.security import tls_context, uses_sasl
from pipeline.settings import KafkaSettings


def faust_credentials(settings: KafkaSettings) -> Any:
    """Faust's ``broker_credentials`` for the settings; None: neither TLS nor a login.

    Raises:
        ConfigurationError: the file of authorities cannot be read.
    """
    context = tls_context(settings)
    if uses_sasl(settings):
        return faust.SASLCredentials(
            username=settings.user,
            password=settings.password.get_secret_value(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
