"""The report of a check, as text for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.events import Reason
from domain.findings import MEANINGS, FindingKind
from pipeline.texts import escaped
from producers.replay.checking.check import CheckResult
from producers.replay.checking.dossier_rows import Example


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The report of a check: what a recording contains."""

    result: CheckResult

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values for ``--json`` and ``--report``."""
        result = self.result
        return {
            "source": result.source,
            "complete": result.error is None,
            "problem": None if result.error is None else result.error.problem,
            "messages": result.messages,
            "rejected": result.rejections,
            "accepted": result.accepted,
            "distinct": result.distinct,
            "repeats": result.repeats,
            "dossiers": result.dossiers,
            "rejections": [
                {
                    "reason": str(reason),
                    "messages": result.rejected[reason].messages,
                    "examples": [
                        {**result.place_fields(example), "detail": example.detail} for example in result.rejected[reason].examples
                    ],
                }
                for reason in Reason
                if reason in result.rejected
            ],
            "findings": [
                {
                    "kind": str(kind),
                    "dossiers": result.found[kind].dossiers,
                    "examples": [self._example(example) for example in result.found[kind].examples],
                }
                for kind in FindingKind
                if kind in result.found
            ],
        }

    def text(self) -> str:
        """The report for people."""
        result = self.result
        lines = [
            result.source,
            f"  messages   {result.messages:>14,}",
            f"  rejected   {result.rejections:>14,}   (a worker keeps them as dead letters)",
            f"  accepted   {result.accepted:>14,}   ({result.distinct:,} distinct events, {result.repeats:,} repeats)",
            f"  dossiers   {result.dossiers:>14,}",
        ]
        if result.rejected:
            lines += ["", "Rejected messages by reason (docs/messages.md)"]
        for reason in Reason:
            if found := result.rejected.get(reason):
                lines.append(f"  {reason:<22} {found.messages:>12,}")
                lines += [f"      {result.place_of(example)}: {example.detail}" for example in found.examples]
        if result.found:
            lines += ["", "Findings: dossiers by kind (docs/domain.md)"]
        for kind in FindingKind:
            if kind in result.found:
                lines.append(f"  {kind:<26} {result.found[kind].dossiers:>8,}   ({MEANINGS[kind]})")
                lines += [f"      {self._sentence(example)}" for example in result.found[kind].examples]
        return "\n".join(map(escaped, [*lines, "", "Nothing was sent."]))  # names of files stand in them

    def _example(self, example: Example) -> dict[str, Any]:
        return {
            "dossier_code": example.dossier_code,
            **self.result.place_fields(example),
            "day": None if example.day is None else example.day.isoformat(),
            "agency": example.agency,
        }

    def _sentence(self, example: Example) -> str:
        day = "" if example.day is None else f" on {example.day}, {example.agency}"
        return f"{example.dossier_code}{day} ({self.result.place_of(example)})"
