"""``produce --catalogue``: writes the catalogue of the simulated agencies, and sends nothing."""

from __future__ import annotations

from pathlib import Path

import typer

from domain.errors import UnavailableError


def write_catalogue(path: Path, *, scenario: str, live: bool, seed: int) -> None:
    """Write what the agencies of a scenario, or those of live traffic today, offer.

    Raises:
        ConfigurationError: the scenario's file contradicts itself, or a setting is wrong.
        UnavailableError: the file cannot be written.
    """
    from domain.clock import parse_clock  # noqa: PLC0415 - numpy, which --help need not load
    from domain.periods import civil_day  # noqa: PLC0415
    from pipeline.registry import registry_of  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from producers.portals.catalogue_file import catalogue_csv  # noqa: PLC0415
    from producers.portals.months import MONTHS  # noqa: PLC0415
    from producers.portals.scenarios import load_scenario  # noqa: PLC0415

    settings = load_settings()
    registry = registry_of(settings)
    if live or scenario in MONTHS:
        day = civil_day(parse_clock(settings.clock).now()) if live else MONTHS[scenario].start
        codes = [agency.code for agency in registry.expected(day)]
    else:
        found = load_scenario(scenario)
        day, codes = found.period.end, [unit.code for unit in found.units]
    text = catalogue_csv(codes, day=day, seed=seed, registry=registry)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {error.strerror}.", remedy="Name another file.") from error
    typer.echo(
        f"{path}: {text.count(chr(10)) - 1:,} services of {len(codes)} agencies. Load them with "
        f"`portalpulse catalogue load {path}`; the same --seed sends dossiers of these procedures."
    )
