"""The variables of a board: data source, indicator, window and agency."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.panels import PROMETHEUS

_KPIS = (("I1", "Tỷ lệ hồ sơ trực tuyến toàn trình"), ("I5", "Tỷ lệ hồ sơ trực tuyến"))
_WINDOWS = (
    ("ytd", "Từ đầu năm"),
    ("month", "Từ đầu tháng"),
    ("7d", "7 ngày qua"),
    ("1d", "24 giờ qua"),
    ("1h", "1 giờ qua"),
)


def _choice(name: str, label: str, values: tuple[tuple[str, str], ...]) -> Any:
    first_value, first_text = values[0]
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .values(",".join(f"{text} : {value}" for value, text in values))
        .options(
            [models.VariableOption(selected=index == 0, text=text, value=value) for index, (value, text) in enumerate(values)]
        )
        .current(models.VariableOption(selected=True, text=first_text, value=first_value))
    )


def variables() -> list[Any]:
    """The data source, the indicator, the window and the agencies, in the order in which a board shows them."""
    agencies = (
        dashboard.QueryVariable("agency")
        .label("Cơ quan")
        .datasource(PROMETHEUS)
        .query({"query": "label_values(agency_info, agency)", "refId": "agency"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text=["Tất cả"], value=["$__all"]))
    )
    return [
        dashboard.DatasourceVariable("ds_prom").label("Nguồn dữ liệu").type("prometheus"),
        _choice("kpi", "Chỉ tiêu", _KPIS),
        _choice("window", "Kỳ", _WINDOWS),
        agencies,
    ]
