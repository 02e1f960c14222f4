"""Raw message values in bulk to columns: two fast paths, with the judge behind them.

Messages that are laid out alike, byte for byte, are cut into columns without a parser (``core.layouts``). The values of all
others are wrapped into one text and parsed by Arrow. Columns are then checked. Rows that a check doubts, and blocks that the
parser refuses, go to ``core.judge`` message by message; only the judge refuses anything. So the fast paths may be picky, but
never lenient. When a fast path fails with an error that nobody foresaw, the judge decides every message of the batch.

Why each value is wrapped for the parser as ``{"n":17,"v":...}``: Arrow reads concatenated objects as separate rows and skips
blank messages, so two objects in one message and an empty one beside it would keep the row count and slip through. Wrapped,
every message starts exactly one row of its own, its number proves it, and anything beyond one object is an unexpected field.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from domain.agencies import AgencyRegistry
from domain.errors import FATAL, InvariantError, describe_error
from domain.events import (
    EVENT_ID,
    LEGACY_LEVELS,
    MAX_MESSAGE_BYTES,
    MAX_NESTING,
    PORTAL_ID,
    PROCEDURE_CODE,
    Channel,
    DossierEvent,
    Reason,
    Rejection,
    ReturnedBy,
    ServiceLevel,
    Status,
)
from domain.periods import LAST_INSTANT, VIETNAM_OFFSET_MINUTES
from pipeline.decode.templates import MessageTemplates
from pipeline.decode.validator import EventValidator, known_fields

#: Columns of accepted events. ``position`` is the index of the message among the values given.
EVENT_SCHEMA: Final = pa.schema(
    [
        ("event_id", pa.string()),
        ("dossier_code", pa.string()),
        ("agency", pa.dictionary(pa.int32(), pa.string())),
        ("procedure_code", pa.string()),
        ("status", pa.uint8()),
        ("channel", pa.uint8()),
        ("service_level", pa.dictionary(pa.int32(), pa.string())),
        ("occurred_at", pa.timestamp("ms", "UTC")),
        ("legacy_level", pa.uint8()),
        ("returned_by", pa.dictionary(pa.int32(), pa.string())),
        ("portal_id", pa.string()),
        ("position", pa.int32()),
    ]
)

_FIELDS: Final = [
    ("event_id", pa.string()),
    ("dossier_code", pa.string()),
    ("agency_code", pa.string()),
    ("procedure_code", pa.string()),
    ("status", pa.uint8()),
    ("channel", pa.uint8()),
    ("service_level", pa.string()),
    ("occurred_at", pa.string()),
    ("legacy_level", pa.uint8()),
    ("returned_by", pa.string()),
    ("portal_id", pa.string()),
]
_REQUIRED: Final = (
    "event_id",
    "dossier_code",
    "agency_code",
    "procedure_code",
    "status",
    "channel",
    "service_level",
    "occurred_at",
)
_PARSE: Final = pj.ParseOptions(
    explicit_schema=pa.schema([("n", pa.int32()), ("v", pa.struct(_FIELDS))]), unexpected_field_behavior="error"
)
#: Blocks of 1 MB stay in the second-level cache; Arrow's threads hold no interpreter lock.
_READ: Final = pj.ReadOptions(use_threads=True, block_size=1 << 20)
#: A refused text is tried again in pieces of this many messages, so that one bad message does not slow a whole batch.
_PIECE: Final = 2_000
#: Messages decoded at once. Arrow's text columns end at 2 GiB: so many messages of MAX_MESSAGE_BYTES stay below that.
_AT_ONCE: Final = 32_000

#: The dossier code with its calendar date spelt out, save for 29 February: those rows go to the judge.
_DOSSIER_CODE_AND_DATE: Final = (
    r"^(?:[0-9A-Z]{2,3}\.){0,3}[A-Z][0-9]{2}(?:\.[0-9]{1,3}){0,4}-(?:[0-9]{2}|[1-9][0-9]{3})"
    r"(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|1[0-9]|2[0-8]))"
    r"-[0-9]{4,7}$"
)
#: What Arrow can convert: as OCCURRED_AT, with at most six digits of a second and no year 0.
_OCCURRED_AT_ARROW: Final = (
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}(?::?[0-5][0-9])?)$"
)
_MILLISECONDS_OF_DAY: Final = 86_400_000
_LEVELS: Final = pa.array([str(level) for level in ServiceLevel])
_RETURNS: Final = pa.array(["", *(str(way) for way in ReturnedBy)])


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch of messages turned into; every message is in exactly one of the two."""

    events: pa.Table  # EVENT_SCHEMA, in the order of ``position``
    refusals: tuple[tuple[int, Rejection], ...]  # (position, refusal), ascending
    judged: int  # messages that went through the slow path
    bulk_error: str = ""  # the unforeseen error for which the judge decided every message; empty: there was none


