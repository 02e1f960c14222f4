"""``produce --catalogue``: writes the catalogue of the simulated agencies, and sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from domain.errors import UnavailableError

if TYPE_CHECKING:
    from producers.portals.dossier_faults import FaultShares


def write_catalogue(path: Path, *, scenario: str, live: bool, seed: int, scale: int, shares: FaultShares) -> None:
    """Write the procedures that the agencies of a scenario, or the agencies of live traffic today, offer to a file.

    ``scale`` and ``shares``: as for sending a published scenario; the catalogue then fits the dossiers that are sent.

    Raises:
        ConfigurationError: the scenario's file contradicts itself, or a setting is wrong.
        UnavailableError: the file cannot be written.
    """
    from domain.clock import parse_clock  # noqa: PLC0415 - numpy, which --help need not load
    from domain.periods import civil_day  # noqa: PLC0415
    from pipeline.registry import registry_of  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.whole_files import write_whole  # noqa: PLC0415
    from producers.portals.catalogue_file import catalogue_csv, simulated_catalogue  # noqa: PLC0415
    from producers.portals.months import MONTHS  # noqa: PLC0415
    from producers.portals.produce import scenario_catalogue  # noqa: PLC0415

    settings = load_settings()
    registry = registry_of(settings)
    if live or scenario in MONTHS:
        day = civil_day(parse_clock(settings.clock).now()) if live else MONTHS[scenario].start
        codes = [agency.code for agency in registry.expected(day)]
        entries = tuple(simulated_catalogue(codes, day=day, seed=seed, registry=registry))
    else:
        entries = scenario_catalogue(scenario, seed=seed, scale=scale, shares=shares, registry=registry)
    agencies = len({entry.agency for entry in entries})
    text = catalogue_csv(entries)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {error.strerror}.", remedy="Name another file.") from error
    typer.echo(
        f"{path}: {len(entries):,} services of {agencies} agencies. Load them with "
        f"`portalpulse catalogue load {path}`; the same --seed, --scale, --profile and --fault send dossiers of these procedures."
    )
