"""A group of workers belongs to one storage: a worker of another one ends before it reads anything."""

from __future__ import annotations

import uuid

import pytest

from deploy.native.processes import wait_until
from tests.factories import a_message, an_event
from tests.sending import send

REFUSED = "belongs to another storage"


@pytest.fixture
def other(chain):
    """Another, empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    chain.server.query(f"DROP DATABASE IF EXISTS {name}")


def stranger(chain, other):
    """A worker of the same group that writes into another database; it may end before it is ready."""
    return chain.launch(PORTALPULSE_CLICKHOUSE__URL=chain.server.url(other))


def sent(chain, number):
    """Send distinct events; returns how many."""
    pairs = [(event.dossier_code.encode(), a_message(event)) for event in (an_event() for _ in range(number))]
    assert send(chain.kafka.bootstrap, chain.topic, pairs).failed == 0
    return number


def await_counted(chain, events):
    """Everything is counted and acknowledged."""
    wait_until(lambda: chain.tallied() == events and chain.acknowledged(), timeout=120, what=f"{events} events")


def test_a_worker_of_another_storage_takes_nothing_from_the_group(chain, other):
    """It ends with status 2 and says what to do, beside a running worker and when all have ended; every message is counted."""
    first = chain.worker()
    events = sent(chain, 300)
    await_counted(chain, events)
    for beside in (True, False):
        if not beside:
            first.process.stop()
        wrong = stranger(chain, other)
        wait_until(lambda wrong=wrong: not wrong.process.running, timeout=120, what="the worker of another storage to end")
        assert wrong.process.exit_code == 2
        assert REFUSED in wrong.process.log_tail()
        assert "PORTALPULSE_KAFKA__GROUP" in wrong.process.log_tail()
        events += sent(chain, 100)
    assert chain.number(f"SELECT count() FROM {other}.dossier_messages") == 0
    chain.worker()
    await_counted(chain, events)


@pytest.mark.long
def test_two_storages_that_begin_together_are_noticed(chain, other):
    """Workers that join a new group at once see no offset of each other; soon one sees both, and ends."""
    workers = [chain.launch(), stranger(chain, other)]
    sent(chain, 300)
    wait_until(lambda: not all(worker.process.running for worker in workers), timeout=150, what="a worker to end")
    ended = [worker for worker in workers if not worker.process.running]
    assert all(REFUSED in worker.process.log_tail() for worker in ended)
    assert all(worker.process.exit_code == 2 for worker in ended)
