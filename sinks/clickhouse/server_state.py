"""Reads the state of one ClickHouse server: version, clock, migrations, rights, disks, replicas. Every function only reads."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.driver_errors import code_of
from sinks.clickhouse.migrate import current_fingerprint, packaged_migrations
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.contract.servers import Disk, ReplicaTable, Schema, ServerIdentity
from sinks.errors import Fatal
from sinks.tables import SCHEMA_MIGRATIONS

#: The clock is asked so often; the quickest answer is the most exact one.
_PROBES: Final = 3
#: UNKNOWN_TABLE, UNKNOWN_DATABASE.
_MISSING: Final = frozenset({60, 81})
#: SYNTAX_ERROR, NOT_IMPLEMENTED: a release that cannot be asked for its grants.
_UNASKABLE: Final = frozenset({62, 48})
_MICROSECONDS: Final = 1_000_000


def read_identity(clickhouse: ClickHouse, *, now: Callable[[], float] = time.time) -> ServerIdentity:
    """Version, user, start and clock of the server. ``now``: the clock of this machine, in seconds of the epoch."""
    answers = []
    for _ in range(_PROBES):
        before = now()
        rows = clickhouse.rows("server_state", "SELECT version(), currentUser(), uptime(), toUnixTimestamp64Micro(now64(6))")
        after = now()
        answers.append((after - before, (before + after) / 2, rows[0]))
    took, middle, (version, user, uptime, told) = min(answers, key=lambda answer: answer[0])
    started = dt.datetime.fromtimestamp(int(told) / _MICROSECONDS - int(uptime), dt.UTC)
    return ServerIdentity(str(version), str(user), started, int(told) / _MICROSECONDS - middle, took / 2)


def read_schema(clickhouse: ClickHouse) -> Schema:
    """Which migrations of this release the database has, lacks or has edited.

    It lacks all where it has no table of migrations.
    """
    try:
        rows = clickhouse.rows(
            "server_state",
            f"SELECT number, any(sha256), min(applied_at) FROM {SCHEMA_MIGRATIONS} GROUP BY number",  # noqa: S608
        )
    except Fatal as error:
        if code_of(error) not in _MISSING:
            raise
        rows = []
    else:
        refuse_hidden_rows(clickhouse, (SCHEMA_MIGRATIONS,))
    applied = {int(number): current_fingerprint(str(sha256)) for number, sha256, _ in rows}
    times = {int(number): at.replace(tzinfo=dt.UTC) for number, _, at in rows}
    known = {migration.number: migration.sha256 for migration in packaged_migrations()}
    newest = max(applied, default=0)
    return Schema(
        missing=tuple(sorted(known.keys() - applied.keys())),
        newer=tuple(sorted(applied.keys() - known.keys())),
        edited=tuple(number for number, sha256 in sorted(known.items()) if applied.get(number, sha256) != sha256),
        newest=newest,
        applied_at=times.get(newest),
    )


def missing_rights(clickhouse: ClickHouse, rights: Sequence[str]) -> tuple[str, ...]:
    """Those of ``rights``, such as ``INSERT ON portalpulse.*``, that the user lacks; empty for a release without CHECK GRANT."""
    lacking = []
    for right in rights:
        try:
            answer = clickhouse.call("server_state", _granted(right))
        except Fatal as error:
            if code_of(error) in _UNASKABLE:
                return ()
            raise
        if int(answer) == 0:
            lacking.append(right)
    return tuple(lacking)


def _granted(right: str) -> Callable[[Any], Any]:
    return lambda client: client.command(f"CHECK GRANT {right}")


def read_disks(clickhouse: ClickHouse) -> tuple[Disk, ...]:
    """The disks of the server; disks without a known size are omitted.

    Raises:
        Fatal: this user may not read them.
    """
    rows = clickhouse.rows(
        "server_state",
        "SELECT name, free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY name",
    )
    return tuple(Disk(str(name), int(free), int(total)) for name, free, total in rows)


def read_replicas(clickhouse: ClickHouse) -> tuple[ReplicaTable, ...]:
    """The replicated tables of the database. Only columns are read that the server knows without its coordination service."""
    rows = clickhouse.rows(
        "server_state",
        "SELECT table, is_readonly, toUnixTimestamp(readonly_start_time), is_session_expired, absolute_delay, queue_size, "
        "toUnixTimestamp(queue_oldest_time), last_queue_update_exception FROM system.replicas "
        "WHERE database = currentDatabase() ORDER BY table",
    )
    return tuple(
        ReplicaTable(
            table=str(table),
            readonly=bool(readonly),
            readonly_since=_time(since),
            expired=bool(expired),
            delay=int(delay),
            queue=int(queue),
            oldest=_time(oldest) if queue else None,
            error=" ".join(str(error).split())[:200],
        )
        for table, readonly, since, expired, delay, queue, oldest, error in rows
    )


def read_cluster(clickhouse: ClickHouse, name: str) -> tuple[int, int]:
    """The number of shards and of servers of a cluster in the server's configuration; (0, 0): the server does not know it."""
    rows = clickhouse.rows(
        "server_state",
        "SELECT uniqExact(shard_num), count() FROM system.clusters WHERE cluster = {name:String}",
        {"name": name},
    )
    return int(rows[0][0]), int(rows[0][1])


def _time(seconds: int | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC) if seconds else None
