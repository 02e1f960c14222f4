"""What the checks of a cluster share: their results, writers on either replica of each shard, and dossiers."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from domain.errors import PortalPulseError
from domain.events import DossierEvent
from domain.periods import civil_day
from domain.tiers import Tier
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.tallies import Days, Span
from tests.clickhouse_cluster.cluster import Cluster
from tests.clickhouse_cluster.replica import Replica
from tests.cluster.databases import LOCAL
from tests.cluster.sharded import Shards
from tests.factories import MORNING, an_event, rows_of

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
ONE, OTHER = "H17", "H18"  # agencies of different shards


@dataclass(frozen=True)
class Check:
    """A result; ``as_expected``: whether it is what docs/cluster.md says."""

    kind: str
    name: str
    seen: str
    as_expected: bool


class Bench:
    """What the checks share: writers on either replica of each shard, dossiers with a day of their own."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.first, self.second = (
            Shards(cluster, random.Random(0), sync=False, only=number, on_failure=_raise) for number in (0, 1)
        )
        self._days = itertools.count()
        self._codes = itertools.count(1)

    def dossier(self, *statuses: int, agency: str = ONE, day: int | None = None) -> list[DossierEvent]:
        """A dossier with an event a minute, on a day that no other has."""
        start = MORNING + (next(self._days) if day is None else day) * DAY
        code = f"{agency}-240102-{next(self._codes):06d}"
        return [
            an_event(dossier_code=code, agency=agency, status=status, occurred_at=start + place * MINUTE, named_by_code=True)
            for place, status in enumerate(statuses)
        ]

    def store(self, shards: Shards, events: list[DossierEvent]) -> pa.Table:
        """Store messages only."""
        rows = rows_of(events)
        for shard, part in shards.by_agency(rows).items():
            shards.run(shard, lambda client, part=part: ClickHouseStore(client).insert_events(part))
        return rows

    def everywhere(self) -> None:
        """Let all replicas have everything."""
        for replica in self.cluster.replicas:
            replica.query("SYSTEM START FETCHES")
            for table in ("tally_epochs", *TABLES):
                replica.query(f"SYSTEM SYNC REPLICA {LOCAL}.{table}")

    def recount(self, shards: Shards, event: DossierEvent, tier: Tier = Tier.MINUTE) -> None:
        """Recount the day of an event in one tier."""
        start, days = event.occurred_at.replace(second=0), Days((civil_day(event.occurred_at),), (event.agency,))
        recounts: dict[Tier, Callable[[ClickHouseStore], None]] = {
            Tier.MINUTE: lambda store: store.recount_minutes(Span(start, start + 10 * MINUTE, (event.agency,))),
            Tier.DAY: lambda store: store.roll_up_days(days),
            Tier.PROCEDURE: lambda store: store.recount_procedures(days),
        }
        shards.run(shards.shard_of(event.agency), lambda client: recounts[tier](ClickHouseStore(client)))

    def counted(self, shards: Shards, event: DossierEvent, tier: Tier, what: str = "sum(events)") -> int:
        """What a replica of a shard has in the tallies of the day of an event."""
        day = "toDate(minute, 'Asia/Ho_Chi_Minh')" if tier is Tier.MINUTE else "day"
        sql = (
            f"SELECT {what} FROM {tier.value} FINAL WHERE agency = '{event.agency}' AND {day} = '{civil_day(event.occurred_at)}'"
        )
        return int(shards.run(shards.shard_of(event.agency), lambda client: client.rows("count", sql))[0][0])


TABLES = ("dossier_messages", "dossier_index", "dossier_corrections", *(tier.value for tier in Tier))


def _raise(cause: str) -> None:
    raise AssertionError(cause)


def is_synced(replica: Replica, table: str) -> bool:
    """Whether a wait of a second for replication ends."""
    try:
        replica.query(f"SYSTEM SYNC REPLICA {LOCAL}.{table} LIGHTWEIGHT", receive_timeout=1)
    except PortalPulseError as error:
        if "TIMEOUT_EXCEEDED" not in str(error):
            raise
        return False
    return True


def same(found: int, right: int) -> tuple[str, bool]:
    """What was seen, and whether it is right."""
    return f"{found}, right {right}", found == right


def rows_in(client: ClickHouse, table: str) -> int:
    """The number of rows of a table."""
    return int(client.rows("count", f"SELECT count() FROM {table}")[0][0])
