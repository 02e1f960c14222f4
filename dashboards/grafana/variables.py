"""The variables of a board: data sources, indicator, window, agency and the address of portalpulse itself."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.targets import PROMETHEUS
from dashboards.grafana.words import KPIS, WINDOWS, Text

#: Where the live board and the runbook of a site are, until its variable is set.
_PORTALPULSE: Final = "http://127.0.0.1:8080"
#: The text of an agency is its name beside its code, the value is its code alone.
_AGENCIES: Final = (
    'query_result(label_join(max by (agency, name) (agency_info), "text", " · ", "agency", "name"))',
    '/agency="(?<value>[^"]+)".*text="(?<text>[^"]+)"/',
)


def _choice(name: str, label: str, texts: tuple[Text, ...]) -> Any:
    options = [
        models.VariableOption(selected=index == 0, text=text, value=str(value)) for index, (value, text, _) in enumerate(texts)
    ]
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .values(",".join(f"{text} : {value}" for value, text, _ in texts))
        .options(options)
        .current(options[0])
    )


def variables(*, figures: bool = True, agency: bool = False) -> list[Any]:
    """The variables of a board, in the order in which the board shows them.

    Args:
        figures: include indicator and window, for boards that show rates.
        agency: include one agency, shown with its name beside its code.
    """
    query, pattern = _AGENCIES
    chosen = (
        dashboard.QueryVariable("agency")
        .label("Cơ quan")
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": "agency"})
        .regex(pattern)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=False)
        .include_all(include_all=False)
    )
    return [
        dashboard.DatasourceVariable("ds_prom").label("Nguồn số liệu").type("prometheus"),
        dashboard.DatasourceVariable("ds_ch").label("Kho dữ liệu").type("grafana-clickhouse-datasource"),
        *([_choice("kpi", "Chỉ tiêu", KPIS), _choice("window", "Kỳ", WINDOWS)] if figures else []),
        *([chosen] if agency else []),
        dashboard.TextBoxVariable("portalpulse")
        .label("Địa chỉ portalpulse")
        .default_value(_PORTALPULSE)
        .current(models.VariableOption(selected=True, text=_PORTALPULSE, value=_PORTALPULSE)),
    ]
