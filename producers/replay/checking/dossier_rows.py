"""Judges rows of events: how many are distinct, how many dossiers there are, and what is found about each of them.

The rules are those of ``domain.findings``. Many dossiers have one shape: one sequence of statuses, channels, levels
and units. Where ids and times are distinct, findings follow from the shape alone, so one dossier of each shape is judged.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.agencies import AgencyRegistry
from domain.dossiers import MAX_EVENTS
from domain.events import DUE_NOT_SENT, DossierEvent
from domain.findings import FindingKind, findings, needed_messages
from domain.periods import civil_day
from pipeline.decode.event_schema import EVENT_SCHEMA
from producers.replay.checking.partitions import Partition, TemporaryRows

#: Rows that are held in memory at once.
MAX_ROWS: Final = 500_000
#: Examples of a kind of finding.
EXAMPLES: Final = 3
#: Shapes that are remembered, and the most events of one.
_MAX_SHAPES, _MAX_SHAPE_EVENTS = 100_000, 64
#: Rows of dossiers without a known shape that become events together.
_ROWS_AT_ONCE: Final = 20_000
#: The fields of an event, in their order.
_FIELDS: Final = tuple(field.name for field in fields(DossierEvent))
_OF_EXAMPLE: Final = ("file", "number", "dossier_code", "agency", "occurred_at")
#: What makes two messages one event (the figure ``events``).
_IDENTITY: Final = ["dossier_code", "event_id", "status", "occurred_at", "agency"]

#: Rows of accepted messages: the columns of an event, and where the message stands.
ROWS: Final = pa.schema(
    [field for field in EVENT_SCHEMA if field.name != "position"] + [pa.field("file", pa.int32()), pa.field("number", pa.int64())]
)


#: The findings about a dossier: each kind with the position of the message that shows it.
_Kinds = tuple[tuple[FindingKind, int], ...]


class Example(NamedTuple):
    """A dossier with a finding: the message that shows the finding, and its day and unit. Ordered by the message's place."""

    file: int
    number: int  # line or row
    dossier_code: str
    day: dt.date | None  # None: the finding has no day
    agency: str


@dataclass(slots=True)
class KindFound:
    """How many dossiers have a finding of one kind, and the first of them as examples."""

    dossiers: int = 0
    _latest_first: list[tuple[int, int, Example]] = field(default_factory=list)

    def add(self, example: Example) -> None:
        """Count a dossier, and keep it if it is among the first."""
        self.dossiers += 1
        entry = (-example.file, -example.number, example)
        if len(self._latest_first) < EXAMPLES:
            heapq.heappush(self._latest_first, entry)
        else:
            heapq.heappushpop(self._latest_first, entry)

    @property
    def examples(self) -> list[Example]:
        """The first dossiers with the finding, in the order of the recording."""
        return sorted(example for _, _, example in self._latest_first)


@dataclass(slots=True)
class DossierJudge:
    """Judges partitions of rows that contain whole dossiers; the results add up in the attributes."""

    registry: AgencyRegistry
    folder: TemporaryRows
    distinct: int = 0
    dossiers: int = 0
    found: dict[FindingKind, KindFound] = field(default_factory=dict)
    _shapes: dict[bytes, _Kinds] = field(default_factory=dict)

    def judge(self, partition: Partition) -> Iterator[int]:
        """Judge the dossiers of a partition, and remove it.

        Yields:
            How many rows were judged.
        """
        if partition.rows > MAX_ROWS and partition.divisible:
            parts = self.folder.divided(partition.tables(), hashes_of_dossiers, level=partition.level + 1)
            partition.remove()
            for part in parts:
                yield from self.judge(part)
            return
        if partition.rows > MAX_ROWS and partition.of_one_hash:
            self._judge_one_dossier(partition)
        else:
            self._judge_table(partition.table())
        partition.remove()
        yield partition.rows

    def _judge_table(self, table: pa.Table) -> None:
        """Judge whole dossiers in memory."""
        self.distinct += _distinct(table).num_rows
        table = table.sort_by(
            [(name, "ascending") for name in ("dossier_code", "occurred_at", "file", "number")]
        ).combine_chunks()
        starts = _starts(table.column("dossier_code"))
        self.dossiers += len(starts) - 1
        shaped: list[tuple[range, bytes]] = []
        unknown: dict[bytes | int, range] = {}  # of a new shape one dossier is judged; a dossier without one has its first row
        for rows, shape in _dossiers(table, starts):
            if shape is not None:
                shaped.append((rows, shape))
            if shape not in self._shapes:
                unknown.setdefault(rows.start if shape is None else shape, rows)
        for key, rows, kinds in self._judged(table, unknown):
            if isinstance(key, bytes):
                self._shapes[key] = kinds
            else:
                self._add(kinds, table, rows.start)
        for rows, shape in shaped:
            if kinds := self._shapes[shape]:
                self._add(kinds, table, rows.start)
        if len(self._shapes) > _MAX_SHAPES:
            self._shapes.clear()

    def _judged(self, table: pa.Table, dossiers: Mapping[bytes | int, range]) -> Iterator[tuple[bytes | int, range, _Kinds]]:
        """The dossiers of a table, each with its findings."""
        for some in _in_groups(dossiers.items()):
            rows = np.concatenate([np.arange(rows.start, rows.stop) for _, rows in some])
            events, at = _events(table.take(pa.array(rows))), 0
            for key, rows_of_one in some:
                yield key, rows_of_one, self._kinds(events[at : at + len(rows_of_one)])
                at += len(rows_of_one)

    def _kinds(self, events: Sequence[DossierEvent]) -> _Kinds:
        """The findings about one dossier, given all its events."""
        positions = {id(event): position for position, event in enumerate(events)}
        return tuple(
            (finding.kind, 0 if finding.event is None else positions[id(finding.event)])
            for finding in findings(events, self.registry)
        )

    def _judge_one_dossier(self, partition: Partition) -> None:
        """Judge a dossier with more messages than fit into memory, by the messages that decide its findings."""
        self.dossiers += 1
        self.distinct += self._count_distinct(partition)
        kept: pa.Table | None = None
        for table in partition.tables():
            some = table if kept is None else pa.concat_tables([kept, table])
            events = _events(some)
            needed = {id(event) for event in needed_messages(events)}
            kept = some.take(pa.array([position for position, event in enumerate(events) if id(event) in needed]))
            if len({(event.event_id, event.status) for event in events}) > MAX_EVENTS:
                break
        assert kept is not None
        self._add(self._kinds(_events(kept)), kept, 0)

    def _count_distinct(self, partition: Partition) -> int:
        """The distinct events of a dossier of any size."""
        total = 0
        parts = self.folder.divided(map(_distinct, partition.tables()), _hashes_of_events)
        while parts:
            part = parts.pop()
            seen: pa.Table | None = None
            for table in part.tables():
                seen = _distinct(table if seen is None else pa.concat_tables([seen, table]))
                if seen.num_rows > MAX_ROWS and part.divisible:
                    parts += self.folder.divided(part.tables(), _hashes_of_events, level=part.level + 1)
                    break
            else:
                total += 0 if seen is None else seen.num_rows
            part.remove()
        return total

    def _add(self, kinds: _Kinds, table: pa.Table, first: int) -> None:
        """Count the findings about a dossier whose rows begin at ``first``."""
        for kind, position in kinds:
            file, number, code, agency, time = (table.column(name)[first + position].as_py() for name in _OF_EXAMPLE)
            day = None if kind is FindingKind.TOO_MANY_EVENTS else civil_day(time)
            self.found.setdefault(kind, KindFound()).add(Example(file, number, code, day, agency))


