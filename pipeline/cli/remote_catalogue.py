"""The steps of a recount after a load of the catalogue, in a running process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Final

from domain.catalogue_levels import Generation
from pipeline.catalogue.recount import LevelChanges, RecountPlan
from pipeline.catalogue.recount_routes import loads_as_list, loads_of
from pipeline.cli.remote import Process

#: A plan reads the messages of some agencies; a day has some hundred thousand dossiers.
_SECONDS: Final = 600.0


class RemoteRecount:
    """Implements ``pipeline.catalogue.recount.RecountSteps``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def unfinished(self) -> Collection[str]:
        """Agencies whose stored dossiers were not all counted with their last load."""
        found = self._process.request_json("GET", "/api/v1/catalogue", timeout=_SECONDS)
        return list(found["not_recounted"])

    def plan(self, agencies: Collection[str]) -> RecountPlan:
        """What must be counted again."""
        found = self._process.request_json(
            "POST", "/api/v1/catalogue/recount", timeout=_SECONDS, json={"agencies": list(agencies)}
        )
        days = {dt.date.fromisoformat(row["day"]): int(row["messages"]) for row in found["days"]}
        return RecountPlan(loads_of(found["loads"]), days)

    def recount_day(self, day: dt.date, agencies: Collection[str]) -> LevelChanges:
        """Count a day again."""
        fields = {"day": day.isoformat(), "agencies": list(agencies)}
        found = self._process.request_json("POST", "/api/v1/catalogue/recount/day", timeout=_SECONDS, json=fields)
        return LevelChanges.from_list(found["dossiers"])

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that all days of a plan are done."""
        fields = {"loads": loads_as_list(loads)}
        self._process.request_json("POST", "/api/v1/catalogue/recount/finish", timeout=_SECONDS, json=fields)
