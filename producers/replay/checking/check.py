"""Judges a recording by the rules of the worker: decodes every message, divides the events by dossier, and judges each dossier.

Memory does not grow with the recording: accepted events go to temporary files, divided by dossier, and one file is judged at
a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.agencies import AgencyRegistry
from domain.errors import PortalPulseError
from domain.events import Reason
from domain.findings import FindingKind
from pipeline.decode.decoder import Decoder
from producers.replay.checking.dossier_rows import ROWS, DossierJudge, Example, KindFound, hashes_of_dossiers
from producers.replay.checking.partitions import TemporaryRows
from producers.replay.sources.files import FileSource
from producers.replay.sources.position import SourcePosition

#: Messages that are decoded together, and their bytes.
_MESSAGES_AT_ONCE, _BYTES_AT_ONCE = 32_000, 32 << 20
#: Examples of a reason.
EXAMPLES: Final = 5


class CheckProgress(Protocol):
    """Is told how much of the recording is checked, and displays it."""

    def begin(self, stage: str, total: int | None) -> None:
        """Begin a stage of ``total`` steps (bytes or rows); None: the number is not known, and steps are messages."""
        ...

    def update(self, done: int) -> None:
        """Set how many steps of the stage are done."""
        ...


class RejectedExample(NamedTuple):
    """A rejected message: its file, its line or row, and the validator's sentence about it."""

    file: int
    number: int
    detail: str


@dataclass(slots=True)
class ReasonFound:
    """How many messages are rejected for one reason, and the first of them as examples."""

    messages: int = 0
    examples: list[RejectedExample] = field(default_factory=list)

    def add(self, example: RejectedExample) -> None:
        """Count a rejected message, and keep it if it is among the first."""
        self.messages += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True)
class CheckResult:
    """The result of a check. ``error``: why the reading ended before the end of the recording; None: all was read."""

    source: str
    messages: int = 0
    accepted: int = 0
    distinct: int = 0
    dossiers: int = 0
    rejected: dict[Reason, ReasonFound] = field(default_factory=dict)
    found: dict[FindingKind, KindFound] = field(default_factory=dict)
    places: list[SourcePosition] = field(default_factory=list)
    error: PortalPulseError | None = None

    @property
    def rejections(self) -> int:
        """How many messages a worker would dead-letter."""
        return sum(found.messages for found in self.rejected.values())

    @property
    def repeats(self) -> int:
        """How many accepted messages repeat an event of another message of the recording."""
        return self.accepted - self.distinct

    def place_of(self, example: Example | RejectedExample) -> str:
        """File and line of an example, for a sentence."""
        return self.places[example.file].at(example.number)

    def place_fields(self, example: Example | RejectedExample) -> dict[str, Any]:
        """File and line (of a Parquet file: row) of an example, as JSON values."""
        place = self.places[example.file]
        return {"file": place.name, place.unit: example.number}


def check(source: FileSource, *, registry: AgencyRegistry, latest: dt.datetime, progress: CheckProgress) -> CheckResult:
    """Judge every message and dossier of the files.

    Args:
        source: the files, which were checked (``FileSource.check``).
        registry: the registry of the agencies.
        latest: no event may be dated after this instant (aware).
        progress: is told how much is checked.

    Raises:
        UnavailableError: the temporary files cannot be written.
    """
    result = CheckResult(source.label)
    with TemporaryRows.opened() as folder:
        rows = _accepted_rows(source, Decoder(registry), result, latest=latest, progress=progress)
        partitions = folder.divided(rows, hashes_of_dossiers)
        progress.begin("dossiers", result.accepted)
        judge, judged = DossierJudge(registry, folder), 0
        for partition in partitions:
            for judged_now in judge.judge(partition):
                judged += judged_now
                progress.update(judged)
    result.distinct, result.dossiers, result.found = judge.distinct, judge.dossiers, judge.found
    return result


@dataclass(slots=True)
class _Chunk:
    """Messages of one file that are decoded together, and their lines."""

    file: int
    values: list[bytes | None] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.values) >= _MESSAGES_AT_ONCE or self.size >= _BYTES_AT_ONCE


def _accepted_rows(
    source: FileSource, decoder: Decoder, result: CheckResult, *, latest: dt.datetime, progress: CheckProgress
) -> Iterator[pa.Table]:
    """The accepted messages as tables; rejected messages and all numbers are added to ``result``.

    An error of the source ends the tables and is noted in ``result``, so that everything before the error is judged.
    """
    for chunk in _chunks(source, result, progress):
        decoded = decoder.decode(chunk.values, latest=latest)
        for position, rejection in decoded.rejections:
            example = RejectedExample(chunk.file, chunk.numbers[position], rejection.detail)
            result.rejected.setdefault(rejection.reason, ReasonFound()).add(example)
        result.messages += len(chunk.values)
        result.accepted += decoded.events.num_rows
        if decoded.events.num_rows:
            yield _rows(decoded.events, chunk)


def _chunks(source: FileSource, result: CheckResult, progress: CheckProgress) -> Iterator[_Chunk]:
    sizes = source.sizes()
    total = None if None in sizes else sum(size or 0 for size in sizes)
    progress.begin("messages", total)
    before = [sum(size or 0 for size in sizes[:number]) for number in range(len(sizes))]
    chunk = _Chunk(-1)
    try:
        for message, position in source.positioned():
            if not result.places or position is not result.places[-1]:
                if chunk.values:
                    yield chunk
                result.places.append(position)
                chunk = _Chunk(len(result.places) - 1)
            chunk.values.append(message.value)
            chunk.numbers.append(position.number)
            chunk.size += len(message.value or b"")
            if chunk.full:
                progress.update(result.messages if total is None else before[chunk.file] + position.bytes_read)
                yield chunk
                chunk = _Chunk(chunk.file)
    except PortalPulseError as error:
        result.error = error
    if chunk.values:
        yield chunk


def _rows(events: pa.Table, chunk: _Chunk) -> pa.Table:
    """Accepted events with the place of their messages. Ids are in lower case: one id in two spellings is one id."""
    numbers = np.array(chunk.numbers, dtype=np.int64)[events.column("position").to_numpy()]
    columns = [pc.ascii_lower(events.column(name)) if name == "event_id" else events.column(name) for name in ROWS.names[:-2]]
    return pa.table([*columns, pa.array(np.full(len(numbers), chunk.file, dtype=np.int32)), pa.array(numbers)], schema=ROWS)
