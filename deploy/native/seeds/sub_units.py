"""Dossiers by sub-unit, from the raw events that the product has stored.

The receiving unit stands in the dossier code before its date. A report by sub-unit would give the same; until there is one, this
is the only place that judges dossiers itself, with the rules of the domain.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict

import httpx

from domain.agencies import AgencyRegistry
from domain.dossiers import Dossier, judge
from domain.errors import UnavailableError
from domain.events import Channel, DossierEvent, ServiceLevel
from domain.indicators import Ratio
from domain.periods import Period, civil_day
from pipeline.decode.validator import EventValidator


def online_dossiers_by_sub_unit(
    client: httpx.Client, api: str, agency: str, period: Period, *, registry: AgencyRegistry
) -> dict[str, Ratio]:
    """Sub-unit -> dossiers submitted online in the period: at level 4 (toàn trình), of all.

    Args:
        client: asks.
        api: address of the running process, which must trust this machine.
        agency: whose dossiers are divided.
        period: in which they are submitted.
        registry: of the agencies.

    Raises:
        UnavailableError: the process does not answer.
    """
    online: Counter[str] = Counter()
    level_4: Counter[str] = Counter()
    validator, latest = EventValidator(registry), dt.datetime.now(dt.UTC)
    for code, lines in _lines_by_dossier(client, api, agency, period, registry).items():
        if not any(json.loads(line)["channel"] == Channel.ONLINE for line in lines):
            continue
        messages = [validator.validate(line, latest=latest) for line in lines]
        dossier = judge(message for message in messages if isinstance(message, DossierEvent))
        if not isinstance(dossier, Dossier) or not dossier.online:
            continue
        if period.start <= civil_day(dossier.submitted.occurred_at) <= period.end:
            sub_unit = code.partition("-")[0]
            online[sub_unit] += 1
            level = next((event.service_level for event in dossier.events if event.service_level), "")
            level_4[sub_unit] += level == ServiceLevel.FULL
    return {sub_unit: Ratio(level_4[sub_unit], number) for sub_unit, number in online.items()}


def _lines_by_dossier(
    client: httpx.Client, api: str, agency: str, period: Period, registry: AgencyRegistry
) -> dict[str, list[bytes]]:
    """Dossier code -> its stored events up to the end of the period, as messages; from the first day of the agency on."""
    found: dict[str, list[bytes]] = defaultdict(list)
    days = {"from": str(registry.spans(agency)[0].valid_from), "to": str(period.end), "agency": agency}
    try:
        with client.stream("GET", f"{api}/api/v1/events", params=days) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                found[json.loads(line)["dossier_code"]].append(line.encode())
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(f"{api} does not stream its events: {error}.", remedy="See the logs of the stack.") from error
    return found
