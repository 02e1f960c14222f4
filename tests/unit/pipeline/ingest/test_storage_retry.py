"""Waiting for the storage."""

from __future__ import annotations

import datetime as dt
import threading
import time

import pytest

from domain.clock import ManualClock
from pipeline.ingest.storage_retry import LONGEST_PAUSE, StorageRetry, pause_before
from sinks.errors import Fatal, RefusedRows, Retryable

NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, times, error=None):
        self.left, self.calls, self.error = times, 0, error or Retryable("away", retry_after=0.01)

    def __call__(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_the_same_call_again_until_it_answers():
    """However often the storage is away, the call is repeated and its answer returned."""
    action = Flaky(8)
    assert StorageRetry(ManualClock(NOW))(action) == "answer"
    assert action.calls == 9


@pytest.mark.parametrize("error", [RefusedRows("x"), Fatal("x"), ValueError("x")])
def test_everything_else_is_passed_on_at_once(error):
    """Only Retryable is waited for."""
    action = Flaky(1, error)
    with pytest.raises(type(error)):
        StorageRetry(ManualClock(NOW))(action)
    assert action.calls == 1


def test_the_pause_is_the_one_asked_for():
    """Between two attempts lies at least the pause of the error."""
    began = time.monotonic()
    StorageRetry(ManualClock(NOW))(Flaky(2, Retryable("away", retry_after=0.15)))
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [
        (0.25, [0.25, 0.5, 1.0, LONGEST_PAUSE, LONGEST_PAUSE]),
        (1.5, [1.5, LONGEST_PAUSE, LONGEST_PAUSE]),
        (5.0, [5.0, 5.0]),
        (8.0, [8.0, 8.0]),
    ],
)
def test_pauses_grow_up_to_a_cap(asked, pauses):
    """Each pause is twice the one before, up to the cap; what an error asks for is never made shorter."""
    assert [pause_before(number, asked) for number in range(len(pauses))] == pauses
    assert pause_before(10**6, asked) == pauses[-1]


def test_the_growth_begins_anew_with_every_call(monkeypatch):
    """A call that succeeded leaves nothing behind: the next outage starts with short pauses again."""
    paused = []
    monkeypatch.setattr("pipeline.ingest.storage_retry.pause_before", lambda repetition, _asked: paused.append(repetition) or 0.0)
    patience = StorageRetry(ManualClock(NOW))
    for _ in range(2):
        patience(Flaky(3))
    assert paused == [0, 1, 2, 0, 1, 2]


def test_it_knows_since_when_the_storage_is_away():
    """The time of the first failure stands until the last of the waiting calls has its answer."""
    clock = ManualClock(NOW)
    patience = StorageRetry(clock)
    gates = [threading.Event(), threading.Event()]
    failed = [threading.Event(), threading.Event()]

    def action(number):
        if not gates[number].is_set():
            failed[number].set()
            raise Retryable("away", retry_after=0.005)

    threads = [threading.Thread(target=patience, args=(lambda number=number: action(number),)) for number in range(2)]
    threads[0].start()
    assert failed[0].wait(60)
    clock.advance(60)
    threads[1].start()
    assert failed[1].wait(60)
    assert patience.unavailable_since == NOW
    gates[0].set()
    threads[0].join(60)
    assert patience.unavailable_since == NOW, "the other still waits"
    gates[1].set()
    threads[1].join(60)
    assert patience.unavailable_since is None


def test_an_end_by_another_error_ends_the_waiting():
    """A call that waited and then failed for good is not waiting any more."""
    patience = StorageRetry(ManualClock(NOW))
    errors = iter([Retryable("away", retry_after=0.001), Fatal("gone")])

    def action():
        raise next(errors)

    with pytest.raises(Fatal):
        patience(action)
    assert patience.unavailable_since is None
