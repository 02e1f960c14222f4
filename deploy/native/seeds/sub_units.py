"""Dossiers by sub-unit, from a report that is divided by the receiving unit in the dossier code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.indicators import Ratio


def online_dossiers_by_sub_unit(report: Mapping[str, Any], agency: str) -> dict[str, Ratio]:
    """Sub-unit -> dossiers received online in the period: at legacy level 4, of those at levels 3 and 4.

    Args:
        report: a report with the figures ``due``, divided by sub-unit.
        agency: the agency whose dossiers are divided.
    """
    found = {}
    for part in report["parts"]:
        counts = part["figures"]["due"]["counts"]
        if part["unit"] == agency and counts.get("online"):
            found[str(part["code"])] = Ratio(counts.get("online_level_4", 0), counts["online"])
    return found
