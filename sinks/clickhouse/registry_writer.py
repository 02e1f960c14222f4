"""Writes the registry of agencies into the storage, so that boards and ad hoc queries can show the agencies' names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from domain.agencies import Agency
from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.tables import AGENCIES

_COLUMNS: Final = (
    *("code", "valid_from", "valid_to", "block", "name_vi", "name_en", "short_name_vi", "official_name_vi"),
    "reports_from",
)


def write_agencies(clickhouse: ClickHouse, agencies: Iterable[Agency]) -> None:
    """Replace the stored registry by these agencies. Idempotent."""
    rows = list(agencies)
    columns = {name: [getattr(agency, name) for agency in rows] for name in _COLUMNS}
    table = pa.table(columns | {"successor_code": [agency.successor_code or "" for agency in rows]})
    clickhouse.insert("write_agencies", AGENCIES, table.column_names, arrow_stream(table), "ArrowStream")
    kept = {(agency.code, agency.valid_from) for agency in rows}
    stored = clickhouse.rows("write_agencies", f"SELECT DISTINCT code, valid_from FROM {AGENCIES}")  # noqa: S608 - a constant
    # Rows of another registry. Most starts find none, and a deletion writes parts again.
    if others := [f"{code} {begin}" for code, begin in stored if (code, begin) not in kept]:
        clickhouse.command(
            "write_agencies",
            f"DELETE FROM {AGENCIES} WHERE concat(code, ' ', toString(valid_from)) IN {{others:Array(String)}}",  # noqa: S608
            {"others": others},
        )
