"""What the tests of the audit share: a store in memory, services over it, whole runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import pytest

from domain.clock import ManualClock
from pipeline.audit.options import AuditOptions
from pipeline.audit.run import run_audit
from pipeline.audit.service import AuditService
from pipeline.decode.decoder import Decoder
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.tallies import Counts
from tests.factories import LATEST, MORNING, TOPIC, a_message, an_event, rows_of
from tests.fakes import MINUTE, MemoryStore, NothingToCheck, Tally
from tests.unit.pipeline.audit.helpers import DAY, TODAY, Log, RecordedProgress, take


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
            dossiers=NothingToCheck(),
            index=store,
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


def named(number, **changes):
    """An event with the same id and dossier in every run."""
    return an_event(**{"event_id": uuid.UUID(int=number), "dossier_code": f"H17.1-240102-{number:04d}"} | changes)


@pytest.fixture
def damaged(store):
    """A store with every kind of fault that an audit reports."""
    one = named(1)
    take(
        store,
        one,
        named(2, event_id=one.event_id, agency="G01"),
        named(3, dossier_code=one.dossier_code, occurred_at=MORNING + MINUTE),
        named(4, status=4),
        named(5, occurred_at=MORNING + DAY),
    )
    store.insert_events(rows_of([dataclasses.replace(one, portal_id="p")]))
    store.days["H17", TODAY] = Tally(
        9_000_000_000, Counts(events=4, settled=1, settled_full=1, settled_full_any_return=1), MORNING
    )
    last = MORNING + dt.timedelta(milliseconds=7)
    store.minutes["H17", MORNING] = Tally(1, store.minutes["H17", MORNING].counts, last)
    store.procedures["G01", TODAY + DAY, "9.9"] = Tally(4, Counts(events=4), MORNING)
    store.insert_unread([UnreadRange(TOPIC, part, 0, end, "workers", UnreadCause.DELETED) for part, end in ((3, 2), (1, 5))])
    return store


@pytest.fixture
def log():
    """A topic with every kind of fault that an audit reports."""
    kept = [b"", b"", a_message(named(1)), a_message(named(6)), b"{", None, a_message(named(7))]
    return Log(1, p1=(5, 4, [b""] * 9), p2=(0, 12, [b""] * 9), p3=(2, 6, kept), p4=(0, None, []))
