"""ClickHouse in both of its forms, an own database for every test."""

from __future__ import annotations

import itertools

import pytest

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.target import Target

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def embedded_folder(tmp_path_factory):
    """The one folder of the embedded engine: a process can own only one."""
    return tmp_path_factory.mktemp("embedded") / "clickhouse"


@pytest.fixture
def embedded(embedded_folder):
    """An embedded ClickHouse with an empty, migrated database."""
    clickhouse = ClickHouse(Target(timeout=60, folder=embedded_folder, database=f"t{next(_numbers)}"))
    migrate(clickhouse)
    yield clickhouse
    clickhouse.close()


@pytest.fixture
def served(clickhouse_server):
    """A ClickHouse server with an empty, migrated database."""
    clickhouse = ClickHouse(Target.parse(clickhouse_server.url(f"t{next(_numbers)}"), timeout=60))
    migrate(clickhouse)
    yield clickhouse
    clickhouse.close()


@pytest.fixture
def empty_url(clickhouse_server):
    """The address of a database that does not exist yet."""
    return clickhouse_server.url(f"t{next(_numbers)}")
