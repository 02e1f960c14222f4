"""The table of endpoints: the role that each needs and the largest body that it accepts. A test compares it with docs/http.md.

An endpoint that is not in the table needs the role operate.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Role(enum.IntEnum):
    """What the sender of a request may do; a higher role includes the lower ones.

    ``PUBLIC``: metrics and health. ``READ``: pages and figures. ``OPERATE``: raw messages, what identifies people, long work,
    and every change.
    """

    PUBLIC = 0
    READ = 1
    OPERATE = 2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The role that an endpoint needs, and the largest body that it accepts (bytes)."""

    role: Role
    largest_body: int = 0


#: A change names days, agencies or one dossier.
_SMALL: Final = 64 << 10
#: Lists of days or loads.
_LIST: Final = 1 << 20
#: The catalogue of all agencies, and the recomputed figures of a report.
_LARGE: Final = 128 << 20

_READ, _OPERATE = Endpoint(Role.READ), Endpoint(Role.OPERATE)
_CHANGE: Final = Endpoint(Role.OPERATE, _SMALL)
#: An endpoint that nobody declared.
_UNDECLARED: Final = _CHANGE
#: Paths of probes and scrapes; health is never limited.
HEALTH: Final = frozenset({"/livez", "/healthz", "/readyz"})

#: (method, path as in the route) -> endpoint. A HEAD request is one of GET.
ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = {
    ("GET", "/metrics"): Endpoint(Role.PUBLIC),
    **{("GET", path): Endpoint(Role.PUBLIC) for path in sorted(HEALTH)},
    ("GET", "/"): _READ,
    ("GET", "/board/{path}"): _READ,
    ("GET", "/report"): _READ,
    ("GET", "/definitions/{language}"): _READ,
    ("GET", "/runbook"): _READ,
    ("GET", "/runbook/{language}"): _READ,
    ("GET", "/api/v1/agencies/{code}"): _READ,
    ("GET", "/api/v1/alerts"): _READ,
    ("GET", "/api/v1/audit/expired"): _READ,
    ("GET", "/api/v1/audit/unread"): _READ,
    ("GET", "/api/v1/catalogue"): _READ,
    ("GET", "/api/v1/misplaced"): _READ,
    ("GET", "/api/v1/openapi.json"): _READ,
    ("GET", "/api/v1/progress"): _READ,
    ("GET", "/api/v1/report"): _READ,
    ("GET", "/api/v1/report/explanation"): _READ,
    ("GET", "/api/v1/snapshot"): _READ,
    ("GET", "/api/v1/status"): _READ,
    ("GET", "/api/v1/steps"): _READ,
    ("GET", "/api/v1/stream"): _READ,
    ("GET", "/api/v1/audit/days"): _OPERATE,
    ("GET", "/api/v1/audit/days/{day}"): _OPERATE,
    ("GET", "/api/v1/audit/days/{day}/contradictions"): _OPERATE,
    ("GET", "/api/v1/audit/dossiers"): _OPERATE,
    ("GET", "/api/v1/audit/partitions"): _OPERATE,
    ("GET", "/api/v1/audit/partitions/{partition}"): _OPERATE,
    ("GET", "/api/v1/audit/repeats"): _OPERATE,
    ("GET", "/api/v1/dead-letters"): _OPERATE,
    ("GET", "/api/v1/dead-letters/{topic}/{partition}/{offset}"): _OPERATE,
    ("GET", "/api/v1/dossiers/{code}"): _OPERATE,
    ("GET", "/api/v1/events"): _OPERATE,
    ("GET", "/api/v1/findings"): _OPERATE,
    ("GET", "/api/v1/findings/shards"): _OPERATE,
    ("GET", "/api/v1/report/verification"): _OPERATE,
    ("GET", "/api/v1/report/verification/shards"): _OPERATE,
    ("GET", "/api/v1/retention"): _OPERATE,
    ("POST", "/api/v1/audit/dossiers/repair"): _CHANGE,
    ("POST", "/api/v1/audit/repair"): _CHANGE,
    ("POST", "/api/v1/audit/tidy"): Endpoint(Role.OPERATE, _LIST),
    ("POST", "/api/v1/catalogue"): Endpoint(Role.OPERATE, _LARGE),
    ("POST", "/api/v1/catalogue/recount"): _CHANGE,
    ("POST", "/api/v1/catalogue/recount/day"): _CHANGE,
    ("POST", "/api/v1/catalogue/recount/finish"): Endpoint(Role.OPERATE, _LIST),
    ("POST", "/api/v1/dead-letters/accept"): _CHANGE,
    ("POST", "/api/v1/dead-letters/drop"): _CHANGE,
    ("POST", "/api/v1/dead-letters/replay"): _CHANGE,
    ("POST", "/api/v1/dossiers/{code}/exclusion"): _CHANGE,
    ("POST", "/api/v1/report/verification"): Endpoint(Role.OPERATE, _LARGE),
    ("POST", "/api/v1/retention/plan"): _CHANGE,
    ("POST", "/api/v1/retention/remove"): _CHANGE,
    ("POST", "/api/v1/retention/share"): _CHANGE,
}


def endpoint_of(method: str, path: str) -> Endpoint:
    """The table's entry for a method and the path of a route; an endpoint without entry needs the role operate."""
    return ENDPOINTS.get(("GET" if method == "HEAD" else method, path), _UNDECLARED)
