"""The boards' queries with the variables of the board filled in, as Grafana sends them to Prometheus."""

from __future__ import annotations

import re
from dataclasses import replace

from dashboards.queries import QUERIES, BoardQuery

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def board_queries(*, kpi: str = "I1", window: str = "ytd", agency: str = ".*") -> list[BoardQuery]:
    """Every query, ready for Prometheus; ``agency`` is a regular expression that matches whole agency codes."""
    values = {"kpi": kpi, "window": window, "agency": agency}
    return [replace(query, promql=fill(query.promql, values)) for query in QUERIES.values()]


def fill(promql: str, values: dict[str, str]) -> str:
    """``promql`` with ``$name`` and ``${name}`` replaced; a name without a value raises ``KeyError``."""
    return _VARIABLE.sub(lambda match: values[match[1]], promql)
