"""Recorded feeds with known right answers: the files of tests/data/cases."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from domain.agencies import AgencyRegistry
from domain.events import DossierEvent
from domain.periods import civil_day
from domain.units import unit_of_event

FOLDER = Path(__file__).parent / "data" / "cases"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def lines(name: str) -> list[bytes]:
    """The messages of a file."""
    return gzip.decompress((FOLDER / name).read_bytes()).splitlines()


def event_of(fields: dict[str, Any], registry: AgencyRegistry) -> DossierEvent:
    """The event of a message that is known to be valid."""
    occurred_at = dt.datetime.fromisoformat(fields["occurred_at"]).astimezone(dt.UTC)
    unit = unit_of_event(
        registry, agency_code=fields["agency_code"], dossier_code=fields["dossier_code"], day=civil_day(occurred_at)
    )
    assert unit is not None
    due_at = fields.get("due_at")
    return DossierEvent(
        event_id=uuid.UUID(fields["event_id"]),
        dossier_code=fields["dossier_code"],
        agency=unit.code,
        procedure_code=fields["procedure_code"],
        status=fields["status"],
        channel=fields.get("channel") or 0,
        service_level=fields.get("service_level") or "",
        occurred_at=occurred_at,
        legacy_level=fields.get("legacy_level") or 0,
        returned_by=fields.get("returned_by") or "",
        due_at=None if due_at is None else dt.datetime.fromisoformat(due_at).astimezone(dt.UTC),
        named_by_code=unit.named_by_code,
    )


def dossiers(name: str, registry: AgencyRegistry) -> dict[str, list[DossierEvent]]:
    """The events of a file by dossier code."""
    found: dict[str, list[DossierEvent]] = defaultdict(list)
    for line in lines(name):
        event = event_of(json.loads(line), registry)
        found[event.dossier_code].append(event)
    return found
