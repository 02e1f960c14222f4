"""The condition under which a stored message must be counted: SQL and its parameters, for the audit."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sinks.contract.audit import Acknowledged

#: No topic has as many partitions.
_MOST_PARTITIONS: Final = 1 << 20


def milliseconds(span: dt.timedelta) -> int:
    """A duration in whole milliseconds, as the parameters of queries take it."""
    return round(span.total_seconds() * 1000)


#: Whether what a time column dates is older than the settling time.
OLD: Final = "{column} <= now64(3) - toIntervalMillisecond({{settle:UInt64}})"


def due_condition(acknowledged: Acknowledged | None) -> str:
    """The condition under which a stored message must be counted; see ``TallyAudit.compare``.

    It uses the parameters that ``due_parameters`` gives.
    """
    old = OLD.format(column="ingested_at")
    if acknowledged is None or not acknowledged.partitions:
        return old
    topics = _topics(acknowledged)
    # A number for each partition of each topic: one look-up in a table, however many topics there are.
    numbers = f"transform(topic, {{topics:Array(String)}}, {list(range(len(topics)))}, -1) * {_MOST_PARTITIONS} + partition"
    partition = "partition" if len(topics) == 1 else f"({numbers})"
    known_topic = "topic = {topic:String}" if len(topics) == 1 else "topic IN {topics:Array(String)}"
    parts = {topics.index(topic) * _MOST_PARTITIONS + number: found for (topic, number), found in acknowledged.partitions.items()}
    committed, ends = (
        f"transform({partition}, {sorted(parts)}, [{', '.join(f'toInt64({parts[each][side]})' for each in sorted(parts))}], "
        "toInt64(-1))"
        for side in (0, 1)
    )
    known = f"{known_topic} AND offset < {ends}"
    return f"ingested_at <= {{as_of:DateTime64(3, 'UTC')}} AND if({known}, offset < {committed}, {old})"


def due_parameters(settle: dt.timedelta, acknowledged: Acknowledged | None) -> dict[str, Any]:
    """The parameters of ``due_condition``."""
    if acknowledged is None:
        return {"settle": milliseconds(settle)}
    topics = _topics(acknowledged)
    named: dict[str, Any] = {"topics": topics} if len(topics) > 1 else {"topic": topics[0]} if topics else {}
    return {"settle": milliseconds(settle), "as_of": acknowledged.as_of, **named}


def _topics(acknowledged: Acknowledged) -> list[str]:
    return sorted({topic for topic, _ in acknowledged.partitions})
