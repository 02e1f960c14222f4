"""Compares the clocks that were read while parts were examined."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from deploy.native.doctor.finding import Finding

#: Servers of a cluster must agree to within so many seconds (docs/cluster.md).
TOLERANCE_SECONDS: Final = 1.0
_PART: Final = "Clocks"
_REMEDY: Final = (
    "Let every machine take its time from the same source (NTP): `chronyc tracking` or `timedatectl` on it shows the source."
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of a clock.

    Attributes:
        name: the name of its machine.
        ahead: seconds by which the clock is ahead of this machine's; negative: behind.
        uncertain: the possible error of ``ahead`` in seconds.
        in_cluster: whether the clock is that of a server of the storage's cluster.
    """

    name: str
    ahead: float
    uncertain: float
    in_cluster: bool = False

    @property
    def shown(self) -> str:
        """The reading as a part of a sentence."""
        word = "ahead of" if self.ahead > 0 else "behind"
        return f"{self.name} is {abs(self.ahead):.1f} s {word} this machine"

    @property
    def off(self) -> bool:
        """Whether the clock certainly differs from this machine's."""
        return abs(self.ahead) - self.uncertain > TOLERANCE_SECONDS


class Clocks:
    """Collects clock readings of several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._readings: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Keep a reading."""
        with self._guard:
            self._readings.append(reading)

    def findings(self) -> list[Finding]:
        """The findings on clocks: servers of a cluster that differ are a fault.

        Another clock that differs from this machine's is a note.
        """
        with self._guard:
            readings = sorted(self._readings, key=lambda reading: reading.name)
        if not readings:
            return []
        cluster = [reading for reading in readings if reading.in_cluster]
        if apart := _apart(cluster):
            low, high = apart
            says = f"servers of the cluster must agree to 1 s and differ by {high.ahead - low.ahead:.1f} s: {low.shown}, "
            says += high.shown
            return [Finding(_PART, "wrong", says, _REMEDY)]
        if off := [reading for reading in readings if reading.off]:
            says = "; ".join(reading.shown for reading in off)
            if len(off) == len(readings) > 1:
                says += ": the clock of this machine seems to be wrong"
            return [Finding(_PART, "note", says, _REMEDY)]
        shown = ", ".join(reading.name for reading in readings)
        return [Finding(_PART, "ok", f"agree with this machine to 1 s: {shown}")]


def _apart(cluster: list[Reading]) -> tuple[Reading, Reading] | None:
    """The two servers that differ most, if they certainly differ too much; else None."""
    if not cluster:
        return None
    low = min(cluster, key=lambda reading: reading.ahead + reading.uncertain)
    high = max(cluster, key=lambda reading: reading.ahead - reading.uncertain)
    return (low, high) if (high.ahead - high.uncertain) - (low.ahead + low.uncertain) > TOLERANCE_SECONDS else None
