"""Real parts for the tests below this folder, started once a session on free ports.

A part that is not installed fails the test with the remedy; nothing is skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.native.programs import alertmanager_binary, prometheus_binary
from deploy.native.services.kafka import KafkaNode


def pytest_collection_modifyitems(items):
    """Mark everything below this folder, so that ``-m 'not integration'`` deselects it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def kafka_node(parts_dir):
    """The session's Kafka, whatever a test did to it."""
    node = KafkaNode(data_dir=parts_dir / "kafka", log_dir=parts_dir / "logs")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def kafka(kafka_node):
    """A real Kafka that answers: ``.bootstrap``, ``.create_topic(name, partitions=4)``, ``.kill()``, ``.restart()``."""
    if not kafka_node.process.running:
        kafka_node.start()
    return kafka_node


@pytest.fixture(scope="session")
def prometheus_program():
    """The Prometheus program."""
    return prometheus_binary()


@pytest.fixture(scope="session")
def promtool(prometheus_program):
    """The checker that comes with Prometheus."""
    return prometheus_program.resolve().with_name("promtool")


@pytest.fixture(scope="session")
def alertmanager_program():
    """The Alertmanager program."""
    return alertmanager_binary()


@pytest.fixture(scope="session")
def amtool(alertmanager_program):
    """The checker that comes with Alertmanager."""
    return alertmanager_program.resolve().with_name("amtool")
