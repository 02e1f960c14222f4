"""Repairs that a recount alone cannot make: override a tally that is too high, and clear tallies that have no events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from domain.tiers import Tier
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import BACKGROUND, CIVIL_DAY, COUNT_NAMES, VERSION, days_condition, tally_day_condition
from sinks.clickhouse.times import storable_days
from sinks.contract.tallies import Days
from sinks.errors import Fatal
from sinks.tables import DOSSIER_MESSAGES, EPOCH, EXPIRED_MESSAGES, TALLY_EPOCHS

_CLEARING: Final[dict[str, Any]] = BACKGROUND | {"max_partitions_per_insert_block": 0}
#: Key of a tally, and the same of an event, by tier.
_KEYS: Final = {
    Tier.MINUTE: ("agency, minute", "agency, toStartOfMinute(occurred_at)"),
    Tier.DAY: ("agency, day", f"agency, {CIVIL_DAY.format(column='occurred_at')}"),
    Tier.PROCEDURE: ("agency, day, procedure_code", f"agency, {CIVIL_DAY.format(column='occurred_at')}, procedure_code"),
}
#: A version is a UInt64, which limits the epochs.
_LAST_EPOCH: Final = 2**64 // EPOCH - 1


class ClickHouseRepair:
    """Implements ``TallyRepair`` with one ClickHouse. Several threads may use an object at once.

    Args:
        clickhouse: the storage.
        expiring: whether the tables of expired messages exist; False while migration 0013 counts the stored dossiers.
    """

    def __init__(self, clickhouse: ClickHouse, *, expiring: bool = True) -> None:
        self._clickhouse, self._expiring = clickhouse, expiring

    def raise_epoch(self, reason: str) -> int:
        """Make later recounts win; see ``TallyRepair.raise_epoch``.

        Raises:
            Fatal: a tally's version is so high that no epoch beats it; that row must be deleted by hand.
        """
        return self.write_epoch(self.highest_epoch() + 1, reason)

    def highest_epoch(self) -> int:
        """The highest epoch that was ever raised or that the version of a tally contains."""
        versions = " UNION ALL ".join(f"SELECT max(version) AS version FROM {tier.value}" for tier in Tier)  # noqa: S608
        rows = self._clickhouse.rows(
            "repair_epoch",
            f"SELECT greatest(toUInt64(assumeNotNull((SELECT max(epoch) FROM {TALLY_EPOCHS}))), intDiv(max(version), {EPOCH})) "  # noqa: S608
            f"FROM ({versions})",
        )
        refuse_hidden_rows(self._clickhouse, (TALLY_EPOCHS, *(tier.value for tier in Tier)))
        return int(rows[0][0])

    def write_epoch(self, epoch: int, reason: str) -> int:
        """Raise the epoch to this number, and return the number.

        Raises:
            Fatal: the epoch is too high for the version of a tally.
        """
        if epoch > _LAST_EPOCH:
            raise Fatal("A tally has a version that no recount can beat. Delete that row and run the audit again.")
        self._clickhouse.command(
            "repair_epoch",
            f"INSERT INTO {TALLY_EPOCHS} (epoch, reason) VALUES ({{epoch:UInt32}}, {{reason:String}})",  # noqa: S608
            {"epoch": epoch, "reason": reason},
        )
        return epoch

    def clear_orphans(self, tier: Tier, day: dt.date) -> None:
        """Write zeros over tallies without events; see ``TallyRepair.clear_orphans``."""
        key, event_key = _KEYS[tier]
        counts, of_the_day = ", ".join(COUNT_NAMES), days_condition("occurred_at", Days((day,)))
        # A message that is passed over has a row among the expired ones, with the same key.
        expired = f"UNION ALL SELECT {event_key} FROM {EXPIRED_MESSAGES} WHERE {of_the_day} AND {IN_FORCE}"  # noqa: S608
        self._clickhouse.command(
            "repair_orphans",
            f"INSERT INTO {tier.value} ({key}, {counts}, last_event_at, version) {WITH_BOUND if self._expiring else ''} "  # noqa: S608
            f"SELECT {key}, {', '.join('0' for _ in COUNT_NAMES)}, toDateTime64(0, 3, 'UTC'), {VERSION} FROM {tier.value} FINAL "
            f"PREWHERE {tally_day_condition(tier, day)} WHERE greatest({counts}) > 0 AND ({key}) NOT IN ("
            f"SELECT {event_key} FROM {DOSSIER_MESSAGES} WHERE {of_the_day} {expired if self._expiring else ''})",
            **_CLEARING,
        )

    def purge_superseded(self, tier: Tier, days: Sequence[dt.date]) -> None:
        """Merge the partitions of these days; see ``TallyRepair.purge_superseded``."""
        for partition in sorted({part for day in days if storable_days(day, day) for part in _partitions(tier, day)}):
            self._clickhouse.command("repair_merge", f"OPTIMIZE TABLE {tier.value} PARTITION {partition} FINAL")


def _partitions(tier: Tier, day: dt.date) -> set[str]:
    """The partitions of a tally table that hold a civil day. Minutes of the day begin on the evening (UTC) of the day before."""
    if tier is Tier.DAY:
        return {f"{day:%Y}"}
    if tier is Tier.PROCEDURE:
        return {f"{day:%Y%m}"}
    return {f"{instant:%Y%m}" for instant in (day - dt.timedelta(days=1), day)}
