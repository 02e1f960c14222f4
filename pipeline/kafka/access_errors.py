"""The errors for brokers that cannot be used: one sentence and one remedy for each cause, the same for all client libraries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.errors import ConfigurationError, UnavailableError
from pipeline.settings import KafkaSettings

_SETTING = "PORTALPULSE_KAFKA__BOOTSTRAP"
_SET_PROTOCOL = "Set PORTALPULSE_KAFKA__SECURITY_PROTOCOL to what this port expects, or name another port."


def unreachable(bootstrap: Sequence[str], named: Iterable[str], problem: str) -> UnavailableError:
    """The error for brokers that answer, but advertise an address that cannot be reached.

    Args:
        bootstrap: the broker addresses that were asked and answered.
        named: the addresses that these brokers advertise, host:port.
        problem: how a connection to an advertised address failed.
    """
    shown, brokers = ", ".join(bootstrap), ", ".join(sorted(named))
    if not brokers:
        return UnavailableError(
            f"Kafka at {shown} answers, but names no broker: {problem}.",
            remedy="Wait until its brokers are up; see the broker's log, and whether a proxy is in between.",
        )
    return UnavailableError(
        f"Kafka at {shown} answers, but a broker that it names cannot be reached (it names {brokers}): {problem}.",
        remedy="Start that broker, or correct advertised.listeners, which has to name addresses that this machine reaches.",
    )


def not_a_broker(addresses: Sequence[str], *, option: str = "") -> UnavailableError:
    """The error for addresses at which another program answers.

    Args:
        addresses: the addresses at which another program answers.
        option: the command-line option that gave the addresses; empty: they come from a setting.
    """
    return UnavailableError(
        f"What answers at {', '.join(addresses)} is not a Kafka broker: its answer cannot be read.",
        remedy=f"Correct {named_by(option)}; see whether a proxy is in between.",
    )


def named_by(option: str) -> str:
    """The option (if there is one) and the setting that give the addresses of brokers, for a sentence."""
    return f"{option} or {_SETTING}" if option else _SETTING


def login_refused(address: str, security: KafkaSettings) -> UnavailableError:
    """The error for brokers that refuse the user or the password."""
    return UnavailableError(
        f"Kafka at {address} refuses user {security.user!r} ({security.sasl_mechanism}).",
        remedy="Correct PORTALPULSE_KAFKA__USER and PORTALPULSE_KAFKA__PASSWORD.",
    )


def no_login_here(address: str, security: KafkaSettings) -> UnavailableError:
    """The error for a port without logins when a login was tried."""
    return UnavailableError(
        f"Kafka at {address} takes no login on this port ({security.security_protocol} was tried).",
        remedy=_SET_PROTOCOL,
    )


def mechanism_refused(address: str, security: KafkaSettings) -> UnavailableError:
    """The error for brokers that do not offer the SASL mechanism."""
    return UnavailableError(
        f"Kafka at {address} does not take {security.sasl_mechanism}.",
        remedy="Set PORTALPULSE_KAFKA__SASL_MECHANISM to a mechanism that the broker takes.",
    )


def certificate_not_accepted(address: str, reason: str = "") -> UnavailableError:
    """The error for a broker certificate that is expired or signed by an unknown authority."""
    return UnavailableError(
        f"The certificate of Kafka at {address} is not accepted{f': {reason}' if reason else ''}.",
        remedy="Renew it, or name the authority that signed it in PORTALPULSE_KAFKA__CA_FILE.",
    )


def wrong_protocol(address: str, security: KafkaSettings) -> UnavailableError:
    """The error for a broker that ended the connection because it expects another protocol, TLS or a login."""
    return UnavailableError(
        f"Kafka at {address} does not speak {security.security_protocol} on this port: it ended the connection.",
        remedy=_SET_PROTOCOL,
    )


def not_ready(bootstrap: Sequence[str], reason: str) -> UnavailableError:
    """The error for brokers that answer, but with an error that passes, such as a partition without a leader.

    Args:
        bootstrap: the addresses that were asked.
        reason: what the brokers answered.
    """
    return UnavailableError(
        f"Kafka at {', '.join(bootstrap)} answers but is not ready: {reason}.",
        remedy="Wait until its brokers are up, then try again; see the broker's log.",
    )


def missing_portals(settings: KafkaSettings) -> ConfigurationError:
    """The error when no agency of the registry has a topic."""
    return ConfigurationError(
        f"No topic of a portal exists on {', '.join(settings.bootstrap)}: none of {settings.portal_prefix}CODE, for any agency.",
        remedy="Create one for each portal, or correct PORTALPULSE_KAFKA__PORTAL_PREFIX; docs/kafka_access.md has the commands.",
    )
