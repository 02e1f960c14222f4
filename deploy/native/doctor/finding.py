"""A finding of the doctor about one part, and the summary of all findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from domain.errors import PortalPulseError

#: The part that says whether a local stack runs.
STACK: Final = "Stack"

State = Literal["ok", "idle", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one part of the set-up.

    Attributes:
        part: the part that was examined.
        state: ``idle``: not started, and it need not be. ``note``: no fault, but worth knowing. Only ``wrong`` is a fault.
        says: a sentence on what was found.
        remedy: what to do; empty: nothing is to be done.
        since: since when the state holds; None: not known.
    """

    part: str
    state: State
    says: str
    remedy: str = ""
    since: dt.datetime | None = None


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def summary(findings: list[Finding]) -> str:
    """The last line of the output: how many things are wrong."""
    wrong = sum(finding.state == "wrong" for finding in findings)
    if wrong:
        return "1 thing is wrong." if wrong == 1 else f"{wrong} things are wrong."
    if any(finding.part == STACK and finding.state == "idle" for finding in findings):
        return "This machine is ready. No stack runs: start it with `portalpulse up`."
    return "No problem found."


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """The findings as JSON; ``since`` is null where it is not known."""
    return {
        "healthy": healthy(findings),
        "findings": [
            {
                "part": finding.part,
                "state": finding.state,
                "says": finding.says,
                "remedy": finding.remedy,
                "since": None if finding.since is None else finding.since.isoformat(timespec="seconds"),
            }
            for finding in findings
        ],
    }


def guarded(part: str, examine: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of ``examine``; an error with a sentence for users becomes a finding, so that it hides no other finding."""
    try:
        return examine()
    except PortalPulseError as error:
        return [Finding(part, "wrong", error.problem, error.remedy)]
