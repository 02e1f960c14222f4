"""The OpenAPI document of every GET endpoint below ``/api/v1``. A test compares its paths and parameters with the code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.board.other_paths import OTHERS
from pipeline.board.periods import ANY, BoardPeriod
from pipeline.board.schemas import SCHEMAS
from pipeline.board.snapshot import STATES

_PERIOD: Final = {
    "name": "period",
    "in": "query",
    "required": False,
    "description": f"24h, month or ytd (the default); {ANY}: the civil days from `from` to `to`, both included.",
    "schema": {"type": "string", "enum": [*(period.value for period in BoardPeriod), ANY], "default": BoardPeriod.YEAR.value},
}
_OF_PERIOD: Final = ("period", "from", "to")
#: What the board reads: path -> summary, parameters in the query, schema of the answer.
_BOARD: Final[Mapping[str, tuple[str, tuple[str, ...], str]]] = {
    "/api/v1/snapshot": ("Everything that the page shows of a period", _OF_PERIOD, "Snapshot"),
    "/api/v1/agencies/{code}": ("Series, procedures, channels, limits and alerts of an agency", _OF_PERIOD, "Agency"),
    "/api/v1/alerts": ("Open alerts, and whether their source answers", (), "Alerts"),
    "/api/v1/openapi.json": ("This document", (), "Document"),
}


def _parameter(name: str) -> dict[str, Any]:
    if name == "period":
        return dict(_PERIOD)
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


def _operation(path: str, summary: str, parameters: tuple[str, ...], content: Mapping[str, Any]) -> dict[str, Any]:
    inside = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{")
    ]
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "get": {
            "summary": summary,
            "parameters": [*inside, *map(_parameter, parameters)],
            "responses": {
                "200": {"description": "The answer.", "content": dict(content)},
                "400": {"description": "A parameter is wrong; the error says which.", "content": error},
                "401": {"description": "Without a token of the process.", "content": error},
                "403": {"description": "The token has too low a role.", "content": error},
                "429": {"description": "Too many requests; Retry-After says when to come again.", "content": error},
                "503": {"description": "The storage does not answer.", "content": error},
            },
        }
    }


def _document() -> dict[str, Any]:
    paths = {
        path: _operation(path, summary, parameters, {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}})
        for path, (summary, parameters, schema) in _BOARD.items()
    }
    paths["/api/v1/stream"] = _operation(
        "/api/v1/stream",
        "Server-sent events: `snapshot` (as /api/v1/snapshot), then `change` every half second at most: the fields that differ, "
        "to be merged into the snapshot. The header Last-Event-ID, or last_event_id, resumes.",
        (*_OF_PERIOD, "last_event_id"),
        {"text/event-stream": {"schema": {"type": "string"}}},
    )
    for path, (summary, parameters) in OTHERS.items():
        paths[path] = _operation(path, summary, parameters, {"application/json": {"schema": {}}})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "portalpulse",
            "version": "1",
            "description": "Figures of online public services. Rates are cut, never rounded; states compare exact fractions: "
            f"{', '.join(STATES.values())}.",
        },
        "security": [{}, {"token": []}, {"password": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Any user; a token as password: reads.",
                },
            },
        },
    }


#: The document as served at /api/v1/openapi.json.
DOCUMENT: Final[Mapping[str, Any]] = _document()
