"""Where a reader is in its file: the line or row that was read last, for sentences about what comes after it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SourcePosition:
    """Line or row ``number`` of the file ``name`` was read last; 0: none was read."""

    name: str
    unit: str = "line"
    number: int = 0

    def __str__(self) -> str:
        return f"{self.name}, {self.unit} {self.number:,}"
