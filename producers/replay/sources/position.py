"""The position of a reader in its file, for errors about what follows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SourcePosition:
    """The line or row ``number`` of the file ``name`` that was read last; 0: none was read."""

    name: str
    unit: str = "line"
    number: int = 0

    def __str__(self) -> str:
        return f"{self.name}, {self.unit} {self.number:,}"
