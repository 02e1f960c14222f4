"""``portalpulse indicators``: every published indicator, with its definition and source."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from domain.figure_groups import GROUPS
from domain.indicators import SUPPLY_INDICATORS, ReturnAtCounter, indicators_by
from pipeline.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("indicators", rich_help_panel="Figures")(_indicators)


def _indicators(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:  # noqa: FBT002 - an option
    """Print what each indicator divides, by which day a dossier is placed in a period, and who publishes it.

    The names of the counts are those of the report's JSON; docs/domain.md says what they count. The numerator of I1 is the one
    that PORTALPULSE_INDICATORS__RETURN_AT_COUNTER chooses; a report says which one it has.

    Example: portalpulse indicators --json
    """
    return_at_counter = ReturnAtCounter(load_settings().indicators.return_at_counter)
    indicators = [*indicators_by(return_at_counter).values(), *SUPPLY_INDICATORS.values()]
    indicators += [replace(figure, code=f"{group.name}.{figure.code}") for group in GROUPS.values() for figure in group.figures]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in indicators], ensure_ascii=False, indent=2).encode())
        return
    console = Console()
    for each in indicators:
        console.print(f"{each.code}  {each.name_vi}", style="bold", highlight=False, markup=False, soft_wrap=True)
        for name, text in (
            ("", each.name_en),
            ("numerator", each.numerator),
            ("denominator", each.denominator),
            ("placed by", each.placed_by),
            ("source", each.source),
            ("remarks", each.remarks),
        ):
            if text:
                label = f"{name}: " if name else ""
                console.print(f"    {label}{text}", highlight=False, markup=False, soft_wrap=True)
