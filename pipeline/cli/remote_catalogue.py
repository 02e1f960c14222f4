"""Lets a running process load and show the service catalogue and recount after a load, over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from domain.catalogue_levels import Generation
from pipeline.catalogue.recount import LevelChanges, RecountPlan
from pipeline.catalogue.recount_routes import loads_as_list, loads_of
from pipeline.cli.remote import Process

#: A load of all agencies writes a hundred thousand rows; a day to be counted again has some hundred thousand dossiers.
_SECONDS: Final = 600.0


class RemoteRecount:
    """Implements ``pipeline.catalogue.recount.RecountSteps``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def unfinished(self) -> Collection[str]:
        """Agencies whose stored dossiers were not all counted again after their catalogue was loaded last."""
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
        """Count the stored dossiers of a day again."""
        fields = {"day": day.isoformat(), "agencies": list(agencies)}
        found = self._process.request_json("POST", "/api/v1/catalogue/recount/day", timeout=_SECONDS, json=fields)
        return LevelChanges.from_list(found["dossiers"])

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that the recount after these loads is complete."""
        fields = {"loads": loads_as_list(loads)}
        self._process.request_json("POST", "/api/v1/catalogue/recount/finish", timeout=_SECONDS, json=fields)


class RemoteCatalogue:
    """Has the methods of ``pipeline.catalogue.service.CatalogueService``, and calls those of a running process over HTTP."""

    def __init__(self, process: Process) -> None:
        self._process, self.recount = process, RemoteRecount(process)

    def load(self, entries: Sequence[Mapping[str, object]], *, add: bool = False, source: str = "") -> dict[str, Any]:
        """Load entries into the catalogue; return what changed."""
        fields = {"entries": list(entries), "add": add, "source": source}
        found: dict[str, Any] = self._process.request_json("POST", "/api/v1/catalogue", timeout=_SECONDS, json=fields)
        return found

    def show(self, *, day: Any, agencies: Sequence[str] | None, procedure: str | None, all_days: bool) -> dict[str, Any]:
        """The entries of the catalogue, and the numbers of services by level."""
        query: dict[str, Any] = {"all": "true"} if all_days else {} if day is None else {"day": day.isoformat()}
        if agencies:
            query["agency"] = list(agencies)
        if procedure is not None:
            query["procedure"] = procedure
        found: dict[str, Any] = self._process.request_json("GET", "/api/v1/catalogue", timeout=_SECONDS, params=query)
        return found
