"""Turns decoded events into rows of ``dossier_messages``: adds topic, partition and offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Consecutive messages of one partition: ``count`` messages, the first of them at ``offset``.

    The topic is not compacted, so offsets have no gaps. On a compacted topic events could get offsets that are too low.
    """

    topic: str
    partition: int
    offset: int
    count: int


def with_positions(events: pa.Table, ranges: Sequence[OffsetRange]) -> pa.Table:
    """Replace ``position``, an index into the messages of all ``ranges`` in order, by topic, partition and offset.

    Returns:
        The columns of ``dossier_messages`` except ``ingested_at``, which ClickHouse sets.
    """
    counts = np.array([each.count for each in ranges], dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    positions = events.column("position").to_numpy()
    range_of = np.repeat(np.arange(len(ranges)), counts)[positions]
    topics = sorted({each.topic for each in ranges})
    topic_of = np.array([topics.index(each.topic) for each in ranges], dtype=np.int32)
    partition_of = np.array([each.partition for each in ranges], dtype=np.int32)
    base_of = np.array([each.offset for each in ranges], dtype=np.int64) - starts
    rows = events.drop_columns(["position"])
    rows = rows.append_column("topic", pa.DictionaryArray.from_arrays(pa.array(topic_of[range_of]), topics))
    rows = rows.append_column("partition", pa.array(partition_of[range_of]))
    return rows.append_column("offset", pa.array(base_of[range_of] + positions))
