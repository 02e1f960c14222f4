"""What every test shares: a clean environment, one way to search for counterexamples, and a real ClickHouse server."""

from __future__ import annotations

import logging
import os
import signal

import pytest
import structlog
from hypothesis import HealthCheck, settings

from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.agencies import AgencyRegistry
from pipeline.settings import PREFIX
from tests.clickhouse_cluster.cluster import Cluster
from tests.commands import Commands

# `make check` must give the same answer twice; HYPOTHESIS_PROFILE=explore looks further.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("gate", derandomize=True, **_PATIENT)
settings.register_profile("long", derandomize=True, **_PATIENT)
settings.register_profile("explore", max_examples=2_000, print_blob=True, **_PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(autouse=True)
def _logging_as_before():
    """Restore the process's logging: a command that sets it up writes to a stream that is closed after its test."""
    root = logging.getLogger()
    level, handlers, configured = root.level, root.handlers[:], structlog.get_config()
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.configure(**configured)


def pytest_addoption(parser):
    """What takes long is run only on demand."""
    parser.addoption("--chaos", action="store_true", help="also run the tests marked chaos: slow faults on real parts")
    parser.addoption("--long", action="store_true", help="also run the tests marked long, and properties with all examples")
    parser.addoption("--model-cases", metavar="FIRST-LAST", help="cases of the model of dossiers to run on a ClickHouse server")


def pytest_configure(config):
    """The number of examples is decided before the test modules are imported.

    A shell lets its background jobs ignore Ctrl-C, and programs that the tests start would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Brokers of tests live for seconds: the second compiler and the threads of the collector would cost more than they save.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    if config.getoption("--long") and "HYPOTHESIS_PROFILE" not in os.environ:
        settings.load_profile("long")


def pytest_make_parametrize_id(val, argname):
    """Packed bytes name no test: they may hold the time, and the processes that share the tests have to agree on the names."""
    return argname if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests out among processes (`pytest -n`)."""
    from tests.sharing import Groups  # pytest-xdist is there when this is asked

    return Groups(config, log)


def pytest_collection_modifyitems(config, items):
    """Deselect what is marked chaos or long unless it is asked for; a marker expression (-m) stays free for other things.

    A test that uses the ClickHouse server or cluster starts real parts, wherever it lies.
    """
    if hasattr(config, "workerinput"):
        from tests.sharing import turn

        items.sort(key=lambda item: turn(item.nodeid))
    for item in items:
        if {"clickhouse_node", "clickhouse_nodes"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
    unwanted = {name for name in ("chaos", "long") if not config.getoption(f"--{name}")}
    left_out = [item for item in items if unwanted & {marker.name for marker in item.iter_markers()}]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No setting of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def registry():
    """The packaged registry of agencies."""
    return AgencyRegistry.packaged()


@pytest.fixture(scope="session")
def commands():
    """Runs commands of portalpulse: ``commands("audit", "--format", "json", environment=...)``; see tests/commands.py."""
    running = Commands()
    yield running
    running.close()


@pytest.fixture(scope="session")
def parts_dir(tmp_path_factory):
    """Where the session's real parts keep their data and logs."""
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="session")
def clickhouse_node(parts_dir):
    """The session's ClickHouse server, whatever a test did to it."""
    server = ClickHouseServer(data_dir=parts_dir / "clickhouse", log_dir=parts_dir / "logs")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clickhouse_server(request, clickhouse_node):
    """A real ClickHouse over HTTP: ``.url(database)``, ``.query(sql)``, ``.kill()``, ``.restart()``.

    Tests share the server: each takes a database of its own name.
    """
    marked = request.node.get_closest_marker("integration")
    assert marked, "this test starts a real server: mark it integration, or `make unit` fails where none is installed"
    if not clickhouse_node.process.running:
        clickhouse_node.start()
    return clickhouse_node


@pytest.fixture(scope="session")
def clickhouse_nodes(parts_dir):
    """The session's ClickHouse cluster of two shards with two replicas each, whatever a test did to it."""
    with Cluster(parts_dir / "cluster") as cluster:
        yield cluster


@pytest.fixture
def clickhouse_cluster(clickhouse_nodes):
    """A real ClickHouse cluster of which every server runs: see ``tests.clickhouse_cluster.cluster.Cluster``.

    Tests share it: each takes a database of its own, for example ``clickhouse_database``.
    """
    clickhouse_nodes.start()
    return clickhouse_nodes


@pytest.fixture
def clickhouse_database(clickhouse_cluster):
    """The name of an empty database on every server of the cluster; dropped after the test."""
    name = clickhouse_cluster.new_database()
    yield name
    clickhouse_cluster.start()
    clickhouse_cluster.drop_database(name)
