"""Retries while the storage is unavailable."""

from __future__ import annotations

import datetime as dt
import threading
import time

import pytest

from domain.clock import ManualClock
from pipeline.ingest.storage_retry import BACKOFF_LIMIT, StorageRetry, pause_before
from sinks.errors import Fatal, RefusedRows, Retryable

NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


class Flaky:
    """Fails ``times`` times, then answers."""

    def __init__(self, times, error=None):
        self.left, self.calls, self.error = times, 0, error or Retryable("unavailable", retry_after=0.01)

    def __call__(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_a_call_is_repeated_until_it_succeeds():
    """However often the storage is unavailable, the call is repeated and its result returned."""
    action = Flaky(8)
    assert StorageRetry(ManualClock(NOW))(action) == "answer"
    assert action.calls == 9


@pytest.mark.parametrize("error", [RefusedRows("x"), Fatal("x"), ValueError("x")])
def test_other_errors_are_raised_at_once(error):
    """Only ``Retryable`` is repeated."""
    action = Flaky(1, error)
    with pytest.raises(type(error)):
        StorageRetry(ManualClock(NOW))(action)
    assert action.calls == 1


def test_the_pause_is_at_least_the_one_of_the_error():
    """Between two attempts passes at least the pause that the error asks for."""
    began = time.monotonic()
    StorageRetry(ManualClock(NOW))(Flaky(2, Retryable("unavailable", retry_after=0.15)))
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("retry_after", "pauses"),
    [
        (0.25, [0.25, 0.5, 1.0, BACKOFF_LIMIT, BACKOFF_LIMIT]),
        (1.5, [1.5, BACKOFF_LIMIT, BACKOFF_LIMIT]),
        (5.0, [5.0, 5.0]),
        (8.0, [8.0, 8.0]),
    ],
)
def test_pauses_grow_up_to_a_cap(retry_after, pauses):
    """Each pause is twice the previous one, up to the cap; the pause that an error asks for is never shortened."""
    assert [pause_before(number, retry_after) for number in range(len(pauses))] == pauses
    assert pause_before(10**6, retry_after) == pauses[-1]


def test_pauses_start_small_with_every_call(monkeypatch):
    """The first pause of a call does not depend on earlier calls."""
    paused = []
    monkeypatch.setattr(
        "pipeline.ingest.storage_retry.pause_before", lambda repetition, _retry_after: paused.append(repetition) or 0.0
    )
    retry = StorageRetry(ManualClock(NOW))
    for _ in range(2):
        retry(Flaky(3))
    assert paused == [0, 1, 2, 0, 1, 2]


def test_since_when_the_storage_is_unavailable():
    """It is the time of the first failure, until the last of the waiting calls succeeds."""
    clock = ManualClock(NOW)
    retry = StorageRetry(clock)
    gates = [threading.Event(), threading.Event()]
    failed = [threading.Event(), threading.Event()]

    def action(number):
        if not gates[number].is_set():
            failed[number].set()
            raise Retryable("unavailable", retry_after=0.005)

    threads = [threading.Thread(target=retry, args=(lambda number=number: action(number),)) for number in range(2)]
    threads[0].start()
    assert failed[0].wait(60)
    clock.advance(60)
    threads[1].start()
    assert failed[1].wait(60)
    assert retry.unavailable_since == NOW
    gates[0].set()
    threads[0].join(60)
    assert retry.unavailable_since == NOW, "the other still waits"
    gates[1].set()
    threads[1].join(60)
    assert retry.unavailable_since is None


def test_an_end_by_another_error_ends_the_waiting():
    """A call that waited and then raised another error is no longer waiting."""
    retry = StorageRetry(ManualClock(NOW))
    errors = iter([Retryable("unavailable", retry_after=0.001), Fatal("gone")])

    def action():
        raise next(errors)

    with pytest.raises(Fatal):
        retry(action)
    assert retry.unavailable_since is None
