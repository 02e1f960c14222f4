"""The runs of the retention, in which messages expire: records and reads their steps."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.expired_sql import RUNS
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import UNIX_EPOCH, aware, to_milliseconds
from sinks.tables import EXPIRATION_RUNS


@dataclass(frozen=True, slots=True)
class RunState:
    """What is recorded about a run.

    Attributes:
        is_begun: the run was begun, and neither switched on nor given up.
        finished: every step of the run is done.
        out: the run is not in force: it was not switched on, or was given up before.
        writers: how many programs began a run with this number.
        seconds: the age of the run.
        older_than: messages before this instant expire in the run.
    """

    is_begun: bool = False
    finished: bool = False
    out: bool = True
    writers: int = 0
    seconds: float = 0.0
    older_than: dt.datetime | None = None


class ExpiryRuns:
    """Reads and writes the steps of runs.

    Args:
        clickhouse: one server, or one shard.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def note(self, run: int, step: str, older_than: dt.datetime | None = None) -> None:
        """Record a step of a run."""
        self._clickhouse.command(
            "note_expiry",
            f"INSERT INTO {EXPIRATION_RUNS} (generation, step, run, older_than) VALUES "  # noqa: S608
            "({run:UInt32}, {step:String}, {id:UUID}, {older_than:DateTime64(3, 'UTC')})",
            {"run": run, "step": step, "id": str(uuid.uuid4()), "older_than": to_milliseconds(older_than or UNIX_EPOCH)},
        )

    def states(self) -> dict[int, RunState]:
        """The state of every run: number -> state."""
        rows = self._clickhouse.rows(
            "read_expiry",
            "SELECT generation, NOT switched AND NOT void, finished, out, writers, "  # noqa: S608
            f"dateDiff('millisecond', began_at, now64(3)) / 1000, older_than FROM ({RUNS})",
        )
        refuse_hidden_rows(self._clickhouse, (EXPIRATION_RUNS,))
        return {
            int(run): RunState(bool(begun), bool(finished), bool(out), int(writers), float(age), aware(older_than))
            for run, begun, finished, out, writers, age, older_than in rows
        }
