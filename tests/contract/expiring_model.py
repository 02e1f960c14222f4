"""The model of several writers, while messages of finished dossiers expire at any time and runs break off anywhere."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from domain.clock import SystemClock
from domain.dossiers import Levels
from domain.events import DossierEvent
from domain.periods import Period, civil_day
from domain.tiers import Tier
from pipeline.audit.dossier_check import check_share
from pipeline.audit.in_hand import InHand
from pipeline.dossiers.keeper import DossierKeeper
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.metrics import WorkerMetrics
from pipeline.retention.messages import MessageRetention
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.expiry import ClickHouseMessageExpiry
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection, Finished
from sinks.contract.expiry import BusyError
from sinks.contract.tallies import Days, Span
from tests.contract.clustered import Clustered, storage_of
from tests.contract.dossier_model import Model, Work, expected

#: Every message of the model is older, and every row was judged before.
LATER = dt.datetime(2150, 1, 1, tzinfo=dt.UTC)
_TABLES = ("expired_messages", "expired_dossiers", "expiration_runs", "dossiers", "dossier_changes")


def judge_all(clickhouse) -> None:
    """Write the row of every dossier, as the keeper of a worker does."""
    storage = storage_of(clickhouse)
    keeper = DossierKeeper(
        storage.dossier_table(),
        storage.dossier_histories(),
        retrying=StorageRetry(SystemClock()),
        metrics=WorkerMetrics(CollectorRegistry()),
        interval=30,
        duty=2,
        flooded=lambda: False,
        stopping=threading.Event(),
    )
    for _ in range(2):  # what waits when it starts is judged in the second round
        list(keeper.steps())


def retentions(clickhouse, expiry=ClickHouseMessageExpiry, *, patience=60.0) -> list[MessageRetention]:
    """The retention of the server, or of each shard; without a settling time and without grace."""
    shards = clickhouse.cluster.shards if isinstance(clickhouse, Clustered) else (clickhouse,)
    store = storage_of(clickhouse).events()

    def recount(day: dt.date, _agencies: Sequence[str]) -> None:
        store.recount_minutes(Span(*Period(day, day).instants()))
        store.roll_up_days(Days((day,)))
        store.recount_procedures(Days((day,)))

    return [
        MessageRetention(
            expiry(shard, grace=0.0, patience=patience),
            dossiers=part.dossier_audit(),
            index=part.dossier_index(),
            recount=recount,
            settle=dt.timedelta(),
            in_hand=InHand,
        )
        for shard, part in zip(shards, storage_of(clickhouse).parts(), strict=True)
    ]


def drift_of(clickhouse, days) -> int:
    """What the audit finds: differing tallies, and faulty messages."""
    audit = storage_of(clickhouse).audit()
    found = sum(audit.compare(tier, day, settle=dt.timedelta(), limit=10).drift for day in sorted(set(days)) for tier in Tier)
    selection = DossierSelection(HashShard(0, 1))
    return found + check_share(storage_of(clickhouse).dossier_audit(), selection, settle=dt.timedelta(), in_hand=InHand()).total


@dataclass
class ExpiringModel(Model):
    """Runs of the retention between any steps of writers."""

    #: By run, and by dossier code: the messages that were recorded.
    recorded: dict[tuple[int, int], dict[str, frozenset[DossierEvent]]] = field(default_factory=dict)
    codes: dict[bytes, str] = field(default_factory=dict)

    def run(self, seed: int) -> list[str]:
        """See ``Model``; the audit must find nothing, too."""
        for table in _TABLES:
            self.clickhouse.command("test", f"TRUNCATE TABLE {table}")
        self.recorded = {}
        wrong = super().run(seed)
        found = drift_of(self.clickhouse, {civil_day(message.occurred_at) for message in self.numbers})
        return [*wrong, *([f"The audit finds {found}."] if found else [])]

    def others(self, source: random.Random) -> list[Work]:
        """One to four runs."""
        return [self.expire for _ in range(source.randint(1, 4))]

    def expire(self) -> Iterator[str]:
        """The work of ``portalpulse retention apply``, a step at a time."""
        judge_all(self.clickhouse)
        model = self

        class Recording(ClickHouseMessageExpiry):
            """Remembers what is recorded."""

            def record(self, run, messages, dossiers) -> None:
                super().record(run, messages, dossiers)
                reader = storage_of(model.clickhouse).dossier_reader()
                known = model.recorded.setdefault((id(self._clickhouse), run), {})
                codes = {message.dossier_code for message in model.numbers}
                numbers = set(dossiers.column("dossier").to_pylist())
                for code in codes:
                    if model.number_of(code) in numbers:
                        known[code] = frozenset(reader.messages(code))

        for retention in retentions(self.clickhouse, Recording, patience=0.0):
            try:
                yield from retention.recover(take_over=True)
                yield from retention.expire(HashShard(0, 1), Finished(LATER, LATER))
                yield from retention.remove()
            except BusyError:  # another one took over
                self.seen["taken over"] += 1

    def number_of(self, code: str) -> bytes:
        """The number of a dossier."""
        known = {code: number for number, code in self.codes.items()}
        if code not in known:
            asked = f"SELECT {DOSSIER} FROM (SELECT {{code:String}} AS dossier_code)"
            number = int(self.clickhouse.rows("test", asked, {"code": code})[0][0]).to_bytes(16, "little")
            self.codes[number] = code
            return number
        return known[code]

    def right(self, messages: list[DossierEvent], levels: Levels) -> dict[str, dict[tuple[object, ...], Counter[str]]]:
        """Expired dossiers count with the messages that were recorded; a new event of them is an event and nothing else."""
        shards = self.clickhouse.cluster.shards if isinstance(self.clickhouse, Clustered) else (self.clickhouse,)
        expired: dict[str, frozenset[DossierEvent]] = {}
        for shard in shards:
            switched = "SELECT generation FROM expiration_runs WHERE step = 'switched'"
            asked = f"SELECT DISTINCT generation FROM expired_dossiers WHERE generation IN ({switched})"
            for (run,) in shard.rows("test", asked):
                expired |= self.recorded.get((id(shard), int(run)), {})
        counting, late = [], []
        for message in messages:
            known = expired.get(message.dossier_code)
            if known is None or message in known:
                counting.append(message)
            elif not any(_event(message) == _event(other) for other in known):
                late.append(message)
        self.seen["expired"] += len(expired)
        self.seen["late"] += len(late)
        found = expected(counting, self.decisions, levels)
        for table, rows in expected(late).items():
            for key, counts in rows.items():
                if counts["events"]:
                    found[table].setdefault(key, Counter())["events"] += counts["events"]
        return found


def _event(message: DossierEvent) -> tuple[object, ...]:
    return message.agency, message.occurred_at, message.event_id, message.status
