"""Dossiers by sub-unit, from what the product knows of each dossier.

The receiving unit stands in the dossier code before its date. A report by sub-unit would give the same; until there is one, this
is the only place that asks for single dossiers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from urllib.parse import quote

import httpx

from deploy.native.phases import json_of
from domain.events import ServiceLevel
from domain.indicators import Ratio


def online_dossiers_by_sub_unit(
    client: httpx.Client, api: str, codes: Iterable[str], *, first: str, last: str, on_dossier: Callable[[], None]
) -> dict[str, Ratio]:
    """Sub-unit -> dossiers submitted online in the period: at level 4 (toàn trình), of all.

    Args:
        client: asks.
        api: address of the running process, which must trust this machine.
        codes: of all dossiers that may be among them.
        first: day of the period, as text.
        last: day of the period, as text.
        on_dossier: called after each dossier.

    Raises:
        UnavailableError: the process does not answer, or does not know a dossier.
    """
    online: Counter[str] = Counter()
    level_4: Counter[str] = Counter()
    for code in codes:
        dossier = json_of(client, f"{api}/api/v1/dossiers/{quote(code)}")
        submitted = dossier["milestones"]["submitted"]
        sub_unit = code.rpartition("-")[0].rpartition("-")[0]
        if dossier["online"] and submitted is not None and first <= submitted["day"] <= last:
            online[sub_unit] += 1
            level_4[sub_unit] += any(message["level"] == ServiceLevel.FULL for message in dossier["messages"])
        on_dossier()
    return {sub_unit: Ratio(level_4[sub_unit], number) for sub_unit, number in online.items()}
