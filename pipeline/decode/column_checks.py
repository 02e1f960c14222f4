"""Checks the fields of many messages at once. A row that passes is an event; every other row is left to the validator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.events import EVENT_ID, LEGACY_LEVELS, PORTAL_ID, PROCEDURE_CODE, REQUIRED_FIELDS, Channel, Status
from domain.periods import LAST_INSTANT
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.event_schema import EVENT_SCHEMA, MESSAGE_FIELDS, RETURN_WAYS, SERVICE_LEVELS

#: The dossier code with a calendar date, except 29 February: those rows go to the validator.
_DOSSIER_CODE_AND_DATE: Final = (
    r"^(?:[0-9A-Z]{2,3}\.){0,3}[A-Z][0-9]{2}(?:\.[0-9]{1,3}){0,4}-(?:[0-9]{2}|[1-9][0-9]{3})"
    r"(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|1[0-9]|2[0-8]))"
    r"-[0-9]{4,7}$"
)
#: What Arrow can convert: OCCURRED_AT with at most six digits of a second and without the year 0.
_OCCURRED_AT_ARROW: Final = (
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}(?::?[0-5][0-9])?)$"
)


def accepted(
    sent: Mapping[str, pa.ChunkedArray | None],
    positions: np.ndarray,
    agencies: AgencyColumns,
    *,
    first: int,
    latest: dt.datetime,
) -> tuple[pa.Table, list[int]]:
    """The rows that pass every check as events, and the positions of the others.

    Args:
        sent: a column for each field; None where no message has the field.
        positions: of the rows, ascending.
        agencies: the registry.
        first: added to the positions of the events.
        latest: no event may be dated after this instant (aware).
    """
    rows = len(positions)
    columns = {name: sent[name] or pa.chunked_array([pa.nulls(rows, kind)]) for name, kind in MESSAGE_FIELDS}
    good = np.ones(rows, dtype=bool)
    for name in REQUIRED_FIELDS:
        if columns[name].null_count:
            good &= pc.is_valid(columns[name]).to_numpy()
    good &= matches(columns["event_id"], EVENT_ID)
    good &= matches(columns["dossier_code"], _DOSSIER_CODE_AND_DATE)
    good &= _few_distinct_match(columns["procedure_code"], PROCEDURE_CODE)
    good &= _few_distinct_match(columns["portal_id"], PORTAL_ID, null_is_valid=True)
    good &= _within(columns["status"], len(Status))
    good &= _within(columns["channel"], len(Channel))
    levels = _index_in(columns["service_level"], SERVICE_LEVELS)
    good &= levels >= 0
    legacy = columns["legacy_level"]
    if legacy.null_count < len(legacy):
        good &= _within(legacy, len(LEGACY_LEVELS), null_is_valid=True)
    returned = np.zeros(rows, dtype=np.int32)
    if columns["returned_by"].null_count < rows:
        found = _index_in(columns["returned_by"], RETURN_WAYS)
        given = pc.is_valid(columns["returned_by"]).to_numpy()
        good &= ~given | (found > 0)
        returned = np.where(given, found, 0)
    good &= matches(columns["occurred_at"], _OCCURRED_AT_ARROW)
    milliseconds = instants(columns["occurred_at"], good)
    good &= milliseconds <= int(min(latest, LAST_INSTANT).timestamp() * 1000)
    responsible = agencies.responsible(_index_in(columns["agency_code"], agencies.array), milliseconds)
    good &= responsible >= 0
    all_good = bool(good.all())
    keep = None if all_good else pa.array(np.flatnonzero(good))

    def kept(column: pa.ChunkedArray) -> pa.ChunkedArray:
        return column if keep is None else column.take(keep)

    def kept_array(array: np.ndarray) -> np.ndarray:
        return array if keep is None else array[good]

    def coded(indices: np.ndarray, dictionary: pa.Array) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(kept_array(indices), pa.int32()), dictionary)

    table = pa.table(
        [
            kept(columns["event_id"]),
            kept(columns["dossier_code"]),
            coded(responsible, agencies.array),
            kept(columns["procedure_code"]),
            kept(columns["status"]),
            kept(columns["channel"]),
            coded(levels, SERVICE_LEVELS),
            pa.array(kept_array(milliseconds), pa.int64()).cast(EVENT_SCHEMA.field("occurred_at").type),
            pc.fill_null(kept(legacy), 0),
            coded(returned, RETURN_WAYS),
            pc.fill_null(kept(columns["portal_id"]), ""),
            pa.array(kept_array(positions) + first, pa.int32()),
        ],
        schema=EVENT_SCHEMA,
    )
    return table, [] if all_good else positions[~good].tolist()


def matches(column: pa.ChunkedArray, pattern: str) -> np.ndarray:
    """Whether each text matches; null does not."""
    found: np.ndarray = pc.fill_null(pc.match_substring_regex(column, pattern), fill_value=False).to_numpy()
    return found


def instants(column: pa.ChunkedArray, good: np.ndarray) -> np.ndarray:
    """Epoch milliseconds of the good rows, 0 for the others. A row that is not a date of the calendar is marked as not good."""
    texts = column if good.all() else pc.if_else(pa.array(good), column.combine_chunks(), "1970-01-01T00:00:00Z")
    try:
        return _milliseconds(texts)
    except pa.ArrowInvalid:  # an impossible date: rare enough to convert one by one
        found = np.zeros(len(good), dtype=np.int64)
        for row, text in enumerate(texts.to_pylist()):
            try:
                found[row] = _milliseconds(pa.array([text]))[0]
            except pa.ArrowInvalid:
                good[row] = False
        return found


def _few_distinct_match(column: pa.ChunkedArray, pattern: str, *, null_is_valid: bool = False) -> np.ndarray:
    """Like ``matches``, faster for a column of few distinct values: each value is matched once."""
    if column.null_count == len(column):
        return np.full(len(column), null_is_valid)
    parts = []
    for chunk in column.chunks:
        encoded = chunk.dictionary_encode()
        valid = np.append(matches(pa.chunked_array([encoded.dictionary]), pattern), null_is_valid)
        parts.append(valid[pc.fill_null(encoded.indices, len(valid) - 1).to_numpy()])
    return np.concatenate(parts)


def _within(column: pa.ChunkedArray, highest: int, *, null_is_valid: bool = False) -> np.ndarray:
    """Whether each number lies in 1..``highest``."""
    numbers = pc.fill_null(column, 1 if null_is_valid else 0).to_numpy()
    valid: np.ndarray = (numbers >= 1) & (numbers <= highest)
    return valid


def _index_in(column: pa.ChunkedArray, dictionary: pa.Array) -> np.ndarray:
    """Index of each value in the dictionary, -1 where it is not in it."""
    indices: np.ndarray = pc.fill_null(pc.index_in(column, value_set=dictionary), -1).to_numpy().astype(np.int32, copy=False)
    return indices


def _milliseconds(texts: pa.ChunkedArray | pa.Array) -> np.ndarray:
    micros = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    whole: np.ndarray = np.floor_divide(
        micros.to_numpy(zero_copy_only=False) if isinstance(micros, pa.Array) else micros.to_numpy(), 1000
    )
    return whole
