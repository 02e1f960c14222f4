"""One stack of real parts between a portal and a mailbox, for every test of this folder."""

from __future__ import annotations

import os
import uuid

import pytest

from deploy.native.rehearsal.stack import Base, RehearsalStack
from deploy.native.rehearsal.tempo import Tempo


@pytest.fixture(scope="module")
def stack(kafka_node, clickhouse_node, tmp_path_factory):
    """Everything runs, without ``for`` and with a scrape every five seconds; ``use`` changes that."""
    for node in (kafka_node, clickhouse_node):
        if not node.process.running:
            node.start()
    base = Base(
        broker=kafka_node,
        storage=clickhouse_node,
        folder=tmp_path_factory.mktemp("alerts"),
        environment={"PATH": os.environ["PATH"]},
        name=f"alerts_{uuid.uuid4().hex[:12]}",
    )
    with RehearsalStack(base, Tempo.direct()) as stack:
        yield stack
