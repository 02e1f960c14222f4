"""What the fast run covers of tests with many inputs: some inputs, on the server. Long runs cover the rest."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

#: On the server; on the embedded engine, which runs the same statements, in long runs.
mainly_served = pytest.mark.parametrize(
    "clickhouse",
    [pytest.param("served", marks=pytest.mark.integration), pytest.param("embedded", marks=pytest.mark.long)],
    indirect=True,
)


def seeds(first: int, *, count: int, short: int | None) -> list[ParameterSet]:
    """Seeds for a parametrized test: ``count`` from ``first`` on, the first ``short`` of them (None: all) in the fast run too."""
    fast = count if short is None else short
    return [pytest.param(first + number, marks=() if number < fast else pytest.mark.long) for number in range(count)]
