"""JSON Schemas of the board's answers. Every object lists all of its fields: an answer with another field is not valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from domain.agencies import BLOCKS
from pipeline.board.periods import ANY, BoardPeriod
from pipeline.board.snapshot import STATES

_INT: Final = {"type": "integer"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}
_DAY: Final = {"type": "string", "format": "date"}
_RATE: Final = {"type": ["string", "null"], "pattern": r"^-?\d+\.\d\d$", "description": "Percent, cut to two decimals."}
_CHANGE: Final = {
    "type": ["string", "null"],
    "pattern": r"^[+-]?\d+\.\d\d$",
    "description": "Points, cut towards zero.",
}
_LIMIT: Final = {"type": ["string", "null"], "pattern": r"^\d+(\.\d+)?$", "description": "Percent."}
_MILLISECONDS: Final = {"type": "integer", "description": "Milliseconds since 1970-01-01T00:00Z."}
_HUNDREDTHS: Final = {"type": "array", "items": {"type": ["integer", "null"]}, "description": "Hundredths of a percent, cut."}
_STATE: Final = {"type": "string", "enum": list(STATES.values())}
_SOURCE: Final = {"type": "string", "enum": ["not_connected", "waiting", "answers", "silent"]}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _by_code(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": dict(schema)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_POOLED: Final = _object(numerator=_COUNT, denominator=_COUNT, rate=_RATE, target=_LIMIT, met={"type": ["boolean", "null"]})
_UNIT: Final = _object(
    name_vi=_TEXT, name_en=_TEXT, short_name_vi=_TEXT, block={"type": "string", "enum": list(BLOCKS)}, target=_LIMIT
)
_ALERT: Final = _object(
    alert=_TEXT,
    agency=_TEXT,
    severity=_TEXT,
    labels=_by_code(_TEXT),
    text=_by_code(_TEXT),
    since=_MILLISECONDS,
    muted={"type": "boolean"},
)
_ROW: Final = _object(
    numerator=_COUNT,
    denominator=_COUNT,
    rate=_RATE,
    state=_STATE,
    change=_CHANGE,
    deficit={"type": ["integer", "null"], "description": "New dossiers, all online, that reach goal."},
    goal=_LIMIT,
    rank=_or_null(_INT),
    sparkline=_HUNDREDTHS,
    last_event=_or_null(_MILLISECONDS),
)
_SPAN: Final = _object(alert=_TEXT, rung=_or_null(_TEXT), **{"from": _MILLISECONDS, "to": _or_null(_MILLISECONDS)})

SCHEMAS: Final[Mapping[str, Any]] = {
    "Error": {
        "type": "object",
        "properties": {"error": _TEXT, "code": _TEXT},
        "required": ["error"],
        "additionalProperties": False,
    },
    "Document": {"type": "object"},
    "Alerts": _object(source=_SOURCE, since=_or_null(_MILLISECONDS), open={"type": "array", "items": _ALERT}),
    "Row": _ROW,
    "Snapshot": _object(
        period=_object(
            name={"type": "string", "enum": [*(each.value for each in BoardPeriod), ANY]}, first=_DAY, last=_DAY, compared=_TEXT
        ),
        indicator=_object(code=_TEXT, name_vi=_TEXT, name_en=_TEXT),
        clock=_object(at=_MILLISECONDS, fixed={"type": "boolean"}),
        freshness=_object(
            newest_event=_or_null(_MILLISECONDS),
            state={"type": "string", "enum": ["live", "stale", "empty"]},
            reason={"type": ["string", "null"], "enum": ["quiet", "behind", None]},
            since=_or_null(_MILLISECONDS),
        ),
        nation=_POOLED,
        blocks=_object(**dict.fromkeys(BLOCKS, _POOLED)),
        states=_object(**dict.fromkeys(STATES.values(), _COUNT)),
        ranked=_COUNT,
        agencies=_by_code(_ref("Row")),
        pipeline=_object(
            events_per_second={"type": ["number", "null"]},
            delay_seconds={"type": "number"},
            waiting=_COUNT,
            consumer_lag=_or_null(_INT),
            dead_letters=_COUNT,
            drift=_or_null(_INT),
        ),
        units=_by_code(_UNIT),
        map=_object(
            tiles=_by_code({"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}),
            islands={"type": "array", "items": _object(code=_TEXT, name=_TEXT)},
        ),
        alerts=_ref("Alerts"),
        storage=_object(unavailable_since=_or_null(_MILLISECONDS)),
        served_at=_MILLISECONDS,
    ),
    "Agency": _object(
        code=_TEXT,
        names=_object(name_vi=_TEXT, name_en=_TEXT, official_name_vi=_TEXT),
        block={"type": "string", "enum": list(BLOCKS)},
        series=_object(
            days={"type": "array", "items": _MILLISECONDS},
            rates=_HUNDREDTHS,
            numerators={"type": "array", "items": _COUNT},
            denominators={"type": "array", "items": _COUNT},
            rate_days=_COUNT,
        ),
        limits=_object(
            threshold={"type": ["number", "null"]},
            ends_above={"type": ["number", "null"]},
            low={"type": ["number", "null"]},
            min_volume=_or_null(_INT),
        ),
        procedures={
            "type": "array",
            "items": _object(code=_TEXT, name=_TEXT, numerator=_COUNT, denominator=_COUNT, rate=_RATE),
        },
        channels=_object(
            submitted=_COUNT,
            online=_COUNT,
            elsewhere=_INT,
            online_rate=_RATE,
            settled=_COUNT,
            refused=_COUNT,
            withdrawn=_COUNT,
        ),
        days=_object(first=_DAY, last=_DAY),
        alerts=_object(source=_SOURCE, spans={"type": "array", "items": _SPAN}),
        figures={"anyOf": [_ref("Row"), {"type": "null"}]},
    ),
}
