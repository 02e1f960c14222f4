"""The decode step: turns fetches into batches of event rows and dead letters, usually into one batch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from domain.clock import Clock
from domain.events import Reason
from pipeline.decode.decoder import Decoded, Decoder
from pipeline.ingest.dead_letter_guard import AssignedPart, BatchGuard, DeadLetterGuard
from pipeline.ingest.dead_letter_rows import dead_letters_of
from pipeline.ingest.event_rows import OffsetRange, with_positions
from pipeline.ingest.fetch import Fetch, MessagePiece
from pipeline.ingest.minute_spans import DirtyHour, dirty_hours
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from sinks.contract.dead_letters import DeadLetter

log = get_logger("delivery")

#: At most this many record batches are named in one log line.
_MAX_LOGGED_BATCHES = 5
#: Largest size of the unpacked messages of one batch. Four batches may be in memory: decoded, waiting, and two being stored.
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """Decoded messages of some fetches, not yet stored. The messages of a large fetch are in several batches."""

    rows: pa.Table
    positions: np.ndarray  # of each row among the messages of the batch
    dead_letters: tuple[DeadLetter, ...]
    dirty_hours: dict[int, DirtyHour]
    fetches: tuple[Fetch, ...]
    guard: BatchGuard


class DecodeStep:
    """Decodes fetches. Runs in one thread: the batches are numbered in the order of the calls.

    Args:
        decoder: turns message values into events and rejections.
        guard: enforces the dead-letter limit on each batch.
        clock: the wall clock; an event later than its time plus ``future_tolerance`` is rejected.
        future_tolerance: see ``clock``.
        max_rows: most messages in a batch, unless a single piece has more.
        metrics: the worker's metrics.
        portal_of: the portal to which a topic belongs; None: any agency may report in it.
    """

    def __init__(
        self,
        decoder: Decoder,
        guard: DeadLetterGuard,
        *,
        clock: Clock,
        future_tolerance: dt.timedelta,
        max_rows: int,
        metrics: WorkerMetrics,
        portal_of: Callable[[str], str | None],
    ) -> None:
        self._decoder, self._guard, self._clock, self._metrics = decoder, guard, clock, metrics
        self._future_tolerance, self._max_rows = future_tolerance, max_rows
        self._portal_of = portal_of
        self._batches = 0  # decoded so far

    def __call__(self, fetches: Sequence[Fetch]) -> Iterator[DecodedBatch]:
        """Decode all messages of ``fetches`` and release their packed messages.

        Yields usually one batch. Messages that are large or many when they are unpacked become several batches; each is
        unpacked only when the caller asks for it.
        """
        pieces: list[tuple[Fetch, MessagePiece, list[bytes | None]]] = []
        begun: list[Fetch] = []  # fetches of ``pieces``, in order
        rows = size = 0
        for fetch in fetches:
            begun.append(fetch)
            fetch.row_batches += 1
            for batch in fetch.batches:
                for piece in batch.pieces():
                    values = piece.values()
                    if not values:
                        continue
                    if pieces and (size + piece.size > _MAX_BYTES or rows + len(values) > self._max_rows):
                        yield self._decoded(pieces, begun)
                        pieces, begun, rows, size = [], [fetch], 0, 0
                        fetch.row_batches += 1
                    pieces.append((fetch, piece, values))
                    rows, size = rows + len(values), size + piece.size
            fetch.batches = ()  # the packed messages are no longer needed
            fetch.decoded = True  # last: a store thread may look at it at any time
        yield self._decoded(pieces, begun)

    def _decoded(self, pieces: list[tuple[Fetch, MessagePiece, list[bytes | None]]], fetches: Sequence[Fetch]) -> DecodedBatch:
        """Decode the messages of ``pieces`` as one batch. Empties ``pieces``."""
        with self._metrics.decode_seconds.time():
            values: list[bytes | None] = []
            ranges: list[OffsetRange] = []
            parts: list[AssignedPart] = []
            unpacked: list[MessagePiece] = []
            for fetch, piece, some in pieces:
                values += some
                ranges.append(OffsetRange(fetch.topic, fetch.partition, piece.first_offset, len(some)))
                parts.append(AssignedPart((fetch.topic, fetch.partition), piece.first_offset, len(some), fetch.assignment))
                unpacked.append(piece)
            pieces.clear()
            latest = self._clock.now() + self._future_tolerance
            portals = [(self._portal_of(each.topic), each.count) for each in ranges]
            decoded = self._decoder.decode(values, latest=latest, portals=portals)
            self._report_internal_errors(decoded, len(values), ranges)
            dead_letters = dead_letters_of(decoded.rejections, values, ranges, unpacked)
            del values, unpacked  # half of the memory of a batch
            positions = decoded.events.column("position").to_numpy()
            rows = with_positions(decoded.events, ranges) if decoded.events.num_rows else decoded.events
            touched = dirty_hours(
                pa.concat_arrays([chunk.indices for chunk in rows.column("agency").chunks]).to_numpy()
                if rows.num_rows
                else pa.array([], pa.int32()).to_numpy(),
                rows.column("occurred_at").cast(pa.int64()).to_numpy(),
            )
        self._metrics.slow_path.inc(decoded.validated)
        guard = self._guard.batch(self._batches, parts, [position for position, _ in decoded.rejections], dead_letters)
        self._batches += 1
        return DecodedBatch(rows, positions, dead_letters, touched, tuple(fetches), guard)

    def _report_internal_errors(self, decoded: Decoded, messages: int, ranges: Sequence[OffsetRange]) -> None:
        """Log and count errors of this program, as opposed to faults of messages. No message is lost by such errors."""
        batches = [f"{each.topic}/{each.partition}@{each.offset}" for each in ranges[:_MAX_LOGGED_BATCHES]]
        if decoded.bulk_error:
            self._metrics.bulk_failures.inc()
            log.error("bulk_decoding_failed", error=decoded.bulk_error, messages=messages, batches=batches)
        unforeseen = [rejection.detail for _, rejection in decoded.rejections if rejection.reason is Reason.UNFORESEEN]
        if unforeseen:
            log.error("messages_set_aside_unforeseen", messages=len(unforeseen), error=unforeseen[0], batches=batches)
