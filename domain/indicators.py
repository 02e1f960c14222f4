"""The published indicators: which events they count, as numerator over denominator.

I1  tỷ lệ hồ sơ trực tuyến toàn trình: settled toàn trình / settled
I5  tỷ lệ hồ sơ trực tuyến:            submitted online / submitted

Numerators and denominators are summed over agencies, then divided; ratios are never averaged. A denominator of 0 is
"no data", never 0 %. Sources and open questions: docs/domain.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from domain.events import Channel, ReturnedBy, ServiceLevel, Status


class Countable(Protocol):
    """The fields of an event that decide what it counts as."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def channel(self) -> int: ...  # noqa: D102
    @property
    def service_level(self) -> str: ...  # noqa: D102
    @property
    def returned_by(self) -> str: ...  # noqa: D102


def _submitted(event: Countable) -> bool:
    """Nộp: registered when online (1), received when handed in or posted (2)."""
    if event.channel == Channel.ONLINE:
        return event.status == Status.REGISTERED
    return event.status == Status.RECEIVED and event.channel in {Channel.IN_PERSON, Channel.POST}


def _settled_full(event: Countable) -> bool:
    """Settled toàn trình: wholly on the network, the result not fetched at the counter."""
    return (
        event.status == Status.SETTLED
        and event.channel == Channel.ONLINE
        and event.service_level == ServiceLevel.FULL
        and event.returned_by != ReturnedBy.COUNTER
    )


#: Count -> whether an event adds 1 to it. ``sinks.tables.COUNTS`` says the same in SQL; a test compares the two.
COUNTS: Final[dict[str, Callable[[Countable], bool]]] = {
    "submitted": _submitted,
    "submitted_online": lambda event: _submitted(event) and event.channel == Channel.ONLINE,
    "settled": lambda event: event.status == Status.SETTLED,
    "settled_full": _settled_full,
    "refused": lambda event: event.status == Status.REFUSED,
    "withdrawn": lambda event: event.status == Status.WITHDRAWN,
    "stopped": lambda event: event.status == Status.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator: the names of the two counts it divides."""

    code: str
    name_vi: str
    numerator: str
    denominator: str


INDICATORS: Final[Mapping[str, Indicator]] = {
    "I1": Indicator("I1", "Tỷ lệ hồ sơ trực tuyến toàn trình", "settled_full", "settled"),
    "I5": Indicator("I5", "Tỷ lệ hồ sơ trực tuyến", "submitted_online", "submitted"),
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A numerator and a denominator, both whole dossiers."""

    numerator: int
    denominator: int

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.numerator + other.numerator, self.denominator + other.denominator)

    @property
    def no_data(self) -> bool:
        """Nothing was counted: neither good nor bad."""
        return self.denominator == 0


def ratio_of(indicator: Indicator, counts: object) -> Ratio:
    """The indicator's two counts out of a row of counts (``sinks.contract.Counts`` or alike)."""
    return Ratio(int(getattr(counts, indicator.numerator)), int(getattr(counts, indicator.denominator)))
