"""What a recount cannot do alone: make it win over a tally that is too high, and clear tallies that no event explains."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from domain.tiers import Tier
from sinks.clickhouse.audit import tally_day
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.days import held
from sinks.clickhouse.store import CIVIL_DAY, VERSION, days_condition
from sinks.contract.tallies import Days
from sinks.errors import Fatal
from sinks.tables import COUNT_CONDITIONS, DOSSIER_EVENTS, EPOCH, TALLY_EPOCHS

_BACKGROUND: Final[dict[str, Any]] = {"max_threads": 1, "os_thread_priority": 10, "max_partitions_per_insert_block": 0}
#: Key of a tally, and the same of an event, by tier.
_KEYS: Final = {
    Tier.MINUTE: ("agency, minute", "agency, toStartOfMinute(occurred_at)"),
    Tier.DAY: ("agency, day", f"agency, {CIVIL_DAY.format(column='occurred_at')}"),
    Tier.PROCEDURE: ("agency, day, procedure_code", f"agency, {CIVIL_DAY.format(column='occurred_at')}, procedure_code"),
}
#: A version is a UInt64: epochs end here.
_MOST_EPOCHS: Final = 2**64 // EPOCH - 1


class ClickHouseRepair:
    """A ``TallyRepair``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def raise_epoch(self, reason: str) -> int:
        """Make later recounts win; see the contract.

        Raises:
            Fatal: a tally's version is so high that no epoch beats it; that row must be deleted by hand.
        """
        versions = " UNION ALL ".join(f"SELECT max(version) AS version FROM {tier.value}" for tier in Tier)  # noqa: S608
        rows = self._clickhouse.rows(
            "repair_epoch",
            f"SELECT greatest(toUInt64(assumeNotNull((SELECT max(epoch) FROM {TALLY_EPOCHS}))), intDiv(max(version), {EPOCH})) "  # noqa: S608
            f"FROM ({versions})",
        )
        epoch = int(rows[0][0]) + 1
        if epoch > _MOST_EPOCHS:
            raise Fatal("A tally has a version that no recount can beat; delete that row and audit again.")
        self._clickhouse.command(
            "repair_epoch",
            f"INSERT INTO {TALLY_EPOCHS} (epoch, reason) VALUES ({{epoch:UInt32}}, {{reason:String}})",  # noqa: S608
            {"epoch": epoch, "reason": reason},
        )
        return epoch

    def clear_orphans(self, tier: Tier, day: dt.date) -> None:
        """Zeros over tallies without events; see the contract."""
        key, event_key = _KEYS[tier]
        counts = ("events", *COUNT_CONDITIONS)
        self._clickhouse.command(
            "repair_orphans",
            f"INSERT INTO {tier.value} ({key}, {', '.join(counts)}, last_event_at, version) "  # noqa: S608
            f"SELECT {key}, {', '.join('0' for _ in counts)}, toDateTime64(0, 3, 'UTC'), {VERSION} FROM {tier.value} FINAL "
            f"PREWHERE {tally_day(tier, day)} WHERE greatest({', '.join(counts)}) > 0 AND ({key}) NOT IN ("
            f"SELECT {event_key} FROM {DOSSIER_EVENTS} WHERE {days_condition('occurred_at', Days((day,)))})",
            **_BACKGROUND,
        )

    def purge_superseded(self, tier: Tier, days: Sequence[dt.date]) -> None:
        """Merge the partitions of these days; see the contract."""
        for partition in sorted({partition for day in days if held(day, day) for partition in _partitions(tier, day)}):
            self._clickhouse.command("repair_merge", f"OPTIMIZE TABLE {tier.value} PARTITION {partition} FINAL")


def _partitions(tier: Tier, day: dt.date) -> set[str]:
    """Partitions that hold a civil day; its minutes begin on the evening (UTC) of the day before."""
    if tier is Tier.DAY:
        return {f"{day:%Y}"}
    if tier is Tier.PROCEDURE:
        return {f"{day:%Y%m}"}
    return {f"{instant:%Y%m}" for instant in (day - dt.timedelta(days=1), day)}
