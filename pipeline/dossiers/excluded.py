"""Finds the excluded dossiers that would count in the figures of a period, for the report of this period."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from domain.periods import Period
from pipeline.dossiers.exclusion import as_dict, milestones_of
from sinks.contract.dossiers import DossierReader
from sinks.contract.exclusions import ExclusionStore

#: The milestones that a report counts.
REPORTED: Final = ("submitted", "settled", "refused", "withdrawn", "stopped", "given_back")
#: Dossiers that are read at once.
_AT_ONCE: Final = 1_000


class ExcludedDossiers:
    """Finds the excluded dossiers that would count in a period if they were not excluded."""

    def __init__(self, exclusions: ExclusionStore, reader: DossierReader) -> None:
        self._exclusions, self._reader = exclusions, reader

    def within(self, period: Period) -> list[dict[str, Any]]:
        """Every excluded dossier with a milestone of ``REPORTED`` in the period, sorted by code; see docs/reports.md.

        Raises:
            SinkError: the storage does not answer.
        """
        decisions = self._exclusions.excluded()
        codes = sorted(decisions)
        found = []
        for start in range(0, len(codes), _AT_ONCE):
            chosen = codes[start : start + _AT_ONCE]
            histories = self._reader.messages_of(chosen)
            for code in chosen:
                milestones = [
                    each
                    for each in milestones_of(histories.get(code, ()), REPORTED)
                    if period.start <= dt.date.fromisoformat(each["day"]) <= period.end
                ]
                if milestones:
                    decision = as_dict(decisions[code])
                    found.append(
                        {"dossier_code": code}
                        | {name: decision[name] for name in ("reason", "name", "decided_at")}
                        | {"milestones": milestones}
                    )
        return found
