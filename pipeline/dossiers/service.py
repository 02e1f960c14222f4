"""Explains one dossier: its messages in order, what each message counts as and why, its milestones and its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossiers import MAX_EVENTS, Dossier, ExcludedDossier, TooManyEvents, judge, order
from domain.events import DossierEvent
from domain.findings import findings
from domain.periods import VIETNAM, Period, civil_day
from pipeline.dossiers.exclusion import MILESTONES, as_dict
from sinks.contract.dossiers import DossierReader
from sinks.contract.exclusions import ExclusionStore

#: Why no message of an excluded dossier counts.
_EXCLUDED = "The dossier is excluded."
#: The same of a message that came after the others had expired.
_TOO_LATE = "The message came after the messages of its dossier had expired."


class DossierService:
    """Explains dossiers. Returns plain values, ready for JSON.

    Args:
        reader: reads the messages of dossiers.
        exclusions: reads the decisions of operators.
        registry: the registry of agencies.
        catalogue: reads the catalogue entries that are in force on a day of a period.
    """

    def __init__(
        self,
        reader: DossierReader,
        exclusions: ExclusionStore,
        registry: AgencyRegistry,
        *,
        catalogue: Callable[[Period], Iterable[CatalogueEntry]] = lambda _period: (),
    ) -> None:
        self._reader, self._exclusions, self._registry, self._catalogue = reader, exclusions, registry, catalogue

    def explain(self, code: str) -> dict[str, Any] | None:
        """What is known of a dossier; None when no message has this code and no operator decided about it."""
        messages, decisions = self._reader.messages(code), self._exclusions.decisions(code)
        decided = sorted(decisions, key=lambda decision: (decision.decided_at, decision.id.hex))
        known: dict[str, Any] = {"code": code, "decisions": [as_dict(decision) for decision in decided]}
        if (expired_at := self._reader.expired_at(code)) is not None:
            expired_on = civil_day(expired_at)
            remark = f"The messages of the dossier expired on {expired_on}: it counts as before, and its history is gone." + (
                " The messages below came after that, and are part of no figure but events." if messages else ""
            )
            late = [_fields(message) | {"counts_as": [], "why": _TOO_LATE} for message in sorted(messages, key=order)]
            return known | {"messages": late, "findings": [], "remark": remark}
        if not messages:
            if not decided:
                return None
            remark = "No message with this code is stored. " + (
                "The dossier is excluded: a message that comes will be part of no figure but events."
                if decided[-1].excluded
                else "The dossier will count when a message comes."
            )
            return known | {"messages": [], "findings": [], "remark": remark}
        days = [civil_day(message.occurred_at) for message in messages]
        catalogue = Catalogue(self._catalogue(Period(min(days), max(days))))
        dossier = judge(messages, decisions, catalogue.level)
        found = [
            {"kind": str(finding.kind), **({} if finding.event is None else _place(finding.event))}
            for finding in findings(messages, self._registry, decisions, catalogue)
        ]
        if isinstance(dossier, TooManyEvents):
            remark = f"{dossier.events} events have this code. More than {MAX_EVENTS} count only as events."
            return known | {"messages": [], "findings": found, "remark": remark}
        if isinstance(dossier, ExcludedDossier):
            listed = sorted(messages, key=order) if dossier.events <= MAX_EVENTS else []
            return known | {
                "messages": [_fields(message) | {"counts_as": [], "why": _EXCLUDED} for message in listed],
                "findings": found,
                "remark": "The dossier is excluded: it is part of no figure but events.",
            }
        return known | {
            "online": dossier.online,
            "level": dossier.level or None,
            "level_from": None if not dossier.level else "messages" if dossier.sent_level else "catalogue",
            "settled_full": dossier.settled_full,
            "settled_full_any_return": dossier.settled_full_any_return,
            "due_at": None if dossier.due_at is None else _local(dossier.due_at),
            "milestones": {name: _milestone(getattr(dossier, name)) for name in MILESTONES},
            "messages": [_message(message, dossier) for message in sorted(messages, key=order)],
            "findings": found,
        }


def _milestone(event: DossierEvent | None) -> dict[str, Any] | None:
    return None if event is None else _place(event) | {"procedure": event.procedure_code}


def _place(event: DossierEvent) -> dict[str, Any]:
    return {"day": civil_day(event.occurred_at).isoformat(), "unit": event.agency}


def _message(message: DossierEvent, dossier: Dossier) -> dict[str, Any]:
    counts = sorted(dossier.counts_of(message)) if message in dossier.events else []
    if message == dossier.given_back:
        counts.append("given_back")
    return _fields(message) | {"counts_as": counts, "why": _why(message, dossier, counts)}


def _fields(message: DossierEvent) -> dict[str, Any]:
    return {
        "occurred_at": _local(message.occurred_at),
        "status": message.status,
        "unit": message.agency,
        "procedure": message.procedure_code,
        "channel": message.channel or None,
        "level": message.service_level or None,
        "returned_by": message.returned_by or None,
        "due_at": None if message.due_at is None else _local(message.due_at),
        "event_id": str(message.event_id),
    }


def _why(message: DossierEvent, dossier: Dossier, counts: list[str]) -> str:
    """One sentence about why a message counts as it does; empty when it counts as its status says."""
    if message not in dossier.events:
        winner = next(event for event in dossier.events if (event.event_id, event.status) == (message.event_id, message.status))
        if winner.occurred_at != message.occurred_at:
            return f"The same event was sent with the later time {_local(winner.occurred_at)}, which counts."
        return "The same event was sent with other content, which counts."
    reasons = (
        ("submitted" in counts and message.status not in (1, 2), "It is the first event, so the dossier is submitted here."),
        (message.status == 9 and "settled" not in counts, "The dossier was settled by an earlier 9."),
        (message.status == 10 and "settled" in counts, "The dossier has no 9, so this 10 settles it."),
        (
            message.status in (3, 7, 8) and "given_back" not in counts,
            "The dossier was taken up again, settled, or given back earlier.",
        ),
        (message.status in (1, 2) and "submitted" not in counts, "The dossier was submitted with its first event."),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _local(instant: Any) -> str:
    return str(instant.astimezone(VIETNAM).isoformat(timespec="milliseconds"))
