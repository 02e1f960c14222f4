"""Dossiers from rows: how they are divided, and how much of a large one is kept."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

import numpy as np
import pyarrow as pa
import pytest

from domain.agencies import AgencyRegistry
from domain.dossiers import MAX_EVENTS
from domain.findings import FindingKind, findings
from pipeline.ingest.histories import dossiers_in
from sinks.contract.dossiers import facts_of
from tests.factories import MORNING

REGISTRY = AgencyRegistry.packaged()
SECOND = dt.timedelta(seconds=1)


def batch(dossier, ids, times, statuses) -> pa.RecordBatch:
    """Messages of one dossier."""
    count = len(ids)
    zeros = np.zeros(count, dtype=np.int64)
    facts = facts_of(status=np.array(statuses), channel=zeros + 2, level=zeros + 3, returned=zeros, legacy=zeros, named=zeros + 1)
    halves = [(number >> 64).to_bytes(8, "little") + (number & (1 << 64) - 1).to_bytes(8, "little") for number in ids]
    return pa.record_batch(
        {
            "dossier": pa.array([dossier.to_bytes(16, "little")] * count, pa.binary(16)),
            "occurred_at": pa.array([MORNING + time * SECOND for time in times], pa.timestamp("ms", "UTC")),
            "id": pa.array(halves, pa.binary(16)),
            "agency": pa.array(["H17"] * count).dictionary_encode(),
            "procedure_code": pa.array(["1.1"] * count),
            "due_at": pa.array([dt.datetime(1970, 1, 1, tzinfo=dt.UTC)] * count, pa.timestamp("ms", "UTC")),
            "facts": pa.array(facts),
        }
    )


def kinds(messages) -> set[FindingKind]:
    """The kinds of findings of a dossier."""
    return {finding.kind for finding in findings(messages, REGISTRY)}


def test_a_dossier_may_continue_in_the_next_batch():
    """Dossiers end where the number changes, not where a batch ends; an empty batch ends none."""
    parts = [
        batch(1, [1, 2], [0, 1], [1, 2]),
        batch(1, [], [], []),
        batch(1, [1 << 64 | 3], [2], [9]),
        batch(2, [4], [0], [1]),
    ]
    read = list(dossiers_in(parts))
    assert [[message.event_id for message in history.messages] for history in read] == [
        [uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=1 << 64 | 3)],
        [uuid.UUID(int=4)],
    ]
    assert not list(dossiers_in([]))


def test_of_one_event_that_is_sent_without_end_two_messages_are_kept():
    """A dossier whose events are sent 200,000 times with other times needs little memory and has the same findings."""
    size = 20_000
    parts = [batch(1, [1, *[7] * size], [0, *range(part * size, (part + 1) * size)], [1, *[9] * size]) for part in range(10)]
    (history,) = dossiers_in(parts)
    messages = history.messages
    assert len(messages) < 60_000
    (corrected,) = findings(messages, REGISTRY)
    assert (corrected.kind, corrected.event.occurred_at) == (FindingKind.CORRECTED_TIME, MORNING + (10 * size - 1) * SECOND)


@pytest.mark.long
def test_of_a_code_with_too_many_events_few_are_kept():
    """A code with 200,000 events is too many events, and does not need the memory of them all."""
    size = 20_000
    ids = itertools.count(1)
    parts = [batch(1, list(itertools.islice(ids, size)), range(size), [4] * size) for _ in range(10)]
    (history,) = dossiers_in(parts)
    messages = history.messages
    assert len(messages) <= 4 * MAX_EVENTS
    assert kinds(messages) == {FindingKind.TOO_MANY_EVENTS}


def test_most_events_that_a_dossier_may_have_are_judged():
    """A dossier with 10,000 events, each sent several times, has not too many."""
    ids = list(range(1, MAX_EVENTS + 1))
    parts = [batch(1, ids, range(MAX_EVENTS), [1, *[4] * (MAX_EVENTS - 1)]) for _ in range(4)]
    (history,) = dossiers_in(parts)
    messages = history.messages
    assert kinds(messages) == set()
