"""The table of dossiers, and the notes of which dossiers changed."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import pyarrow as pa

from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware, to_milliseconds
from sinks.tables import DOSSIER_CHANGES, DOSSIERS

_TABLES: Final = (DOSSIERS, DOSSIER_CHANGES)
_WRITE: Final = {"optimize_on_insert": 0, "max_insert_threads": 1, "min_insert_block_size_rows": 1 << 20}
#: Changed dossiers whose rows are looked up at once. Notes are in the order of dossiers, so a page is read without the others.
_PAGE: Final = 200_000
_IN_ORDER: Final[dict[str, Any]] = {"optimize_aggregation_in_order": 1, "optimize_read_in_order": 1, "max_block_size": 65_536}
_PAGE_TABLE: Final = "changed"


class ClickHouseDossierTable:
    """A ``DossierTable``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def now(self) -> dt.datetime:
        """The server's time."""
        return aware(self._clickhouse.rows("server_time", "SELECT now64(3, 'UTC')")[0][0])

    def write(self, rows: pa.Table) -> None:
        """Store rows; see the contract."""
        self._clickhouse.insert("write_dossiers", DOSSIERS, rows.column_names, arrow_stream(rows), "ArrowStream", **_WRITE)

    def waiting_since(self, asked_at: dt.datetime) -> int:
        """How many dossiers wait; see the contract."""
        after, found = -1, 0
        noted = f"noted_at <= toDateTime64('{to_milliseconds(asked_at)}', 3, 'UTC')"
        while True:
            page = self._page(noted, after)
            if not page.num_rows:
                break
            found += self._of_page_waiting(page)
            after = int.from_bytes(page.column("dossier")[-1].as_py(), "little")
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return found

    def _page(self, noted: str, after: int) -> pa.Table:
        beyond = "" if after < 0 else f" AND dossier > toUInt128('{after}')"
        return self._clickhouse.table(
            "changed_dossiers",
            f"SELECT dossier, max(noted_at) AS noted FROM {DOSSIER_CHANGES} WHERE {noted}{beyond} "  # noqa: S608
            f"GROUP BY dossier ORDER BY dossier LIMIT {_PAGE}",
            **_IN_ORDER,
        )

    def _of_page_waiting(self, page: pa.Table) -> int:
        rows = self._clickhouse.table(
            "waiting_dossiers",
            f"SELECT count() FROM {_PAGE_TABLE} AS page LEFT JOIN "  # noqa: S608
            f"(SELECT dossier, max(judged_at) AS judged FROM {DOSSIERS} PREWHERE dossier IN (SELECT dossier FROM {_PAGE_TABLE}) "
            "GROUP BY dossier) AS judged USING dossier "
            "WHERE noted >= judged",  # without a row, it was judged in 1970
            ExternalTable(_PAGE_TABLE, "dossier UInt128, noted DateTime64(3, 'UTC')", page),
        )
        return int(rows.column(0)[0].as_py())
