"""The position of a reader in its file, for errors and sentences about a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO


@dataclass(slots=True)
class SourcePosition:
    """The line or row ``number`` of the file ``name`` that was read last; 0: no line was read."""

    name: str
    unit: str = "line"
    number: int = 0
    file: BinaryIO | None = None  # packed as it is; None: it cannot say how far it was read

    def __str__(self) -> str:
        return self.at(self.number)

    def at(self, number: int) -> str:
        """Names another line or row of the same file in a sentence."""
        return f"{self.name}, {self.unit} {number:,}"

    @property
    def bytes_read(self) -> int:
        """How many bytes of the packed file were read; 0 where the number is not known."""
        return 0 if self.file is None else self.file.tell()
