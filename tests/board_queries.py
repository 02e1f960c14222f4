"""The boards' queries with the variables of the board filled in, as Grafana and its data sources send them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dashboards.queries import QUERIES, SQL_QUERIES, BoardQuery, SqlQuery

_VARIABLE = re.compile(r"\$\{?(\w+)(?::(\w+))?\}?")


def board_queries(*, kpi: str = "I1", window: str = "ytd", agency: str = "H17") -> list[BoardQuery]:
    """Every query, ready for Prometheus; ``agency`` is the code of the chosen agency."""
    values = {"kpi": kpi, "window": window, "agency": agency, "__rate_interval": "1m"}
    return [replace(query, promql=fill(query.promql, values)) for query in QUERIES.values()]


def board_sql(begin: dt.datetime, end: dt.datetime, *, kpi: str = "I1", agency: str = "H17") -> list[SqlQuery]:
    """Every query of ClickHouse for a range of time, with the macros as the data source fills them in."""
    values = {
        "kpi": kpi,
        "agency": agency,
        "__fromTime": f"toDateTime({int(begin.timestamp())})",
        "__toTime": f"toDateTime({int(end.timestamp())})",
    }
    return [replace(query, sql=fill(query.sql, values)) for query in SQL_QUERIES.values()]


def fill(text: str, values: dict[str, str]) -> str:
    """``text`` with ``$name``, ``${name}`` and ``${name:sqlstring}`` replaced; a name without a value raises ``KeyError``."""

    def value(match: re.Match[str]) -> str:
        found = values[match[1]]
        return "'" + found.replace("'", "''") + "'" if match[2] == "sqlstring" else found

    return _VARIABLE.sub(value, text)


def agency_choices(board: Mapping[str, Any], metrics: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What the variable of agencies offers, code -> text: its regular expression on the answer as Grafana writes it."""
    [variable] = [one for one in board["templating"]["list"] if one["name"] == "agency"]
    pattern = re.compile(variable["regex"].strip("/").replace("(?<", "(?P<"))
    texts = ["{" + ",".join(f'{name}="{value}"' for name, value in metric.items()) + "} 1 1732700000000" for metric in metrics]
    return {found["value"]: found["text"] for found in map(pattern.search, texts) if found}


def asked_beside_panels(board: Mapping[str, Any], agency: str = "H17") -> list[str]:
    """The PromQL of a board's variables and annotations."""
    queries = [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    inner = [query.removeprefix("query_result(").removesuffix(")") for query in queries]
    return inner + [fill(one["target"]["expr"], {"agency": agency}) for one in board["annotations"]["list"]]
