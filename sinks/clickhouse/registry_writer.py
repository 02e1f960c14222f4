"""Writes the registry of agencies, so that boards and ad hoc queries can show names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from domain.agencies import Agency
from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.tables import AGENCIES

_COLUMNS: Final = ("code", "valid_from", "valid_to", "block", "name_vi", "name_en", "short_name_vi")


def write_agencies(clickhouse: ClickHouse, agencies: Iterable[Agency]) -> None:
    """Store the registry. Idempotent."""
    rows = list(agencies)
    columns = {name: [getattr(agency, name) for agency in rows] for name in _COLUMNS}
    table = pa.table(columns | {"successor_code": [agency.successor_code or "" for agency in rows]})
    clickhouse.insert("write_agencies", AGENCIES, table.column_names, arrow_stream(table), "ArrowStream")
