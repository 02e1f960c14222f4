"""Tables: queries joined by a label, or one query, with named columns in a given order, texts and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.panels import Header, Look, begin, mappings
from dashboards.grafana.targets import Series, target
from dashboards.grafana.words import GREY, Text
from dashboards.queries import BoardQuery, SqlQuery

_MISSING: Final = ("—", GREY)
#: The value of a query of Prometheus in a table of one query.
VALUE: Final = "Value"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its source (a label, or a query for its value) and how it is shown."""

    source: str | BoardQuery
    title: str
    unit: str = ""
    decimals: int = 0
    #: Texts and colours in place of values.
    texts: tuple[Text, ...] = ()
    #: Colours by value.
    thresholds: Any = None
    #: An address that a click on a cell leads to, and what the link is called.
    link: tuple[str, str] | None = None
    width: int = 0


@dataclass(frozen=True, slots=True)
class Sorted:
    """The column by which a table is sorted at first."""

    title: str
    descending: bool = False


def table_panel(
    header: Header,
    queries: Sequence[BoardQuery | SqlQuery],
    columns: Sequence[Column],
    *,
    join_by: str = "",
    sort_by: Sorted | None = None,
    empty: str = "—",
    time_from: str = "",
) -> Any:
    """A table of current values, one column each, in the given order.

    ``empty`` is shown where there is no value, because no data must not be shown as 0.
    """
    fields = [_field(column, queries) for column in columns]
    keep = "|".join(dict.fromkeys([*([join_by] if join_by else []), *fields]))
    look = Look(unit="short", missing=(empty, GREY))
    panel = begin(table.Panel(), header, look, [Series(query) for query in queries]).filterable(filterable=True)
    panel = panel.with_transformation(
        models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"pattern": f"^({keep})$"}})
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
    )
    if sort_by:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort_by.title).desc(desc=sort_by.descending)])
    if time_from:
        panel = panel.time_from(time_from)
    for column in columns:
        panel = panel.override_by_name(column.title, _properties(column))
    for index, query in enumerate(queries):
        panel = panel.with_target(target(Series(query), index, kind="table"))
    return panel


def _field(column: Column, queries: Sequence[BoardQuery | SqlQuery]) -> str:
    if isinstance(column.source, str):
        return column.source
    return f"Value #{chr(ord('A') + list(queries).index(column.source))}"


def _properties(column: Column) -> list[Any]:
    found: dict[str, Any] = {"mappings": mappings(column.texts, _MISSING)}
    if column.unit:
        found |= {"unit": column.unit, "decimals": column.decimals}
    if column.thresholds is not None:
        found["thresholds"] = column.thresholds.build()
    if column.texts or column.thresholds is not None:
        found["custom.cellOptions"] = {"type": "color-text"}
    if column.link is not None:
        title, url = column.link
        found["links"] = [{"title": title, "url": url, "targetBlank": False}]
    if column.width:
        found["custom.width"] = column.width
    return [models.DynamicConfigValue(name, value) for name, value in found.items()]
