"""Intensity of traffic over the local day, relative to a working morning.

The shapes are derived from office hours of Vietnamese one-stop desks (8:00-11:30, 13:30-17:00, Monday to Friday) and from online
registrations, which continue in the evening. They are assumptions for simulation, not measurements.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

from domain.periods import VIETNAM

#: Relative intensity at an instant: 1.0 is the busiest hour of a working day.
Shape = Callable[[dt.datetime], float]

#: Relative intensity of each local hour on a working day: desks and back offices together with online registrations.
OFFICE_HOURS: Final = (
    0.04, 0.02, 0.02, 0.02, 0.02, 0.04, 0.10, 0.35, 0.90, 1.00, 0.95, 0.55,
    0.25, 0.60, 0.90, 0.95, 0.80, 0.40, 0.20, 0.20, 0.22, 0.20, 0.14, 0.08,
)  # fmt: skip
#: The same for online registrations alone, which citizens also make at night.
ONLINE_HOURS: Final = (
    0.06, 0.03, 0.02, 0.02, 0.02, 0.06, 0.15, 0.40, 0.85, 1.00, 0.95, 0.60,
    0.45, 0.60, 0.85, 0.90, 0.80, 0.50, 0.40, 0.50, 0.60, 0.55, 0.35, 0.15,
)  # fmt: skip
#: Saturday and Sunday against a working day.
WEEKEND: Final = 0.08
#: Lowest intensity of any shape of live traffic, so that a demonstration at night shows some. Lower hours have no effect there.
FLOOR: Final = 0.05


def steady(_instant: dt.datetime) -> float:
    """The same intensity all the time."""
    return 1.0


def office_hours(instant: dt.datetime) -> float:
    """Intensity at ``instant`` (aware) by the local hour, interpolated between hours; low at night and at weekends."""
    local = instant.astimezone(VIETNAM)
    position = local.hour + local.minute / 60 + local.second / 3600 - 0.5  # the value of an hour applies at its middle
    hour = int(position // 1)
    between = position - hour
    level = OFFICE_HOURS[hour % 24] * (1 - between) + OFFICE_HOURS[(hour + 1) % 24] * between
    if local.isoweekday() > 5:
        level *= WEEKEND
    return max(level, FLOOR)


SHAPES: Final[dict[str, Shape]] = {"steady": steady, "office": office_hours}
