"""The errors of the preflight: one sentence and one remedy for each cause."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Final

from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka import access_errors
from pipeline.kafka import errors as kafka_errors
from pipeline.settings import KafkaSettings

#: The broker closed the connection: TLS met plain text, or it expected a login.
_CONNECTION_ENDED: Final = (
    ssl.SSLError,
    ConnectionResetError,
    BrokenPipeError,
    KafkaConnectionError,
    IllegalSaslStateError,
    EOFError,
)


def connection_error(error: Exception, address: str, settings: KafkaSettings) -> UnavailableError | None:
    """The error for a failed connection to a broker at ``address``; None when no process listens there."""
    protocol = settings.security_protocol
    if isinstance(error, ssl.SSLCertVerificationError):
        return access_errors.certificate_not_accepted(address, getattr(error, "verify_message", ""))
    if isinstance(error, AuthenticationFailedError | SaslAuthenticationFailed):
        return access_errors.login_refused(address, settings)
    if isinstance(error, UnsupportedSaslMechanismError):
        return access_errors.mechanism_refused(address, settings)
    if isinstance(error, TimeoutError | KafkaTimeoutError):
        return UnavailableError(
            f"Kafka at {address} takes connections and does not answer ({protocol}).",
            remedy="See whether the broker hangs, or set PORTALPULSE_KAFKA__SECURITY_PROTOCOL to what this port expects.",
        )
    if isinstance(error, _CONNECTION_ENDED):
        return access_errors.wrong_protocol(address, settings)
    return None


def request_error(error: Exception, settings: KafkaSettings, *, brokers: Sequence[str], limit: float) -> UnavailableError:
    """The error for a request that brokers, although they answer, did not fulfil, so that a worker cannot start.

    Args:
        error: the error with which the request ended.
        settings: broker, topic and group.
        brokers: the addresses that the brokers advertise.
        limit: how long an answer was awaited (seconds).
    """
    shown = ", ".join(settings.bootstrap)
    if isinstance(error, GroupAuthorizationFailedError):
        return UnavailableError(
            f"Kafka refuses access to the consumer group {settings.group!r}{as_user(settings)}.",
            remedy="Grant READ on the group to this user.",
        )
    if isinstance(error, TopicAuthorizationFailedError):
        return UnavailableError(
            f"Kafka refuses access to the topic {_refused_topic(error, settings)!r}{as_user(settings)}.",
            remedy="Grant READ on the topic to this user.",
        )
    if isinstance(error, TimeoutError | KafkaTimeoutError | RequestTimedOutError):
        return UnavailableError(
            f"Kafka at {shown} answers some requests, but not others within {limit:g} s.",
            remedy="Check whether one of the brokers hangs; see its log.",
        )
    if isinstance(error, KafkaConnectionError | NodeNotReadyError | OSError):
        return access_errors.unreachable(settings.bootstrap, brokers, _described(error))
    if kafka_errors.is_retryable(error):
        return access_errors.not_ready(settings.bootstrap, _described(error))
    remedy = kafka_errors.remedy(error) or "See the broker's log."
    return UnavailableError(f"Kafka at {shown} refuses: {_described(error)}.", remedy=remedy)


def missing_topic(settings: KafkaSettings) -> ConfigurationError:
    """The error when the topic does not exist and the worker was not asked to create it."""
    return ConfigurationError(
        f"The topic {settings.topic!r} does not exist on {', '.join(settings.bootstrap)}.",
        remedy="Create it, or start the worker with --create-topic.",
    )


def topic_not_created(settings: KafkaSettings) -> UnavailableError:
    """The error when the topic does not exist and this user may not create it."""
    return UnavailableError(
        f"The topic {settings.topic!r} does not exist, and Kafka does not let this worker create it{as_user(settings)}.",
        remedy="Create it, or grant CREATE on it to this user.",
    )


def _refused_topic(error: Exception, settings: KafkaSettings) -> str:
    """The topic to which access was refused: the one that the error names, else that of the settings."""
    named = str(error.args[0]) if error.args else ""
    return named if settings.portal_of(named) is not None else settings.topic


def as_user(settings: KafkaSettings) -> str:
    """The user as the end of a sentence (" as user 'x'"); "" without a login."""
    return f" as user {settings.user!r}" if settings.user else ""


def _described(error: Exception) -> str:
    name = kafka_errors.name(error) or type(error).__name__
    details = ", ".join(str(part) for part in error.args)
    return f"{name} ({details})" if details else name
