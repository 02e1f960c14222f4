"""Runs the examinations of parts side by side, each with a time limit, so that a part that hangs or fails delays no other."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.native.doctor.finding import Finding
from domain.errors import PortalPulseError, describe_error

#: Longest examination of one part (seconds): several questions with several tries.
PART_SECONDS: Final = 45.0


@dataclass(frozen=True, slots=True)
class Check:
    """The examination of one part."""

    part: str
    examine: Callable[[], list[Finding]]


def run_checks(
    checks: Sequence[Check], *, pending: Callable[[Sequence[str]], None], seconds: float = PART_SECONDS
) -> list[Finding]:
    """The findings of all checks in their order. ``pending`` is called with the names of the parts that are still being examined.

    Threads that do not end in time are left running: they end with the process.
    """
    answers: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds
    for number, check in enumerate(checks):
        threading.Thread(
            target=lambda number=number, check=check: answers.put((number, _examined(check))),
            name=f"doctor-{check.part}",
            daemon=True,
        ).start()
    found: dict[int, list[Finding]] = {}
    while len(found) < len(checks):
        pending([check.part for number, check in enumerate(checks) if number not in found])
        try:
            number, findings = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[number] = findings
    return [
        finding for number, check in enumerate(checks) for finding in found.get(number) or _late(check, seconds, number in found)
    ]


def _examined(check: Check) -> list[Finding]:
    try:
        return check.examine()
    except PortalPulseError as error:
        return [Finding(check.part, "wrong", error.problem, error.remedy)]
    except Exception as error:  # noqa: BLE001 - a fault of one examination must not hide what the others find
        remedy = "This is a fault of portalpulse, or an unexpected answer of the part. The other findings are valid."
        return [Finding(check.part, "wrong", f"cannot be examined: {describe_error(error)}", remedy)]


def _late(check: Check, seconds: float, examined: bool) -> list[Finding]:  # noqa: FBT001
    if examined:
        return []
    remedy = "The part answers too slowly, or hangs. See its log, and the network in between."
    return [Finding(check.part, "wrong", f"was not examined within {seconds:g} s", remedy)]
