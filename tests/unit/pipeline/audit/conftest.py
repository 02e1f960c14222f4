"""What the tests of the audit share: a store in memory, services over it, whole runs."""

from __future__ import annotations

import pytest

from domain.clock import ManualClock
from pipeline.audit.run import AuditOptions, run_audit
from pipeline.audit.service import AuditService
from pipeline.decode.decoder import Decoder
from tests.factories import LATEST, TOPIC
from tests.fakes import MemoryStore
from tests.unit.pipeline.audit.helpers import DAY, Log, RecordedProgress


@pytest.fixture
def clock():
    """The storage's clock."""
    return ManualClock(LATEST)


@pytest.fixture
def store(clock):
    """An empty store."""
    return MemoryStore(now=clock.now)


@pytest.fixture
def service(registry):
    """A factory of audit services over a store."""

    def make(store, log=None, wait=lambda _: None):
        return AuditService(
            store,
            store=store,
            repair=store,
            topic=(TOPIC, lambda: log or Log()),
            decoder=Decoder(registry),
            clock=ManualClock(LATEST),
            future_tolerance=DAY,
            wait=wait,
        )

    return make


@pytest.fixture
def audit(service, clock):
    """Run a whole audit over a store. While it waits, the clock advances and ``meanwhile`` is called."""

    def run(store, *, log=None, meanwhile=lambda: None, progress=None, **wanted):
        waits = []

        def wait(seconds):
            waits.append(seconds)
            clock.advance(seconds)
            meanwhile()

        report = run_audit(service(store, log), AuditOptions(**wanted), wait=wait, progress=progress or RecordedProgress())
        return report, waits

    return run