class Decoder:
    """Decodes batches against one registry. Safe to use from several threads."""

    def __init__(self, registry: AgencyRegistry) -> None:
        self._judge = EventValidator(registry)
        self._agencies = _AgencyColumns(registry)
        self._layouts = MessageTemplates(
            texts=[name for name, kind in _FIELDS if kind == pa.string()],
            numbers=[name for name, kind in _FIELDS if kind != pa.string()],
            required=_REQUIRED,
        )

    @property
    def agencies(self) -> tuple[str, ...]:
        """The dictionary behind the ``agency`` column, in its order."""
        return self._agencies.codes

    def decode(self, values: Sequence[bytes | None], *, latest: dt.datetime) -> Decoded:
        """Sort messages into events and refusals.

        Args:
            values: message values in the order of their positions; None is a tombstone.
            latest: no event may be dated after this instant (aware).

        Raises:
            MemoryError, InvariantError: the process is at fault, not a message: nothing of the batch may be acknowledged.
        """
        parts: list[pa.Table] = []
        doubtful: list[int] = []
        bulk_error = ""
        try:
            for first in range(0, len(values), _AT_ONCE):
                tables, doubts = self._in_bulk(values[first : first + _AT_ONCE], first, latest)
                parts += tables
                doubtful += doubts
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - one message must not stop the batch; the judge finds out which one it is
            parts, doubtful, bulk_error = [], list(range(len(values))), describe_error(error)
        tables, refusals = self._judged(values, sorted(doubtful), latest)
        parts += tables
        table = pa.concat_tables(parts) if parts else EVENT_SCHEMA.empty_table()
        if len(parts) > 1:
            table = _sorted(table)
        _expect_each_once(table, refusals, len(values))
        return Decoded(table, tuple(refusals), len(doubtful), bulk_error)

    def _in_bulk(self, values: Sequence[bytes | None], first: int, latest: dt.datetime) -> tuple[list[pa.Table], list[int]]:
        """The events of a stretch of messages whose first has position ``first``, and the positions of doubtful messages."""
        tables: list[pa.Table] = []
        doubtful: list[int] = []
        groups, others = self._layouts.split(values)
        pieces = [(group.positions, {name: group.column(name) for name, _ in _FIELDS}) for group in groups]
        pieces += self._parsed(values, others, doubtful)
        for positions, columns in pieces:
            table, doubts = self._checked(columns, positions, first, latest)
            tables += [table] if table.num_rows else []
            doubtful += doubts
        return tables, [first + position for position in doubtful]

    def _judged(
        self, values: Sequence[bytes | None], positions: Iterable[int], latest: dt.datetime
    ) -> tuple[list[pa.Table], list[tuple[int, Rejection]]]:
        """Messages judged one by one: the events as tables, and the refusals (ascending)."""
        events: list[tuple[int, DossierEvent]] = []
        refusals: list[tuple[int, Rejection]] = []
        for position in positions:
            verdict = self._judge.judge(values[position], latest=latest)
            if isinstance(verdict, Rejection):
                refusals.append((position, verdict))
            else:
                events.append((position, verdict))
        tables, unfit = self._tables_of(events)
        return tables, sorted([*refusals, *unfit], key=lambda refused: refused[0])

    def _parsed(
        self, values: Sequence[bytes | None], positions: np.ndarray, doubtful: list[int]
    ) -> Iterator[tuple[np.ndarray, dict[str, pa.ChunkedArray | None]]]:
        """Positions and columns of the stretches that parse; the positions of the rest go to ``doubtful``."""
        chosen = values if len(positions) == len(values) else [values[int(position)] for position in positions]
        whole = _parse(chosen)
        if whole is not None:
            yield positions, whole
            return
        for start in range(0, len(chosen), _PIECE):
            piece, where = chosen[start : start + _PIECE], positions[start : start + _PIECE]
            columns = _parse(piece) if len(piece) < len(chosen) else None
            columns = columns or _parse(_trimmed(piece))
            if columns is None:
                doubtful.extend(where.tolist())
            else:
                yield where, columns

    def _checked(
        self, sent: Mapping[str, pa.ChunkedArray | None], positions: np.ndarray, first: int, latest: dt.datetime
    ) -> tuple[pa.Table, list[int]]:
        """The rows that pass every check as events, and the positions of those that do not.

        ``sent``: a column for each field; None where no message has the field. ``first`` is added to the events' positions.
        """
        rows = len(positions)
        columns = {name: sent[name] or pa.chunked_array([pa.nulls(rows, kind)]) for name, kind in _FIELDS}
        good = np.ones(rows, dtype=bool)
        for name in _REQUIRED:
            if columns[name].null_count:
                good &= pc.is_valid(columns[name]).to_numpy()
        good &= _matches(columns["event_id"], EVENT_ID)
        good &= _matches(columns["dossier_code"], _DOSSIER_CODE_AND_DATE)
        good &= _few_distinct_match(columns["procedure_code"], PROCEDURE_CODE)
        good &= _few_distinct_match(columns["portal_id"], PORTAL_ID, null_is_fine=True)
        good &= _within(columns["status"], len(Status))
        good &= _within(columns["channel"], len(Channel))
        levels = _index_in(columns["service_level"], _LEVELS)
        good &= levels >= 0
        legacy = columns["legacy_level"]
        if legacy.null_count < len(legacy):
            good &= _within(legacy, len(LEGACY_LEVELS), null_is_fine=True)
        returned = np.zeros(rows, dtype=np.int32)
        if columns["returned_by"].null_count < rows:
            found = _index_in(columns["returned_by"], _RETURNS)
            given = pc.is_valid(columns["returned_by"]).to_numpy()
            good &= ~given | (found > 0)
            returned = np.where(given, found, 0)
        good &= _matches(columns["occurred_at"], _OCCURRED_AT_ARROW)
        instants = _instants(columns["occurred_at"], good)
        good &= instants <= int(min(latest, LAST_INSTANT).timestamp() * 1000)
        agencies = self._agencies.responsible(_index_in(columns["agency_code"], self._agencies.array), instants)
        good &= agencies >= 0
        every = bool(good.all())
        keep = None if every else pa.array(np.flatnonzero(good))

        def kept(column: pa.ChunkedArray) -> pa.ChunkedArray:
            return column if keep is None else column.take(keep)

        def chosen(array: np.ndarray) -> np.ndarray:
            return array if keep is None else array[good]

        def coded(indices: np.ndarray, dictionary: pa.Array) -> pa.Array:
            return pa.DictionaryArray.from_arrays(pa.array(chosen(indices), pa.int32()), dictionary)

        table = pa.table(
            [
                kept(columns["event_id"]),
                kept(columns["dossier_code"]),
                coded(agencies, self._agencies.array),
                kept(columns["procedure_code"]),
                kept(columns["status"]),
                kept(columns["channel"]),
                coded(levels, _LEVELS),
                pa.array(chosen(instants), pa.int64()).cast(EVENT_SCHEMA.field("occurred_at").type),
                pc.fill_null(kept(legacy), 0),
                coded(returned, _RETURNS),
                pc.fill_null(kept(columns["portal_id"]), ""),
                pa.array(chosen(positions) + first, pa.int32()),
            ],
            schema=EVENT_SCHEMA,
        )
        return table, [] if every else positions[~good].tolist()

    def _tables_of(self, events: list[tuple[int, DossierEvent]]) -> tuple[list[pa.Table], list[tuple[int, Rejection]]]:
        """Events of the slow path as tables; an event that fits no column is refused, alone."""
        if not events:
            return [], []
        try:
            return [self._table_of(events)], []
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - see Judge.judge: one message must not stop the batch
            if len(events) == 1:
                return [], [(events[0][0], Rejection(Reason.UNFORESEEN, describe_error(error)))]
        half = len(events) // 2
        (left, left_unfit), (right, right_unfit) = self._tables_of(events[:half]), self._tables_of(events[half:])
        return left + right, left_unfit + right_unfit

    def _table_of(self, events: list[tuple[int, DossierEvent]]) -> pa.Table:
        """Events of the slow path as columns of the same dictionaries."""
        rows = [event for _, event in events]
        code_index = self._agencies.index
        return pa.table(
            [
                pa.array([str(row.event_id) for row in rows], pa.string()),
                pa.array([row.dossier_code for row in rows], pa.string()),
                pa.DictionaryArray.from_arrays(
                    pa.array([code_index[row.agency] for row in rows], pa.int32()), self._agencies.array
                ),
                pa.array([row.procedure_code for row in rows], pa.string()),
                pa.array([row.status for row in rows], pa.uint8()),
                pa.array([row.channel for row in rows], pa.uint8()),
                pa.DictionaryArray.from_arrays(pc.index_in(pa.array([row.service_level for row in rows]), _LEVELS), _LEVELS),
                pa.array([row.occurred_at for row in rows], EVENT_SCHEMA.field("occurred_at").type),
                pa.array([row.legacy_level for row in rows], pa.uint8()),
                pa.DictionaryArray.from_arrays(pc.index_in(pa.array([row.returned_by for row in rows]), _RETURNS), _RETURNS),
                pa.array([row.portal_id for row in rows], pa.string()),
                pa.array([position for position, _ in events], pa.int32()),
            ],
            schema=EVENT_SCHEMA,
        )