def _starts(codes: pa.ChunkedArray) -> np.ndarray:
    """The first row of each dossier in a sorted column, and the end of the last."""
    changes = pc.not_equal(codes.slice(1), codes.slice(0, len(codes) - 1)).to_numpy()
    return np.concatenate([[0], np.flatnonzero(changes) + 1, [len(codes)]])


def _dossiers(table: pa.Table, starts: np.ndarray) -> Iterator[tuple[range, bytes | None]]:
    """The rows of each dossier, and its shape; None instead of a shape: an id or a time occurs twice, or it has many events."""
    times = table.column("occurred_at").cast(pa.int64()).to_numpy()
    ties_before = np.concatenate([[0], np.cumsum(times[1:] == times[:-1])])
    ids, shapes, bounds = _values(table.column("event_id")), _shape_codes(table), starts.tolist()
    for start, end in itertools.pairwise(bounds):
        regular = (
            end - start <= _MAX_SHAPE_EVENTS
            and ties_before[end - 1] == ties_before[start]
            and len(set(ids[start:end])) == end - start
        )
        yield range(start, end), shapes[start:end].tobytes() if regular else None


def _in_groups(dossiers: Iterable[tuple[bytes | int, range]]) -> Iterator[list[tuple[bytes | int, range]]]:
    """Dossiers in groups of about ``_ROWS_AT_ONCE`` rows."""
    some: list[tuple[bytes | int, range]] = []
    rows = 0
    for dossier in dossiers:
        some.append(dossier)
        rows += len(dossier[1])
        if rows >= _ROWS_AT_ONCE:
            yield some
            some, rows = [], 0
    if some:
        yield some


def hashes_of_dossiers(table: pa.Table) -> np.ndarray:
    """The hash of each row's dossier code."""
    return np.fromiter(map(hash, _values(table.column("dossier_code"))), dtype=np.int64, count=table.num_rows)


def _hashes_of_events(table: pa.Table) -> np.ndarray:
    """The hash of the columns that make each row an event."""
    columns = [_values(table.column(name)) for name in ("event_id", "status", "occurred_at", "agency")]
    return np.fromiter(map(hash, zip(*columns, strict=True)), dtype=np.int64, count=table.num_rows)


def _distinct(table: pa.Table) -> pa.Table:
    return table.select(_IDENTITY).group_by(_IDENTITY).aggregate([])


def _shape_codes(table: pa.Table) -> np.ndarray:
    """A number for each row: of its columns that decide the findings about a dossier whose ids and times are all distinct."""
    agency = table.column("agency").combine_chunks().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    code: np.ndarray = agency
    for name in ("service_level", "returned_by"):
        code = code * 8 + table.column(name).combine_chunks().indices.to_numpy(zero_copy_only=False)
    for name in ("status", "channel", "named_by_code"):
        code = code * 16 + table.column(name).to_numpy()
    return code


def _events(table: pa.Table) -> list[DossierEvent]:
    """The events of rows."""
    columns = {name: _values(table.column(name)) for name in _FIELDS}
    columns["due_at"] = [None if due_at == DUE_NOT_SENT else due_at for due_at in columns["due_at"]]
    return [DossierEvent(uuid.UUID(event_id), *others) for event_id, *others in zip(*columns.values(), strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column as Python values; several times as fast as ``to_pylist``."""
    if pa.types.is_timestamp(column.type):
        return [DUE_NOT_SENT + dt.timedelta(milliseconds=number) for number in column.cast(pa.int64()).to_numpy().tolist()]
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    found: list[Any] = column.to_numpy().tolist()
    return found
