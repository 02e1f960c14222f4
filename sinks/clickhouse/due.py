"""The condition under which a stored message must be counted: SQL and its parameters, for the audit."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sinks.contract.audit import Acknowledged


def milliseconds(span: dt.timedelta) -> int:
    """A duration as ClickHouse takes it."""
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
    partitions = sorted(acknowledged.partitions)
    committed, ends = (
        f"transform(partition, {partitions}, [{', '.join(f'toInt64({acknowledged.partitions[n][side]})' for n in partitions)}], "
        "toInt64(-1))"
        for side in (0, 1)
    )
    known = f"topic = {{topic:String}} AND offset < {ends}"
    return f"ingested_at <= {{as_of:DateTime64(3, 'UTC')}} AND if({known}, offset < {committed}, {old})"


def due_parameters(settle: dt.timedelta, acknowledged: Acknowledged | None) -> dict[str, Any]:
    """The parameters of ``due_condition``."""
    as_of = {"topic": acknowledged.topic, "as_of": acknowledged.as_of} if acknowledged is not None else {}
    return {"settle": milliseconds(settle), **as_of}
