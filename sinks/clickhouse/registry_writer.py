"""Writes the registry of agencies, so that boards and ad hoc queries can show names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.tables import AGENCIES


@dataclass(frozen=True, slots=True)
class AgencyRow:
    """One row of the table ``agencies``."""

    code: str
    valid_from: dt.date
    valid_to: dt.date | None
    block: str
    name_vi: str
    name_en: str
    short_name_vi: str
    successor_code: str


def write_agencies(clickhouse: ClickHouse, rows: Iterable[AgencyRow]) -> None:
    """Store the registry. Idempotent."""
    listed = list(rows)
    table = pa.table({name: [getattr(row, name) for row in listed] for name in AgencyRow.__slots__})
    clickhouse.insert("write_agencies", AGENCIES, table.column_names, arrow_stream(table), "ArrowStream")
