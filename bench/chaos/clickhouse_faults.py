"""Faults of the ClickHouse server: killed during an insert, a read-only table, too many parts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from bench.chaos.environment import Environment
from bench.chaos.fault import Fault
from bench.chaos.network_faults import SLOW_RATE
from bench.chaos.outage import await_commit, await_retries, await_worker_ends, report_outage, run_for, start_server
from deploy.native.processes import wait_until

_BURST: Final = 5_000
_INSERT_SECONDS: Final = 60.0
_INSERTING: Final = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%dossier_messages%'"
#: Batches stored before inserts were refused are recounted, and so acknowledged, within this time (seconds).
_RECOUNTED_SECONDS: Final = 10.0


@dataclass(frozen=True)
class KilledInMidInsert(Fault):
    """Kill -9 of ClickHouse while it receives the body of an insert; it is restarted after some seconds."""

    name: str = "clickhouse-killed"
    seconds: float = 8.0

    def inject(self, env: Environment, source: random.Random) -> None:
        """Slow the connection down first, so that the insert takes long enough, and wait until the server has begun it."""
        await_commit(env)
        env.proxy.slow(SLOW_RATE)
        env.traffic.burst(_BURST)
        wait_until(
            lambda: sum(env.probe.numbers(_INSERTING)), timeout=env.limit(_INSERT_SECONDS), what="an insert to be in progress"
        )
        env.mark_injected()
        env.server.kill()
        env.proxy.open()
        report_outage(env, self.name, run_for(env, self.seconds + source.uniform(0.0, 3.0)))

    def heal(self, env: Environment) -> None:
        """Start it."""
        env.proxy.open()
        start_server(env)


@dataclass(frozen=True)
class ReadOnlyTable(Fault):
    """Somebody makes the events table read-only: workers end with a message, because a retry cannot succeed."""

    name: str = "clickhouse-read-only"

    def inject(self, env: Environment, source: random.Random) -> None:  # noqa: ARG002 - nothing is random here
        """Every worker must end with status 1 and the name of the error."""
        env.server.query(f"ALTER TABLE {env.database}.dossier_messages MODIFY SETTING table_readonly = 1")
        env.mark_injected()
        await_worker_ends(env, "TABLE_IS_PERMANENTLY_READ_ONLY")

    def heal(self, env: Environment) -> None:
        """Undo it and start the workers."""
        env.server.query(f"ALTER TABLE {env.database}.dossier_messages RESET SETTING table_readonly")
        env.set_workers(len(env.workers))


@dataclass(frozen=True)
class TooManyParts(Fault):
    """Merges lag behind: every insert is refused until they have caught up."""

    name: str = "clickhouse-too-many-parts"
    seconds: float = 14.0

    def inject(self, env: Environment, source: random.Random) -> None:  # noqa: ARG002 - nothing is random here
        """Workers wait and acknowledge nothing."""
        env.server.query(
            f"ALTER TABLE {env.database}.dossier_messages "
            "MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1000000"
        )
        env.mark_injected()
        await_retries(env, "insert_events")
        report_outage(env, self.name, run_for(env, self.seconds, commit_seconds=_RECOUNTED_SECONDS))

    def heal(self, env: Environment) -> None:
        """Allow as many parts as before."""
        env.server.query(
            f"ALTER TABLE {env.database}.dossier_messages RESET SETTING parts_to_throw_insert, parts_to_delay_insert"
        )


FAULTS: tuple[Fault, ...] = (KilledInMidInsert(), ReadOnlyTable(), TooManyParts())
