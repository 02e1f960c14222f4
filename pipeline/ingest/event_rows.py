"""Decoded events and their positions in Kafka to rows of ``dossier_events``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Consecutive messages of one partition: ``count`` values whose first has ``offset``.

    Offsets behind the first are counted up; on a compacted topic, which this one is not, they could only be too low.
    """

    topic: str
    partition: int
    offset: int
    count: int


def with_positions(events: pa.Table, stretches: Sequence[OffsetRange]) -> pa.Table:
    """Add topic, partition and offset to events whose ``position`` counts through ``stretches`` in order.

    Returns the table without ``position``: the columns of ``dossier_events`` save ``ingested_at``, which ClickHouse sets.
    """
    counts = np.array([stretch.count for stretch in stretches], dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    positions = events.column("position").to_numpy()
    which = np.repeat(np.arange(len(stretches)), counts)[positions]
    topics = sorted({stretch.topic for stretch in stretches})
    topic_of = np.array([topics.index(stretch.topic) for stretch in stretches], dtype=np.int32)
    partition_of = np.array([stretch.partition for stretch in stretches], dtype=np.int32)
    base_of = np.array([stretch.offset for stretch in stretches], dtype=np.int64) - starts
    rows = events.drop_columns(["position"])
    rows = rows.append_column("topic", pa.DictionaryArray.from_arrays(pa.array(topic_of[which]), topics))
    rows = rows.append_column("partition", pa.array(partition_of[which]))
    return rows.append_column("offset", pa.array(base_of[which] + positions))
