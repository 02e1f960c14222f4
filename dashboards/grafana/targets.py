"""The data sources of the boards, which are variables, and the queries of panels as their data sources expect them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.queries import BoardQuery, SqlQuery

#: Every panel takes its data source from a variable, so that a board works in any Grafana.
PROMETHEUS: Final = shared.DataSourceRef(type_val="prometheus", uid="${ds_prom}")
CLICKHOUSE: Final = shared.DataSourceRef(type_val="grafana-clickhouse-datasource", uid="${ds_ch}")
#: The data source reads no version older than this from a query as it is.
_PLUGIN_VERSION: Final = "4.0.0"
#: What the data source calls a table, and a time series.
_FORMATS: Final = {"table": 1, "series": 0}


@dataclass(frozen=True, slots=True)
class Series:
    """A query of a panel and the legend of its lines; ``{{label}}`` is replaced by the value of the label."""

    query: BoardQuery | SqlQuery
    legend: str = ""


class ClickHouseQuery(Dataquery):
    """A query for the ClickHouse data source, for which the foundation SDK has no type."""

    def __init__(self, query: SqlQuery, ref_id: str) -> None:
        self._query, self._ref_id = query, ref_id

    def to_json(self) -> dict[str, object]:
        """The query as it stands in the board's file."""
        return {
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "format": _FORMATS[self._query.kind],
            "pluginVersion": _PLUGIN_VERSION,
            "queryType": "table" if self._query.kind == "table" else "timeseries",
            "rawSql": self._query.sql,
            "refId": self._ref_id,
        }


class _Built(Builder[Dataquery]):
    """A finished query in the form of a builder."""

    def __init__(self, query: Dataquery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        return self._query


def source_of(query: BoardQuery | SqlQuery) -> Any:
    """The data source that answers a query."""
    return PROMETHEUS if isinstance(query, BoardQuery) else CLICKHOUSE


def target(series: Series, number: int, *, kind: Literal["instant", "range", "table"]) -> Any:
    """The query with the letter of its place in the panel; ``kind``: how Prometheus evaluates it, unused for ClickHouse."""
    letter = chr(ord("A") + number)
    if isinstance(series.query, SqlQuery):
        return _Built(ClickHouseQuery(series.query, letter))
    query = (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(series.query.promql)
        .legend_format(series.legend or "__auto")
        .ref_id(letter)
        .format(PromQueryFormat.TABLE if kind == "table" else PromQueryFormat.TIME_SERIES)
    )
    return query.range() if kind == "range" else query.instant()
