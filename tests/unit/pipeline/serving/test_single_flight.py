"""Waiting callers share one computation; never an old one, and none is started for callers that left."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.serving.single_flight import SingleFlight, TooManyWaitingError


class Computation:
    """Counts its runs and ends each when the test says so."""

    def __init__(self):
        self.runs: list[asyncio.Future[int]] = []

    def __call__(self):
        self.runs.append(asyncio.get_running_loop().create_future())
        return self.runs[-1]

    def end(self, number):
        self.runs[number].set_result(number)


class Time:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def computation():
    """What is computed."""
    return Computation()


@pytest.fixture
def time():
    """The clock of the flight."""
    return Time()


@pytest.fixture
def flight(computation, time):
    """At most three may wait; a run older than five seconds is not joined."""
    return SingleFlight(computation, max_waiting=3, join_seconds=5.0, monotonic=time)


async def asking(flight, within=60.0):
    """A caller that waits already."""
    task = asyncio.create_task(flight.get(within=within))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_those_who_wait_share_one_answer(flight, computation):
    """Callers that come while a young computation runs get its answer; a later caller gets a new one."""
    callers = [await asking(flight) for _ in range(3)]
    computation.end(0)
    assert await asyncio.gather(*callers) == [0, 0, 0]
    late = await asking(flight)
    computation.end(1)
    assert await late == 1
    assert len(computation.runs) == 2


async def test_an_old_computation_is_not_joined(flight, computation, time):
    """A caller that is too late to join a slow computation waits for the next one, which begins once for all of them."""
    first = await asking(flight)
    time.now = 5.1
    late = [await asking(flight) for _ in range(2)]
    assert len(computation.runs) == 1
    time.now = 60.0  # waiting does not make an answer too old
    computation.end(0)
    assert await first == 0
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(computation.runs) == 2
    computation.end(1)
    assert await asyncio.gather(*late) == [1, 1]


async def test_nothing_is_computed_for_those_who_left(flight, computation, time):
    """A caller that gave up while it waited for the next computation starts none."""
    first = await asking(flight)
    time.now = 6.0
    late = await asking(flight)
    late.cancel()
    computation.end(0)
    await first
    with pytest.raises(asyncio.CancelledError):
        await late
    assert len(computation.runs) == 1


async def test_one_who_leaves_takes_nobody_along(flight, computation):
    """The computation continues when the caller that started it leaves."""
    first, second = await asking(flight), await asking(flight)
    first.cancel()
    await asyncio.sleep(0)
    computation.end(0)
    assert await second == 0


async def test_a_limit_on_the_wait(flight, computation):
    """A caller that waits too long gets a TimeoutError; the computation continues and answers the next caller."""
    with pytest.raises(TimeoutError):
        await flight.get(within=0.01)
    late = await asking(flight)
    computation.end(0)
    assert await late == 0


async def test_a_limit_on_those_who_wait(flight, computation):
    """A caller beyond the limit is refused; when others have left, the next one may wait."""
    callers = [await asking(flight) for _ in range(3)]
    with pytest.raises(TooManyWaitingError):
        await flight.get(within=60)
    callers[0].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    again = await asking(flight)
    computation.end(0)
    assert await asyncio.gather(*callers[1:], again) == [0, 0, 0]


async def test_an_error_reaches_all_and_is_not_kept(flight, computation):
    """A failed computation fails all who share it; the next caller begins a new one."""
    callers = [await asking(flight) for _ in range(2)]
    computation.runs[0].set_exception(ValueError("away"))
    for caller in callers:
        with pytest.raises(ValueError, match="away"):
            await caller
    late = await asking(flight)
    computation.end(1)
    assert await late == 1
