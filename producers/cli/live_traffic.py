"""The live traffic that options of ``produce`` ask for."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import typer

from producers.cli.live_expectations import expectations

if TYPE_CHECKING:
    from producers.portals.live import LiveTraffic

#: The name of the endless scenario beside the packaged ones.
LIVE: Final = "live"
#: Messages a second of live traffic at the busiest hour, unless said otherwise.
LIVE_RATE: Final = 50.0


class LiveShape(StrEnum):
    """How live traffic changes over the day."""

    OFFICE = "office"
    STEADY = "steady"


def live_traffic(*, seed: int, rate: float | None, shape: LiveShape, collapse: str | None, collapse_after: float) -> LiveTraffic:
    """The live traffic that the options ask for, on the clock of the settings.

    Wrong options raise an error before any connection is opened.
    """
    from domain.clock import parse_clock  # noqa: PLC0415 - numpy and Kafka, which --help need not load
    from pipeline.registry import registry_of  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from producers.portals.collapse import parse_collapse  # noqa: PLC0415
    from producers.portals.daily_traffic import SHAPES  # noqa: PLC0415
    from producers.portals.live import LiveTraffic  # noqa: PLC0415

    settings = load_settings()
    clock = parse_clock(settings.clock)
    traffic = LiveTraffic(
        registry=registry_of(settings),
        clock=clock,
        seed=seed,
        rate=rate,
        shape=SHAPES[shape],
        collapse=None if collapse is None else parse_collapse(collapse, after=collapse_after),
    )
    office = shape is LiveShape.OFFICE
    for line in expectations(traffic, rate=rate, office=office, now=clock.now(), policies=settings.thresholds):
        typer.echo(line, err=True)
    return traffic
