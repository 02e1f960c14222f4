"""The authorities that clients of portalpulse trust to sign the certificates of servers."""

from __future__ import annotations

import ssl

from domain.errors import ConfigurationError


def trust_of(ca_file: str, *, variable: str) -> ssl.SSLContext | None:
    """A TLS context for clients that trusts the authorities in ``ca_file`` (PEM); None when no file is given: the public ones.

    Raises:
        ConfigurationError: the file cannot be read or has no certificate. The error names ``variable``, the file's setting.
    """
    if not ca_file:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise ConfigurationError(
            f"{variable} names {ca_file}, which cannot be used: {reason}.",
            remedy="Name a file with the certificates of the authorities in PEM, or remove the variable.",
        ) from error
    if not context.cert_store_stats()["x509"]:
        raise ConfigurationError(
            f"{variable} names {ca_file}, which holds no certificate of an authority.",
            remedy="Name a file with the certificates of the authorities in PEM, or remove the variable.",
        )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
