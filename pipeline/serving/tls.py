"""TLS of the HTTP server. A certificate that is replaced on disk is used for the next connection, without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from pipeline.logs import get_logger

log = get_logger("api")

#: Longest wait for a client to agree on the encryption (seconds).
HANDSHAKE_SECONDS: Final = 10.0
#: What tells that a file was replaced.
_State = tuple[tuple[int, int, int], ...]


class ServerTls:
    """The certificate chain and the key of a server, read again when their files change."""

    def __init__(self, certificate: str, key: str) -> None:
        """Read certificate and key. TLS 1.2 and newer are accepted.

        Raises:
            ConfigurationError: a file cannot be read, or the files are not a certificate and its key.
        """
        self._certificate, self._key = certificate, key
        self.context = _new_context()
        self._state = self._current()
        fault = self._load()
        if fault:
            raise ConfigurationError(
                f"The certificate {certificate} and the key {key} cannot be used: {fault}.",
                remedy="Name files in PEM with PORTALPULSE_HTTP__CERTIFICATE_FILE and PORTALPULSE_HTTP__KEY_FILE; the key has no "
                "password, and the user of this process can read it.",
            )

    def renew(self) -> None:
        """Read the files again if they changed. If the new files cannot be used, the old certificate stays in force."""
        state = self._current()
        if state == self._state:
            return
        self._state = state
        fault = self._load()
        if fault:
            log.warning("certificate_not_renewed", file=self._certificate, error=fault, action="the old one stays in force")
        else:
            log.info("certificate_renewed", file=self._certificate)

    def _load(self) -> str:
        """Load the files into the TLS context; return why they cannot be used, or ""."""
        try:
            # Of its own first: a certificate without its key would leave the one in use without any.
            for context in (_new_context(), self.context):
                context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        return ""

    def _current(self) -> _State:
        found = []
        for path in (self._certificate, self._key):
            try:
                status = Path(path).stat()
            except (OSError, ValueError):
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def _new_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_password() -> str:
    """Raise an error instead of a password: otherwise OpenSSL would ask a terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted with a password")
