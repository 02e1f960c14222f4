"""Writes the registry of agencies, so that boards and ad hoc queries can name what they show."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.store import arrow_stream
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
    """Store the registry; the same rows again change nothing."""
    listed = list(rows)
    names = AgencyRow.__slots__
    table = pa.table({name: [getattr(row, name) for row in listed] for name in names})
    clickhouse.insert("write_agencies", AGENCIES, table.column_names, arrow_stream(table), "ArrowStream")
