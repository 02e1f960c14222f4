"""Dossiers are counted once by several writers, on a real server and, in long runs, on the embedded engine.

Many cases on the server: ``pytest tests/contract/test_dossiers.py -k served --model-cases 1000-1499``.
"""

from __future__ import annotations

import pytest

from pipeline.ingest import dossier_resolver
from tests.contract.breadth import mainly_served, seeds
from tests.contract.dossier_model import Model


def pytest_generate_tests(metafunc):
    """The seeds of the cases: a few, or those that were asked for."""
    first, _, last = (metafunc.config.getoption("--model-cases") or "").partition("-")
    asked = range(int(first), int(last) + 1) if first else ()
    chosen = seeds(asked[0], count=len(asked), fast=asked) if asked else seeds(0, count=12, fast={2})
    metafunc.parametrize("seed", chosen)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch, seed):
    """The few dossiers of a case are resolved one by one or two by two."""
    monkeypatch.setattr(dossier_resolver, "_SUSPECTS_AT_ONCE", 1 + seed % 2)


@mainly_served
def test_several_writers_count_each_dossier_once(clickhouse, seed):
    """Interleaved, crashed and frozen writers leave the tallies that the rules give for all messages."""
    assert Model(clickhouse).run(seed) == []


@mainly_served
def test_excluded_dossiers_count_as_nothing_among_several_writers(clickhouse, seed):
    """Decisions of operators between any steps of writers, and commands that break off, leave the tallies of the rules."""
    model = Model(clickhouse, deciding=True)
    assert model.run(seed) == []
    assert model.seen["decisions"]


@mainly_served
def test_catalogues_loaded_among_several_writers_give_their_levels(clickhouse, seed):
    """Loads between any steps of writers, and loads that break off, leave the tallies of the rules with the last catalogue."""
    assert Model(clickhouse, loading=True, deciding=seed % 3 == 0).run(seed) == []
