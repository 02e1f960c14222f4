"""Writes the registry of agencies, so that boards and ad hoc queries can show names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from domain.agencies import Agency
from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.tables import AGENCIES

#: Types are given: of a column in which every day is missing they would be unknown.
_SCHEMA: Final = pa.schema(
    {
        **dict.fromkeys(("code", "block", "name_vi", "name_en", "short_name_vi", "official_name_vi"), pa.string()),
        **dict.fromkeys(("valid_from", "valid_to", "reports_from"), pa.date32()),
    }
)


def write_agencies(clickhouse: ClickHouse, agencies: Iterable[Agency]) -> None:
    """Store the registry in place of the one that is there. Idempotent."""
    rows = list(agencies)
    table = pa.table({name: [getattr(agency, name) for agency in rows] for name in _SCHEMA.names}, schema=_SCHEMA)
    successors = pa.array([agency.successor_code or "" for agency in rows], pa.string())
    table = table.append_column("successor_code", successors)
    clickhouse.insert("write_agencies", AGENCIES, table.column_names, arrow_stream(table), "ArrowStream")
    kept = {"kept": [f"{agency.code} {agency.valid_from}" for agency in rows]}
    others = "concat(code, ' ', toString(valid_from)) NOT IN {kept:Array(String)}"
    # Rows of another registry. Most starts find none, and a deletion writes parts again.
    if clickhouse.rows("write_agencies", f"SELECT count() FROM {AGENCIES} WHERE {others}", kept)[0][0]:  # noqa: S608
        clickhouse.command("write_agencies", f"DELETE FROM {AGENCIES} WHERE {others}", kept)  # noqa: S608 - names are constants
