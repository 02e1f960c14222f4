"""Notes every dossier of the index as changed: the step of migration 0017, after which workers fill the table of dossiers."""

from __future__ import annotations

from typing import Any, Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.tables import DOSSIER_CHANGES, DOSSIER_INDEX

#: Dossiers noted by one statement, so that each is short.
_AT_ONCE: Final = 1_000_000
_IN_ORDER: Final[dict[str, Any]] = {"optimize_aggregation_in_order": 1, "optimize_read_in_order": 1}


def note_every_dossier(clickhouse: ClickHouse, *, at_once: int = _AT_ONCE) -> None:
    """Note every dossier of the index as changed.

    The call may break off anywhere and be repeated: noting a dossier twice is harmless.

    Raises:
        Fatal: a row policy hides dossiers.
    """
    beyond = "true"
    while True:
        numbers = f"SELECT dossier FROM {DOSSIER_INDEX} WHERE claim = 0 AND {beyond} GROUP BY dossier"  # noqa: S608
        bounds = f"SELECT count(), max(dossier) FROM ({numbers} ORDER BY dossier LIMIT {at_once})"  # noqa: S608
        count, last = clickhouse.rows("note_dossiers", bounds, **_IN_ORDER)[0]
        if int(count):
            clickhouse.command(
                "note_dossiers",
                f"INSERT INTO {DOSSIER_CHANGES} (dossier) SELECT dossier FROM ({numbers}) WHERE dossier <= toUInt128('{last}')",  # noqa: S608
                **_IN_ORDER,
            )
        if int(count) < at_once:
            break
        beyond = f"dossier > toUInt128('{last}')"
    refuse_hidden_rows(clickhouse, (DOSSIER_INDEX,))
