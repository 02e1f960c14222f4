"""What the fuzzer asks of any bytes: a batch is sorted into events and rejections, the same by decoder and validator.

An input is one byte that chooses the clock, then messages separated by ``SEPARATOR``; ``TOMBSTONE`` stands for no value.
"""

from __future__ import annotations

import ast
import datetime as dt
from pathlib import Path

import numpy as np

from domain.agencies import AgencyRegistry
from domain.events import DossierEvent, Reason
from domain.periods import LAST_INSTANT
from pipeline.dead_letters.message import message_of, shown
from pipeline.decode.decoder import Decoder
from pipeline.decode.validator import EventValidator
from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.event_rows import OffsetRange, with_positions
from pipeline.ingest.minute_spans import dirty_hours
from tests.factories import LATEST, TOPIC, events_of

SEPARATOR, TOMBSTONE = b"\x1e", b"\x1d"
CLOCKS = (
    LATEST,
    LAST_INSTANT,
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime.min.replace(tzinfo=dt.UTC),
    dt.datetime.max.replace(tzinfo=dt.UTC),
)
#: Inputs that reached new code, one bytes literal a line.
CORPUS = Path(__file__).parents[1] / "data" / "fuzz" / "decode.txt"

_REGISTRY = AgencyRegistry.packaged()
_VALIDATOR = EventValidator(_REGISTRY)


def messages_of(data: bytes) -> tuple[dt.datetime, list[bytes | None]]:
    """Clock and messages of an input."""
    if not data:
        return CLOCKS[0], []
    pieces = data[1:].split(SEPARATOR)
    return CLOCKS[data[0] % len(CLOCKS)], [None if piece == TOMBSTONE else piece for piece in pieces]


def check(data: bytes) -> tuple[object, ...]:
    """Raise when a message of a batch is lost, doubled, unforeseen or gets two verdicts, up to the insert into the storage.

    Returns a summary of the verdicts: the clock, the reasons, and whether any message is an event.
    """
    latest, values = messages_of(data)
    decoder = Decoder(_REGISTRY, min_bulk=1, min_matched=1)
    for _ in range(2):  # the second time the templates are known
        decoded = decoder.decode(values, latest=latest)
        assert not decoded.bulk_error, decoded.bulk_error
        found = {**events_of(decoded.events), **dict(decoded.rejections)}
        verdicts = {position: _VALIDATOR.validate(value, latest=latest) for position, value in enumerate(values)}
        assert found == verdicts
    for position, rejection in decoded.rejections:
        assert rejection.reason is not Reason.UNFORESEEN, rejection.detail
        rejection.detail.encode()
        shown(values[position])
        message_of(values[position], str(rejection.reason))
    said = (latest, frozenset(rejection.reason for _, rejection in decoded.rejections), decoded.events.num_rows > 0)
    if not decoded.events.num_rows:
        return said
    assert all(isinstance(found[position], DossierEvent) for position in decoded.events.column("position").to_pylist())
    rows = with_positions(decoded.events, [OffsetRange(TOPIC, 0, 0, len(values))])
    agencies = np.concatenate([chunk.indices.to_numpy() for chunk in rows.column("agency").chunks])
    buckets = DirtyBuckets()
    buckets.batch_stored(dirty_hours(agencies, rows.column("occurred_at").cast("int64").to_numpy()))
    while (work := buckets.take_live_minutes(60)) is not None:
        for span in work.spans:
            span.instants()
        buckets.minutes_recounted(work)
    assert buckets.take_days(400) is not None
    return said


def corpus() -> list[bytes]:
    """The inputs kept in the repository."""
    return [ast.literal_eval(line) for line in CORPUS.read_text(encoding="ascii").splitlines() if line]
