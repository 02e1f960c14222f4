"""Collects all faults of the rows of a catalogue, so that a file can be corrected in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from domain.errors import ConfigurationError

#: Faults of a file that are listed; more are only counted.
MAX_LISTED: Final = 20
_SHOWN: Final = 60


class WrongValueError(ValueError):
    """A value is not allowed in its column. ``problem``: what is wrong with the value; ``remedy``: what to write."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


@dataclass(slots=True)
class Faults:
    """The faults of one source, in the order in which they are found.

    Attributes:
        source: name of the file in sentences.
        total: number of faults.
        listed: sentences about the first ``MAX_LISTED`` faults.
    """

    source: str
    total: int = 0
    listed: list[str] = field(default_factory=list)

    def add(self, place: str, column: str, value: object, wrong: WrongValueError) -> None:
        """Note a wrong value. ``place``: the line, row or entry; ``value`` None or "": the value is missing."""
        self.add_sentence(f"{place}, column {column}", f"{_shown(value)} {wrong.problem}", wrong.remedy)

    def add_sentence(self, place: str, problem: str, remedy: str) -> None:
        """Note a fault that is about more than one value."""
        self.total += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(f"{self.source}, {place}: {problem}; {remedy}.")

    def refuse(self) -> None:
        """Raise an error if there are faults.

        Raises:
            CatalogueFaultsError: there is at least one fault.
        """
        if self.total:
            raise CatalogueFaultsError(self)


def _shown(value: object) -> str:
    if value is None or value == "":
        return "it"
    text = str(value)
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"'{short}'" if isinstance(value, str) else short


class CatalogueFaultsError(ConfigurationError):
    """A catalogue has faults, and no row of it is loaded."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        number = "a fault" if faults.total == 1 else f"{faults.total} faults"
        super().__init__(f"{faults.source} has {number}, and nothing is loaded. {faults.listed[0]}")
