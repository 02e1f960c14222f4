"""Excludes a dossier from every figure except events, or includes it again, as an operator decides.

The order is that of a worker: the decision is stored, then indexed, then the dossier is resolved, then the days of corrected
messages are recounted, then the corrections are confirmed. Each step may be repeated, so running the same command again completes
one that broke off. Workers may write meanwhile: for them a decision is one more row of the dossier. DECISIONS.md says why the
result is right all the same.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast

from domain.dossiers import Dossier, judge
from domain.errors import ConfigurationError, UnavailableError
from domain.events import DOSSIER_CODE, DossierEvent
from domain.exclusions import ExclusionDecision, checked_text, last_decision
from domain.periods import VIETNAM, civil_day
from pipeline.ingest.dossier_resolver import Corrected, DossierResolver
from sinks.contract.dossiers import DossierIndex, DossierReader
from sinks.contract.exclusions import ExclusionStore
from sinks.errors import SinkError

#: Milestones of a dossier that figures count.
MILESTONES = ("submitted", "settled", "refused", "withdrawn", "stopped", "given_back")


class ExclusionService:
    """Excludes dossiers and includes them again. Returns plain values, ready for JSON.

    Args:
        exclusions: stores decisions.
        reader: reads the messages of the dossier, to tell what the decision changes.
        index: the index of dossiers.
        recount: counts a civil day of some agencies again in every tier.
    """

    def __init__(
        self,
        exclusions: ExclusionStore,
        *,
        reader: DossierReader,
        index: DossierIndex,
        recount: Callable[[dt.date, Sequence[str]], object],
    ) -> None:
        self._exclusions, self._reader, self._recount = exclusions, reader, recount
        self._resolver = DossierResolver(index)

    def change(self, code: str, *, excluded: bool, reason: str = "", name: str) -> dict[str, Any]:
        """Exclude a dossier, or include it again (``excluded`` False); ``steps`` says what is returned.

        Raises:
            ConfigurationError: the code, the reason or the name is wrong, messages of the dossier expired, or a dossier that
                was never excluded is to be included again.
            UnavailableError: the storage failed midway. The same call later completes the change.
        """
        steps = self.steps(code, excluded=excluded, reason=reason, name=name)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast("dict[str, Any]", end.value)
            except SinkError as error:
                raise UnavailableError(
                    f"Dossier {code} is perhaps not {'excluded' if excluded else 'included'} in every figure yet: {error}",
                    remedy="Run the same command again when the storage answers: it completes what is missing.",
                ) from error

    def steps(self, code: str, *, excluded: bool, reason: str = "", name: str) -> Generator[str, None, dict[str, Any]]:
        """``change`` as a generator that pauses after every write, so that a test can end it there.

        Returns ``code``, ``excluded``, ``decision``, ``repeated`` (whether the same decision held before), ``messages`` (number
        of the dossier's messages), ``milestones`` (which the exclusion removes or the inclusion restores), ``recounted`` (days).
        """
        decision, known = self._known(code, excluded=excluded, reason=reason, name=name)
        repeated = decision is not None
        if decision is None:
            decision = self._exclusions.decide(code, excluded=excluded, reason=reason.strip(), name=name.strip())
            known = [*known, decision]
            yield "decided"
        # All of them: an earlier command may have ended before it indexed its decision.
        indexed = self._resolver.add_decisions(code, known)
        yield "indexed"
        corrected = yield from self._resolver.steps(indexed)
        days = _days_of(corrected)
        for day, agencies in days.items():
            self._recount(day, agencies)
            yield "recounted"
        if corrected.claims.num_rows:
            self._resolver.confirm(corrected)
            yield "confirmed"
        messages = self._reader.messages(code)
        return {
            "code": code,
            "excluded": excluded,
            "decision": as_dict(decision),
            "repeated": repeated,
            "messages": len(messages),
            "milestones": milestones_of(messages, MILESTONES),
            "recounted": [{"day": day.isoformat(), "units": list(agencies)} for day, agencies in days.items()],
        }

    def _known(
        self, code: str, *, excluded: bool, reason: str, name: str
    ) -> tuple[ExclusionDecision | None, Sequence[ExclusionDecision]]:
        """The decision that holds if it is the same as the one asked for, else None; and all decisions about the dossier.

        Raises:
            ConfigurationError: see ``change``.
        """
        if re.fullmatch(DOSSIER_CODE, code) is None:
            raise ConfigurationError(f"{code[:80]!r} is not a dossier code.", remedy="Codes look like H62-250105-0007.")
        if (expired_at := self._reader.expired_at(code)) is not None:
            raise ConfigurationError(
                f"The messages of dossier {code} expired on {civil_day(expired_at)}, so what it counts as can no longer change.",
                remedy="docs/retention.md says what is kept of such a dossier.",
            )
        name = checked_text("The name", name)
        reason = checked_text("The reason", reason) if excluded else ""
        known = self._exclusions.decisions(code)
        last = last_decision(known)
        if last is None and not excluded:
            raise ConfigurationError(f"Dossier {code} was never excluded, so there is nothing to include again.")
        if last is None or last.excluded != excluded or (excluded and (last.reason, last.name) != (reason, name)):
            return None, known
        return last, known


def as_dict(decision: ExclusionDecision) -> dict[str, Any]:
    """A decision of an operator as plain values."""
    return {
        "excluded": decision.excluded,
        "reason": decision.reason or None,
        "name": decision.name,
        "decided_at": str(decision.decided_at.astimezone(VIETNAM).isoformat(timespec="milliseconds")),
    }


def _days_of(corrected: Corrected) -> Mapping[dt.date, tuple[str, ...]]:
    """Civil day -> agencies of the corrected messages, by day."""
    found: dict[dt.date, set[str]] = {}
    for milliseconds, agency in zip(corrected.instants.tolist(), corrected.agencies.to_pylist(), strict=True):
        day = civil_day(dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC))
        found.setdefault(day, set()).add(agency)
    return {day: tuple(sorted(found[day])) for day in sorted(found)}


def milestones_of(messages: Sequence[DossierEvent], names: Sequence[str]) -> list[dict[str, Any]]:
    """The milestones, of those in ``names``, that a dossier has without any decision: name, day, unit and procedure of each."""
    dossier = judge(messages) if messages else None
    if not isinstance(dossier, Dossier):  # too many events: it counts as nothing anyway
        return []
    found = [(name, event) for name in names if (event := getattr(dossier, name)) is not None]
    return [
        {"name": name, "day": civil_day(event.occurred_at).isoformat(), "unit": event.agency, "procedure": event.procedure_code}
        for name, event in found
    ]