class _AgencyColumns:
    """The registry as arrays: from (index of the code sent, time) to the index of the agency responsible.

    The common cases only: the code itself while in force without a gap, then its successor. All else answers -1 and goes to
    the judge.
    """

    def __init__(self, registry: AgencyRegistry) -> None:
        self.codes = registry.codes
        self.array = pa.array(self.codes, pa.string())
        self.index = {code: position for position, code in enumerate(self.codes)}
        first, last, heirs = [], [], []
        for code in self.codes:
            spans = registry.spans(code)
            end = spans[0].valid_to
            for later in spans[1:]:
                if end is None or later.valid_from != end + dt.timedelta(days=1):
                    break
                end = later.valid_to
            first.append(_day_number(spans[0].valid_from))
            last.append(_day_number(end) if end is not None else np.iinfo(np.int32).max)
            heir = spans[-1].successor_code if end == spans[-1].valid_to else None  # behind a gap only the registry knows
            heirs.append(self.index.get(heir or "", -1))
        self._first = np.array(first, dtype=np.int64)
        self._last = np.array(last, dtype=np.int64)
        self._successor = np.array(heirs, dtype=np.int32)

    def responsible(self, sent: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """``sent``: index of each row's agency_code, -1 when unknown; ``instants``: epoch milliseconds."""
        days = (instants + VIETNAM_OFFSET_MINUTES * 60_000) // _MILLISECONDS_OF_DAY
        own = (sent >= 0) & (self._first[sent] <= days) & (days <= self._last[sent])
        if own.all():
            return sent
        heir = np.where(sent >= 0, self._successor[sent], -1)
        inherited = (
            (sent >= 0) & (days > self._last[sent]) & (heir >= 0) & (self._first[heir] <= days) & (days <= self._last[heir])
        )
        return np.where(own, sent, np.where(inherited, heir, -1)).astype(np.int32)


def _day_number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _sorted(table: pa.Table) -> pa.Table:
    """The table in the order of ``position``."""
    positions = table.column("position").to_numpy()
    return table if (positions[1:] > positions[:-1]).all() else table.sort_by("position")


def _expect_each_once(table: pa.Table, refusals: Sequence[tuple[int, Rejection]], count: int) -> None:
    """Stop rather than lose or double a message: each of ``count`` positions is an event or a refusal, never both."""
    refused = np.fromiter((position for position, _ in refusals), dtype=np.int64, count=len(refusals))
    seen = np.bincount(np.concatenate([table.column("position").to_numpy(), refused]), minlength=count)
    if len(seen) != count or not (seen == 1).all():
        raise InvariantError(
            f"Of {count} messages {table.num_rows} were decoded as events and {len(refusals)} were refused.",
            remedy="Nothing of this batch is acknowledged. Please report it with the messages at these offsets.",
        )


def _wrap(values: Sequence[bytes]) -> bytes:
    """All values as one text, each an object of its own with its number in front."""
    parts: list[bytes] = [b""] * (2 * len(values) + 1)
    parts[0:-1:2] = _prefixes()[: len(values)]
    parts[1::2] = values
    parts[-1] = b"}\n"
    return b"".join(parts)


@functools.cache
def _prefixes() -> tuple[bytes, ...]:
    """``}`` of the row before, then the opening of row n, for every row that one text may have.

    Made once, because they are the same for every batch, and never changed, because decoders in several threads share them.
    """
    return (b'{"n":0,"v":', *(b'}\n{"n":%d,"v":' % number for number in range(1, _AT_ONCE)))


def _parse(values: Sequence[bytes | None]) -> dict[str, pa.ChunkedArray | None] | None:
    """A column for each field with a row for each value, or None when any value gives cause for doubt."""
    if not values:
        return None
    try:
        if max(map(len, values)) > MAX_MESSAGE_BYTES:  # type: ignore[arg-type]
            return None
        table = pj.read_json(pa.BufferReader(_wrap(values)), parse_options=_PARSE, read_options=_READ)  # type: ignore[arg-type]
    except (TypeError, pa.ArrowInvalid):  # a tombstone has no length
        return None
    if not _one_row_each(table, len(values)):
        return None
    flat = pa.Table.from_batches([pa.RecordBatch.from_struct_array(chunk) for chunk in table.column("v").chunks])
    return {name: flat.column(index) for index, (name, _) in enumerate(_FIELDS)}


def _trimmed(values: Sequence[bytes | None]) -> list[bytes]:
    """The messages without fields that the contract does not know; nothing when any of them gives cause for doubt.

    Portals may send more than they must; judging all of those one by one would cost ten times as much.
    """
    try:
        if any(
            len(value) > MAX_MESSAGE_BYTES or value.count(b"[") + value.count(b"{") > MAX_NESTING  # type: ignore[arg-type,union-attr]
            for value in values
        ):
            return []
        b"".join(values).decode("utf-8")  # type: ignore[arg-type] # strings that are skipped are not checked otherwise
        return [known_fields(value) for value in values]  # type: ignore[arg-type]
    except (TypeError, UnicodeDecodeError, msgspec.DecodeError):  # TypeError: a tombstone
        return []


def _one_row_each(table: pa.Table, count: int) -> bool:
    """Whether message n made row n, for every n, and each of them an object."""
    if table.num_rows != count or table.column("v").null_count:
        return False
    return bool((table.column("n").to_numpy() == np.arange(count)).all())


def _matches(column: pa.ChunkedArray, pattern: str) -> np.ndarray:
    found: np.ndarray = pc.fill_null(pc.match_substring_regex(column, pattern), fill_value=False).to_numpy()
    return found


def _few_distinct_match(column: pa.ChunkedArray, pattern: str, *, null_is_fine: bool = False) -> np.ndarray:
    """Like ``_matches`` for a column of few distinct values: judges each value once."""
    if column.null_count == len(column):
        return np.full(len(column), null_is_fine)
    parts = []
    for chunk in column.chunks:
        encoded = chunk.dictionary_encode()
        fine = np.append(_matches(pa.chunked_array([encoded.dictionary]), pattern), null_is_fine)
        parts.append(fine[pc.fill_null(encoded.indices, len(fine) - 1).to_numpy()])
    return np.concatenate(parts)


def _within(column: pa.ChunkedArray, most: int, *, null_is_fine: bool = False) -> np.ndarray:
    """Whether each number lies in 1..most."""
    numbers = pc.fill_null(column, 1 if null_is_fine else 0).to_numpy()
    fine: np.ndarray = (numbers >= 1) & (numbers <= most)
    return fine


def _index_in(column: pa.ChunkedArray, dictionary: pa.Array) -> np.ndarray:
    """Index of each value in the dictionary, -1 where it is none of them."""
    indices: np.ndarray = pc.fill_null(pc.index_in(column, value_set=dictionary), -1).to_numpy().astype(np.int32, copy=False)
    return indices


def _instants(column: pa.ChunkedArray, good: np.ndarray) -> np.ndarray:
    """Epoch milliseconds of the good rows; rows that are no moment of the calendar turn bad and read 0."""
    texts = column if good.all() else pc.if_else(pa.array(good), column.combine_chunks(), "1970-01-01T00:00:00Z")
    try:
        return _milliseconds(texts)
    except pa.ArrowInvalid:  # an impossible date: rare enough to look for it one by one
        found = np.zeros(len(good), dtype=np.int64)
        for row, text in enumerate(texts.to_pylist()):
            try:
                found[row] = _milliseconds(pa.array([text]))[0]
            except pa.ArrowInvalid:
                good[row] = False
        return found


def _milliseconds(texts: pa.ChunkedArray | pa.Array) -> np.ndarray:
    micros = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    whole: np.ndarray = np.floor_divide(
        micros.to_numpy(zero_copy_only=False) if isinstance(micros, pa.Array) else micros.to_numpy(), 1000
    )
    return whole
