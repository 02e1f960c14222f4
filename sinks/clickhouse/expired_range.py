"""Refuses questions that need messages which have expired: an answer from the remaining messages would look complete."""

from __future__ import annotations

import datetime as dt

from domain.errors import ConfigurationError
from domain.periods import VIETNAM, day_start
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.expired_sql import RUNS
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware
from sinks.tables import EXPIRATION_RUNS


def refuse_expired(clickhouse: ClickHouse, first: dt.date) -> None:
    """Check that no message of a civil day or of any later day has expired. Only reads.

    Raises:
        ConfigurationError: messages of finished dossiers have expired that may be of this day or of a later one.
    """
    rows = clickhouse.rows("read_expired", f"SELECT count(), max(older_than) FROM ({RUNS}) WHERE NOT out")  # noqa: S608
    refuse_hidden_rows(clickhouse, (EXPIRATION_RUNS,))
    if int(rows[0][0]) and day_start(first) < (older_than := aware(rows[0][1])):
        whole = older_than.astimezone(VIETNAM).date()
        raise ConfigurationError(
            f"Messages of finished dossiers before {whole} have expired, so the messages from {first} on are incomplete.",
            remedy=f"Begin at {whole}. Reports, boards and alerts do not need them: their figures are kept (docs/retention.md).",
        )
