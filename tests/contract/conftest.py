"""ClickHouse, embedded and as a server, with a database for each test."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from contextlib import contextmanager

import pytest

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.layout import parse_layout
from sinks.clickhouse.cluster.migrate import migrate_cluster
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.target import Target
from sinks.errors import SinkError
from sinks.tables import SCHEMA_MIGRATIONS, SHARD_POSITION, STORAGE_IDS
from tests.contract.clustered import Clustered

_numbers = itertools.count(1)
#: Databases that are migrated, empty and unused, with their tables, by form. Creating the tables takes a second, truncating them
#: little time.
_free: dict[str, list[tuple[str, dict[str, str]]]] = {"embedded": [], "served": [], "clustered": []}

#: Parameters and classes of the suites that say on which engine a test runs.
_ENGINES = ("embedded", "TestEmbedded"), ("served", "TestServer")
_ANY_ENGINE = re.compile(r"\b(embedded|TestEmbedded|served|TestServer)\b")


def _engine(item):
    """0: the embedded engine, 1: the server, None: neither is said."""
    said = [getattr(item.cls, "__name__", ""), *(item.callspec.params.values() if hasattr(item, "callspec") else ())]
    said = {name for name in said if isinstance(name, str)}
    return next((number for number, names in enumerate(_ENGINES) if said & set(names)), None)


def pairs(items):
    """The tests that are there for both engines, (embedded, served), by file and in the order of the items."""
    found = defaultdict(lambda: defaultdict(dict))
    for item in items:
        if "/contract/" in item.nodeid and (engine := _engine(item)) is not None:
            found[item.path][_ANY_ENGINE.sub("", item.nodeid)][engine] = item
    return {path: [(both[0], both[1]) for both in tests.values() if len(both) == 2] for path, tests in found.items()}


@pytest.hookimpl(trylast=True)  # after -m and -k: a test that they leave on one engine runs there
def pytest_collection_modifyitems(config, items):
    """Of a test on both engines the fast run keeps one: in each file the engines take turns. Long runs keep both."""
    if config.getoption("--long"):
        return
    deselected = {both[number % 2] for tests in pairs(items).values() for number, both in enumerate(tests)}
    if deselected:
        config.hook.pytest_deselected(items=[item for item in items if item in deselected])
        items[:] = [item for item in items if item not in deselected]


def _tables(clickhouse):
    """The CREATE statement of every table of the database, by name."""
    sql = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    return {str(name): str(made) for name, made in clickhouse.rows("test", sql)}


def _filled(clickhouse):
    """The tables that may hold rows."""
    sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND ifNull(total_rows, 1) > 0"
    return {str(name) for (name,) in clickhouse.rows("test", sql)}


@contextmanager
def _emptied(form, target_of):
    """A client of an empty, migrated database. A database whose tables a test changed is not reused."""
    name, migrated = _free[form].pop() if _free[form] else (f"t{next(_numbers)}", {})
    clickhouse = ClickHouse(target_of(name))
    try:
        if migrated:
            clickhouse.rows("test", "SELECT 1")  # this thread is connected, as after migrating
        else:
            migrate(clickhouse)
            migrated = _tables(clickhouse)
        yield clickhouse
        try:
            if _tables(clickhouse) == migrated:
                for table in _filled(clickhouse) - {SCHEMA_MIGRATIONS, STORAGE_IDS}:
                    clickhouse.command("test", f"TRUNCATE TABLE {table}")
                _free[form].append((name, migrated))
        except SinkError:
            pass  # the test made it unreachable
    finally:
        clickhouse.close()


@pytest.fixture(scope="session")
def embedded_folder(tmp_path_factory):
    """The folder of the embedded engine; a process can use only one."""
    return tmp_path_factory.mktemp("embedded") / "clickhouse"


@pytest.fixture
def embedded(embedded_folder):
    """An embedded ClickHouse with an empty, migrated database."""
    with _emptied("embedded", lambda name: Target(timeout=60, folder=embedded_folder, database=name)) as clickhouse:
        yield clickhouse


@pytest.fixture
def served(clickhouse_server):
    """A ClickHouse server with an empty, migrated database."""
    with _emptied("served", lambda name: Target.parse(clickhouse_server.url(name), timeout=60)) as clickhouse:
        yield clickhouse


@pytest.fixture
def clustered(clickhouse_cluster):
    """A cluster of two shards with two replicas each, with an empty, migrated database."""
    name, migrated = _free["clustered"].pop() if _free["clustered"] else (clickhouse_cluster.new_database(), {})
    urls = [[f"{url}/{name}" for url in shard] for shard in clickhouse_cluster.urls]
    cluster = Cluster(parse_layout(urls, "portalpulse", timeout=60))
    under_test = Clustered(cluster)
    try:
        if not migrated:
            migrate_cluster(cluster)
            migrated = _tables(cluster.shards[0])
        yield under_test
        try:
            if all(_tables(node) == migrated for shard in cluster.nodes for node in shard):
                kept = {SCHEMA_MIGRATIONS, SHARD_POSITION, STORAGE_IDS}
                for table in {table for shard in cluster.nodes for node in shard for table in _filled(node)} - kept:
                    under_test.command("test", f"TRUNCATE TABLE {table}", alter_sync=2)
                _free["clustered"].append((name, migrated))
        except SinkError:
            pass  # the test made it unreachable
    finally:
        cluster.close()


@pytest.fixture(params=["embedded", pytest.param("served", marks=pytest.mark.integration)])
def one_clickhouse(request):
    """Each kind of a single ClickHouse in turn, for what concerns one alone: its migrations, its errors, its own statements."""
    return request.getfixturevalue(request.param)


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("served", marks=pytest.mark.integration),
        pytest.param("clustered", marks=(pytest.mark.integration, pytest.mark.long)),
    ]
)
def clickhouse(request):
    """Each kind of storage in turn: what every one of them must do."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def empty_url(clickhouse_server):
    """The address of a database that does not exist yet."""
    return clickhouse_server.url(f"t{next(_numbers)}")
