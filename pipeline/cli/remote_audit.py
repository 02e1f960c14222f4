"""Lets a running process do the steps of the audit, over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.audit import json_format
from pipeline.audit.dossier_check import DossierFaults
from pipeline.audit.dossier_repair import RepairedDossiers
from pipeline.audit.drift import DayComparison
from pipeline.audit.steps import LookedUp, TopicOffsets, UnreadLog
from pipeline.cli.remote import Process
from sinks.contract.audit import HashShard, Repeats
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.expiry import ExpiredTotal

#: A single step may scan a day of a large table.
_STEP_SECONDS: Final = 3_600.0


class RemoteAudit:
    """Implements ``pipeline.audit.steps.AuditSteps``; errors are those of ``Process.request_json``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def days(self, first: dt.date | None, last: dt.date | None) -> Mapping[dt.date, int]:
        """Civil day with events or tallies -> number of event rows; from ``first`` to ``last``, both included."""
        bounds = {name: day.isoformat() for name, day in (("from", first), ("to", last)) if day is not None}
        return json_format.decode_days(self._get("days", **bounds))

    def compare(self, day: dt.date, *, settle: float) -> DayComparison:
        """Compare the tallies of a day with its stored messages."""
        return json_format.decode_comparison(self._get(f"days/{day.isoformat()}", settle=settle))

    def contradictions(self, day: dt.date) -> Repeats:
        """Events of a day that are stored with different contents."""
        return json_format.decode_repeats(self._get(f"days/{day.isoformat()}/contradictions"))

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard) -> Repeats:
        """Event ids that several dossiers have, among the ids of a hash shard."""
        return json_format.decode_repeats(self._get("repeats", **_parameters(days, shard)))

    def dossiers(self, selection: DossierSelection, *, settle: float) -> DossierFaults:
        """Check the corrections and index rows of the selected dossiers."""
        return json_format.decode_dossiers(self._get("dossiers", settle=settle, **_parameters(selection.days, selection.shard)))

    def repair_dossiers(self, selection: DossierSelection, *, settle: float) -> RepairedDossiers:
        """Repair the corrections and index rows of the selected dossiers."""
        parameters = _parameters(selection.days, selection.shard)
        return json_format.decode_repaired_dossiers(self._post("dossiers/repair", settle=settle, **parameters))

    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> int | None:
        """Recount a day in every tier."""
        chosen = None if agencies is None else list(agencies)
        epoch: int | None = self._post("repair", day=day.isoformat(), agencies=chosen, raise_epoch=raise_epoch)["epoch"]
        return epoch

    def compact(self, days: Sequence[dt.date]) -> str:
        """Remove the rows that a raised epoch replaced."""
        problem: str = self._post("tidy", days=[day.isoformat() for day in days])["problem"]
        return problem

    def partitions(self) -> TopicOffsets:
        """The offsets of every partition."""
        return json_format.decode_offsets(self._get("partitions"))

    def unread(self) -> UnreadLog:
        """Recorded offsets that left the log before a worker read them."""
        return json_format.decode_unread(self._get("unread"))

    def expired(self) -> ExpiredTotal:
        """How many messages expired, of how many dossiers, older than what, and how many messages came late for them."""
        return json_format.decode_expired(self._get("expired"))

    def verify(self, partition: int, begin: int, end: int, *, topic: str = "") -> LookedUp:
        """Look up in the storage the messages of a partition from offset ``begin`` up to, not including, ``end``."""
        named = {"topic": topic} if topic else {}
        return json_format.decode_looked_up(self._get(f"partitions/{partition}", begin=begin, end=end, **named))

    def _get(self, path: str, **query: Any) -> Any:
        return self._process.request_json("GET", f"/api/v1/audit/{path}", timeout=_STEP_SECONDS, params=query)

    def _post(self, path: str, **fields: Any) -> Any:
        return self._process.request_json("POST", f"/api/v1/audit/{path}", timeout=_STEP_SECONDS, json=fields)


def _parameters(days: tuple[dt.date, dt.date] | None, shard: HashShard) -> dict[str, Any]:
    bounds = {} if days is None else {"from": days[0].isoformat(), "to": days[1].isoformat()}
    return {"number": shard.index, "of": shard.count, **bounds}
