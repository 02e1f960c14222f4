"""Panels for every board, with data-source variable, explicit id and position, unit, description and thresholds.

Colours only repeat what numbers and texts already show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.queries import BoardQuery

#: Every panel takes its data source from a variable, so that a board works in any Grafana.
PROMETHEUS = shared.DataSourceRef(type_val="prometheus", uid="${ds_prom}")

GREEN, ORANGE, RED, GREY, BLUE = "green", "orange", "red", "#808080", "blue"
PERCENT, COUNT, SECONDS, POINTS = "percent", "locale", "s", "suffix: điểm %"

NO_DATA_TEXT = "Chưa có dữ liệu"


@dataclass(frozen=True, slots=True)
class GridPosition:
    """Position and size of a panel on the grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True, slots=True)
class PanelHeader:
    """Id, title, description and position of a panel; ``id`` is unique on its board and stays when panels move."""

    id: int
    title: str
    description: str
    position: GridPosition


@dataclass(frozen=True, slots=True)
class Series:
    """A query of a panel and the legend of its lines; ``{{label}}`` is replaced by the value of the label."""

    query: BoardQuery
    legend: str = ""


def steps(base: str, *above: tuple[float, str]) -> Any:
    """Thresholds: the colour below all of them, then value and colour, ascending."""
    first = models.Threshold(value=None, color=base)
    rest = [models.Threshold(value=value, color=color) for value, color in above]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps([first, *rest])


def _with_header(panel: Any, header: PanelHeader) -> Any:
    position = models.GridPos(h=header.position.h, w=header.position.w, x=header.position.x, y=header.position.y)
    return (
        panel.id(header.id)
        .title(header.title)
        .description(header.description)
        .datasource(PROMETHEUS)
        .grid_pos(position)
        .no_value(NO_DATA_TEXT)
    )


def _target(series: Series, number: int, *, kind: Literal["instant", "range", "table"]) -> Any:
    query = (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(series.query.promql)
        .legend_format(series.legend or "__auto")
        .ref_id(chr(ord("A") + number))
        .format(PromQueryFormat.TABLE if kind == "table" else PromQueryFormat.TIME_SERIES)
    )
    return query.range() if kind == "range" else query.instant()


def _with_display_names(panel: Any, names: Mapping[str, str] | None) -> Any:
    for name, shown in (names or {}).items():
        panel = panel.override_by_name(name, [models.DynamicConfigValue("displayName", shown)])
    return panel


def stat_panel(
    header: PanelHeader,
    series: Series | Sequence[Series],
    *,
    unit: str,
    thresholds: Any,
    decimals: int = 0,
    names: Mapping[str, str] | None = None,
) -> Any:
    """The current value of one or a few series; ``names`` replaces legends by other texts."""
    several = [series] if isinstance(series, Series) else list(series)
    panel = (
        _with_header(stat.Panel(), header)
        .unit(unit)
        .decimals(decimals)
        .thresholds(thresholds)
        .color_mode(shared.BigValueColorMode.VALUE)
        .graph_mode(shared.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    for index, one in enumerate(several):
        panel = panel.with_target(_target(one, index, kind="instant"))
    return _with_display_names(panel, names)


def bar_panel(header: PanelHeader, series: Series, *, unit: str, thresholds: Any, decimals: int = 0) -> Any:
    """The current value of each series as a bar."""
    return (
        _with_header(bargauge.Panel(), header)
        .unit(unit)
        .decimals(decimals)
        .thresholds(thresholds)
        .orientation(shared.VizOrientation.HORIZONTAL)
        .display_mode(shared.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(series, 0, kind="instant"))
    )


def time_series_panel(
    header: PanelHeader,
    series: Sequence[Series],
    *,
    unit: str,
    thresholds: Any,
    decimals: int = 0,
    names: Mapping[str, str] | None = None,
) -> Any:
    """Values over time; a gap in the data stays a gap. ``names`` replaces legends by other texts."""
    panel = (
        _with_header(timeseries.Panel(), header)
        .unit(unit)
        .decimals(decimals)
        .min(0)
        .thresholds(thresholds)
        .fill_opacity(0)
        .span_nulls(span_nulls=False)
        .legend(
            common.VizLegendOptions()
            .display_mode(shared.LegendDisplayMode.TABLE)
            .placement(shared.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI).sort(shared.SortOrder.DESCENDING))
    )
    for index, one in enumerate(series):
        panel = panel.with_target(_target(one, index, kind="range"))
    return _with_display_names(panel, names)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its source (a label, or a query for its value) and how it is shown."""

    source: str | BoardQuery
    title: str
    unit: str = ""
    decimals: int = 0
    #: Texts and colours in place of values: value, text, colour.
    mappings: tuple[tuple[float | str, str, str], ...] = ()


def table_panel(
    header: PanelHeader,
    queries: Sequence[BoardQuery],
    columns: Sequence[Column],
    *,
    join_by: str | None = None,
    sort_by: str,
    descending: bool = False,
    empty: str = "—",
) -> Any:
    """A table of current values: queries joined by a label, one column each, in the given order.

    ``empty`` is shown where there is no value, because no data must not be shown as 0.
    """
    fields = [_field(column, queries) for column in columns]
    keep = "|".join(dict.fromkeys([*([join_by] if join_by else []), *fields]))
    panel = (
        _with_header(table.Panel(), header)
        .unit("short")
        .no_value(empty)
        .thresholds(steps("text"))
        .with_transformation(
            models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"pattern": f"^({keep})$"}})
        )
    )
    if join_by:
        panel = panel.with_transformation(
            models.DataTransformerConfig(id_val="joinByField", options={"byField": join_by, "mode": "outer"})
        )
    panel = panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {field: index for index, field in enumerate(fields)},
                "renameByName": {field: column.title for field, column in zip(fields, columns, strict=True)},
                "excludeByName": {},
            },
        )
    ).sort_by([common.TableSortByFieldState().display_name(sort_by).desc(desc=descending)])
    for column in columns:
        properties = _column_properties(column)
        if properties:
            panel = panel.override_by_name(column.title, properties)
    for index, query in enumerate(queries):
        panel = panel.with_target(_target(Series(query), index, kind="table"))
    return panel


def _field(column: Column, queries: Sequence[BoardQuery]) -> str:
    if isinstance(column.source, str):
        return column.source
    return f"Value #{chr(ord('A') + list(queries).index(column.source))}"


def _column_properties(column: Column) -> list[Any]:
    properties = []
    if column.unit:
        properties += [
            models.DynamicConfigValue("unit", column.unit),
            models.DynamicConfigValue("decimals", column.decimals),
        ]
    if column.mappings:
        properties += [
            models.DynamicConfigValue("mappings", [value_mappings(*column.mappings)]),
            models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
        ]
    return properties


def value_mappings(*pairs: tuple[float | str, str, str]) -> Any:
    """Texts and colours for values: value, text, colour."""
    return models.ValueMap(
        options={
            f"{value:g}" if isinstance(value, (int, float)) else value: models.ValueMappingResult(
                text=text, color=color, index=index
            )
            for index, (value, text, color) in enumerate(pairs)
        }
    )
