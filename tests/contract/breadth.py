"""What the fast run covers of tests with many inputs: some inputs, on the server. Long runs cover the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from _pytest.mark import ParameterSet

#: On the server; on the embedded engine, which runs the same statements, in long runs.
mainly_served = pytest.mark.parametrize(
    "clickhouse",
    [pytest.param("served", marks=pytest.mark.integration), pytest.param("embedded", marks=pytest.mark.long)],
    indirect=True,
)


def seeds(first: int, *, count: int, fast: Collection[int]) -> list[ParameterSet]:
    """Seeds for a parametrized test: ``count`` from ``first`` on; the small cases in ``fast`` in the fast run, too."""
    assert set(fast) <= set(range(first, first + count))
    return [pytest.param(seed, marks=() if seed in fast else pytest.mark.long) for seed in range(first, first + count)]


def cases(named: Mapping[str, tuple[Any, ...]], *, fast: Collection[str]) -> list[ParameterSet]:
    """Named cases for a parametrized test; those named in ``fast`` are in the fast run, too."""
    assert set(fast) <= set(named)
    return [pytest.param(*values, id=name, marks=() if name in fast else pytest.mark.long) for name, values in named.items()]
