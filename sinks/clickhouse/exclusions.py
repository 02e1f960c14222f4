"""Stores operators' decisions about dossiers, and reads them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from domain.exclusions import ExclusionDecision
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware
from sinks.errors import Retryable
from sinks.tables import DOSSIER_EXCLUSIONS

_NUMBER: Final = f"(SELECT {DOSSIER} FROM (SELECT {{code:String}} AS dossier_code))"  # noqa: S608 - the expression is a constant


class ClickHouseExclusions:
    """Implements ``ExclusionStore`` with one ClickHouse. Several threads may use an object at once.

    Args:
        clickhouse: the storage.
        new_id: makes the ids of decisions.
    """

    def __init__(self, clickhouse: ClickHouse, *, new_id: Callable[[], uuid.UUID] = uuid.uuid4) -> None:
        self._clickhouse, self._new_id = clickhouse, new_id

    def decide(self, code: str, *, excluded: bool, reason: str, name: str) -> ExclusionDecision:
        """Store a decision; see ``ExclusionStore.decide``.

        The time of the decision is the server's, or 1 ms after the latest decision if the server's clock was set back.

        Raises:
            Retryable: the decision was stored and cannot be read.
        """
        identity = self._new_id()
        self._clickhouse.command(
            "insert_exclusion",
            f"INSERT INTO {DOSSIER_EXCLUSIONS} (dossier_code, decided_at, id, excluded, reason, name) "  # noqa: S608
            f"SELECT {{code:String}}, greatest(now64(3, 'UTC'), max(decided_at) + toIntervalMillisecond(1)), {{id:UUID}}, "
            f"{'true' if excluded else 'false'}, {{reason:String}}, {{name:String}} "
            f"FROM {DOSSIER_EXCLUSIONS} WHERE dossier = {_NUMBER}",
            {"code": code, "id": str(identity), "reason": reason, "name": name},
        )
        for decision in self.decisions(code):
            if decision.id == identity:
                return decision
        raise Retryable(f"{self._clickhouse.target.display_name}: the decision about {code!r} was stored and cannot be read.")

    def decisions(self, code: str) -> Sequence[ExclusionDecision]:
        """All decisions about a dossier; see ``ExclusionStore.decisions``."""
        rows = self._clickhouse.counted_rows(
            "read_exclusions",
            f"SELECT decided_at, toString(id), excluded, reason, name, count() OVER () FROM {DOSSIER_EXCLUSIONS} "  # noqa: S608
            f"WHERE dossier = {_NUMBER}",
            {"code": code},
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_EXCLUSIONS,))
        return [
            ExclusionDecision(aware(decided_at), uuid.UUID(str(identity)), bool(excluded), str(reason), str(name))
            for decided_at, identity, excluded, reason, name in rows
        ]

    def excluded(self) -> Mapping[str, ExclusionDecision]:
        """Every dossier that is excluded now; see ``ExclusionStore.excluded``."""
        rows = self._clickhouse.counted_rows(
            "read_exclusions",
            "SELECT dossier_code, argMax((decided_at, toString(id), excluded, reason, name), (decided_at, hex(id))) AS last, "  # noqa: S608
            f"count() OVER () FROM {DOSSIER_EXCLUSIONS} GROUP BY dossier_code HAVING last.3",
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_EXCLUSIONS,))
        return {
            str(code): ExclusionDecision(aware(decided_at), uuid.UUID(identity), bool(excluded), reason, name)
            for code, (decided_at, identity, excluded, reason, name) in rows
        }
