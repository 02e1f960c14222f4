"""Checks the fields of many messages at once. A row that passes is an event; every other row is left to the validator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.events import EVENT_ID, LEGACY_LEVELS, PORTAL_ID, PROCEDURE_CODE, REQUIRED_FIELDS, Channel, Status
from domain.periods import FIRST_INSTANT, LAST_INSTANT
from domain.units import AGENCY_CODE
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.event_schema import EVENT_SCHEMA, MESSAGE_FIELDS, RETURN_WAYS, SERVICE_LEVELS

#: The dossier code with a calendar date, except 29 February: those rows go to the validator.
_DOSSIER_CODE_AND_DATE: Final = (
    rf"^{AGENCY_CODE}-(?:[0-9]{{2}}|[1-9][0-9]{{3}})"
    r"(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|1[0-9]|2[0-8]))"
    r"-[0-9]{4,7}$"
)
_NO_MATCH: Final = -2
#: Instead of the index of the only agency that may report in a message: any may.
ANY_AGENCY: Final = -1
_PORTAL_ID_OR_EMPTY: Final = f"^$|{PORTAL_ID}"
#: The bounds of a due date, epoch milliseconds.
_FIRST, _LAST = (int(instant.timestamp() * 1000) for instant in (FIRST_INSTANT, LAST_INSTANT))
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
    owners: np.ndarray | None = None,
) -> tuple[pa.Table, list[int]]:
    """The rows that pass every check, as events, and the positions of the other rows.

    Args:
        sent: field -> its column; None: no message has the field.
        positions: position of each row's message, ascending.
        agencies: the registry of agencies as arrays.
        first: added to the positions of the events.
        latest: no event may be dated after this instant (aware).
        owners: by position, the index of the only agency that may report in the message, or ``ANY_AGENCY``; None: any agency may
            report in all of them.
    """
    rows = len(positions)
    columns = {name: sent[name] or pa.chunked_array([pa.nulls(rows, kind)]) for name, kind in MESSAGE_FIELDS}
    good = np.ones(rows, dtype=bool)
    for name in REQUIRED_FIELDS:
        if columns[name].null_count:
            good &= pc.is_valid(columns[name]).to_numpy()
    good &= matches(columns["event_id"], EVENT_ID)
    named = _named_units(columns["dossier_code"], agencies)
    good &= named != _NO_MATCH
    good &= _few_distinct_match(columns["procedure_code"], PROCEDURE_CODE)
    good &= _few_distinct_match(columns["portal_id"], _PORTAL_ID_OR_EMPTY, null_is_valid=True)
    good &= _within(columns["status"], len(Status))
    channel = columns["channel"]
    good &= _within(channel, len(Channel), null_is_valid=True)
    levels = _optional(columns["service_level"], SERVICE_LEVELS)
    good &= levels >= 0
    legacy = columns["legacy_level"]
    if legacy.null_count < len(legacy):
        good &= _within(legacy, len(LEGACY_LEVELS), null_is_valid=True)
    returned = _optional(columns["returned_by"], RETURN_WAYS)
    good &= returned >= 0
    good &= matches(columns["occurred_at"], _OCCURRED_AT_ARROW)
    milliseconds = instants(columns["occurred_at"], good)
    good &= milliseconds <= int(min(latest, LAST_INSTANT).timestamp() * 1000)
    due = _due(columns["due_at"], good)
    units_sent = _sent_units(columns["agency_code"], agencies)
    units, by_code = agencies.units(units_sent, named, milliseconds)
    good &= units >= 0
    if owners is not None:
        owner = owners[positions]
        good &= (owner == ANY_AGENCY) | (owner == units_sent)
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
            coded(units, agencies.array),
            kept(columns["procedure_code"]),
            kept(columns["status"]),
            pc.fill_null(kept(channel), 0),
            coded(levels, SERVICE_LEVELS),
            pa.array(kept_array(milliseconds), pa.int64()).cast(EVENT_SCHEMA.field("occurred_at").type),
            pc.fill_null(kept(legacy), 0),
            coded(returned, RETURN_WAYS),
            pc.fill_null(kept(columns["portal_id"]), ""),
            pa.array(kept_array(due), pa.int64()).cast(EVENT_SCHEMA.field("due_at").type),
            pa.array(kept_array(by_code), pa.bool_()),
            pa.array(kept_array(positions) + first, pa.int32()),
        ],
        schema=EVENT_SCHEMA,
    )
    return table, [] if all_good else positions[~good].tolist()


def _named_units(codes: pa.ChunkedArray, agencies: AgencyColumns) -> np.ndarray:
    """Index of the level-1 code in each dossier code; -1: the code is unknown; ``_NO_MATCH``: the dossier code is malformed."""
    found = pc.struct_field(pc.extract_regex(codes, _DOSSIER_CODE_AND_DATE), "unit")
    indices = _index_in(found, agencies.array)
    return np.where(pc.is_valid(found).to_numpy(), indices, _NO_MATCH)


def _sent_units(codes: pa.ChunkedArray, agencies: AgencyColumns) -> np.ndarray:
    """Index of the level-1 code in each agency code, which is only this code or a full one; -1: unknown or missing."""
    indices = _index_in(codes, agencies.array)
    if (indices >= 0).all():
        return indices
    parts = []
    for chunk in codes.chunks:  # a portal sends few different codes
        encoded = chunk.dictionary_encode()
        found = pc.struct_field(pc.extract_regex(encoded.dictionary, f"^{AGENCY_CODE}$"), "unit")
        of_code = np.append(_index_in(pa.chunked_array([found]), agencies.array), np.int32(-1))
        parts.append(of_code[pc.fill_null(encoded.indices, len(of_code) - 1).to_numpy()])
    return np.concatenate(parts)


def _optional(column: pa.ChunkedArray, dictionary: pa.Array) -> np.ndarray:
    """Index of each value in ``dictionary``, which begins with the empty text; 0 for null, -1 for a value that it lacks."""
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=np.int32)
    return np.where(pc.is_valid(column).to_numpy(), _index_in(column, dictionary), 0).astype(np.int32, copy=False)


def _due(column: pa.ChunkedArray, good: np.ndarray) -> np.ndarray:
    """Epoch milliseconds of the due dates, 0 where none was sent. Marks rows whose due date is wrong as not good in ``good``."""
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=np.int64)
    sent = pc.fill_null(pc.not_equal(column, ""), fill_value=False).to_numpy()
    readable = sent & matches(column, _OCCURRED_AT_ARROW)
    due = instants(column, readable)
    good &= ~sent | (readable & (due >= _FIRST) & (due <= _LAST))
    return due


def matches(column: pa.ChunkedArray, pattern: str) -> np.ndarray:
    """Whether each text matches ``pattern``; null does not match."""
    found: np.ndarray = pc.fill_null(pc.match_substring_regex(column, pattern), fill_value=False).to_numpy()
    return found


def instants(column: pa.ChunkedArray, good: np.ndarray) -> np.ndarray:
    """Epoch milliseconds of the good rows, 0 for others. Marks rows whose date does not exist as not good in ``good``."""
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
    """Like ``matches``, but faster for a column with few distinct values: each distinct value is matched once."""
    if column.null_count == len(column):
        return np.full(len(column), null_is_valid)
    parts = []
    for chunk in column.chunks:
        encoded = chunk.dictionary_encode()
        valid = np.append(matches(pa.chunked_array([encoded.dictionary]), pattern), null_is_valid)
        parts.append(valid[pc.fill_null(encoded.indices, len(valid) - 1).to_numpy()])
    return np.concatenate(parts)


def _within(column: pa.ChunkedArray, highest: int, *, null_is_valid: bool = False) -> np.ndarray:
    """Whether each number is from 1 to ``highest``; null counts as ``null_is_valid`` says."""
    numbers = pc.fill_null(column, 1 if null_is_valid else 0).to_numpy()
    valid: np.ndarray = (numbers >= 1) & (numbers <= highest)
    return valid


def _index_in(column: pa.ChunkedArray, dictionary: pa.Array) -> np.ndarray:
    """Index of each value in ``dictionary``; -1 for a value that it lacks."""
    indices: np.ndarray = pc.fill_null(pc.index_in(column, value_set=dictionary), -1).to_numpy().astype(np.int32, copy=False)
    return indices


def _milliseconds(texts: pa.ChunkedArray | pa.Array) -> np.ndarray:
    micros = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    whole: np.ndarray = np.floor_divide(
        micros.to_numpy(zero_copy_only=False) if isinstance(micros, pa.Array) else micros.to_numpy(), 1000
    )
    return whole
