"""Writes messages as NDJSON, a line each, instead of to Kafka: to look at, to keep, to replay."""

from __future__ import annotations

from typing import BinaryIO

from domain.errors import UnavailableError


class FileWriter:
    """Writes the values to an open binary file; keys are left out, for they repeat the dossier code.

    Raises:
        UnavailableError: on ``send`` and ``flush``, when the file takes no more (disk full).
    """

    failed = 0
    problem = ""
    lost = False

    def __init__(self, file: BinaryIO, *, name: str) -> None:
        self._file = file
        self._name = name
        self._written = 0

    @property
    def acknowledged(self) -> int:
        """Lines written."""
        return self._written

    def send(self, _key: bytes | None, value: bytes | None) -> None:
        """Write one line."""
        try:
            self._file.write((value or b"") + b"\n")
        except OSError as error:
            raise self._unusable(error) from error
        self._written += 1

    def flush(self, *, timeout: float = 0.0) -> None:  # noqa: ARG002 - the operating system takes them at once
        """Hand everything to the operating system."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> UnavailableError:
        closed = isinstance(error, BrokenPipeError)
        return UnavailableError(
            f"{self._name} takes no more lines: {error.strerror}.",
            remedy="Its reader has gone." if closed else "Free some space or write to another file.",
        )
