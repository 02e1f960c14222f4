"""A service that ends is restarted, in order and within a limit; what a restart cannot fix ends the stack with its cause."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from deploy.native.processes import ChildProcess, wait_until
from deploy.native.restarts import (
    CHECK_SECONDS,
    HANG_SECONDS,
    MAX_REFUSALS,
    UNRESPONSIVE_SECONDS,
    RestartPolicy,
    Supervised,
    Supervisor,
)
from deploy.native.service import Service
from domain.errors import UnavailableError

#: Reads its exit status at each start; without one it runs until it is killed.
CODE = """
import pathlib, sys, time
status = pathlib.Path(sys.argv[1]).read_text()
print("last words", flush=True)
if status:
    sys.exit(int(status))
time.sleep(600)
"""


class Program(Service):
    """A real process that is ready when the test says so."""

    start_seconds = 90.0

    def __init__(self, name, folder):
        self.status = folder / f"{name}.status"
        self.exits_with("")
        self.ready = True
        self.launches = 0
        self.process = ChildProcess(name, [sys.executable, "-c", CODE, self.status], log=folder / f"{name}.log")

    def exits_with(self, status):
        """Exit at once at the next start with this status; an empty text: keep running."""
        self.status.write_text(str(status))

    def launch(self):
        self.launches += 1
        self.process.start()

    def await_ready(self, *, timeout=None):
        assert timeout is not None, "the supervisor must not block"
        self.process.check()
        if not self.ready:
            raise UnavailableError("no answer")

    def die(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)
        self.await_end()

    def await_end(self):
        wait_until(lambda: not self.process.running, timeout=30, what="the end")


class Recorder:
    """Records the calls of the observer."""

    def __init__(self):
        self.entries = []

    def on_ended(self, name, cause, *, pause, restart):
        self.entries.append(("ended", name, cause, pause, restart))

    def on_recovered(self, name, *, seconds):
        self.entries.append(("recovered", name, seconds))

    def on_given_up(self, name, cause):
        self.entries.append(("given up", name, cause))


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds

    def passes(self, seconds):
        self.seconds += seconds


@pytest.fixture
def time():
    """The supervisor's clock."""
    return Time()


@pytest.fixture
def recorder():
    """The supervisor's observer."""
    return Recorder()


@pytest.fixture
def program(tmp_path):
    """Makes running programs and ends them."""
    made = []

    def make(name):
        made.append(Program(name, tmp_path))
        made[-1].launch()
        return made[-1]

    yield make
    for each in made:
        each.process.kill()


def test_a_service_that_ends_is_restarted_after_a_pause(program, time, recorder):
    """Not at once, not twice; the observer gets the cause, the pause and the recovery."""
    service = program("Kafka")
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time)
    supervisor.tick()
    assert recorder.entries == []
    service.die()
    supervisor.tick()
    assert recorder.entries == [("ended", "Kafka", "ended (signal 9)", 1.0, 1)]
    supervisor.tick()
    assert service.launches == 1
    time.passes(1.0)
    service.ready = False
    supervisor.tick()
    supervisor.tick()
    assert service.launches == 2
    assert service.process.running
    assert len(recorder.entries) == 1
    time.passes(5.0)
    service.ready = True
    supervisor.tick()
    assert recorder.entries[1:] == [("recovered", "Kafka", 6.0)]


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_service_that_was_ready_is_restarted_whatever_its_status(program, time, recorder, status):
    """A worker that ends with a message, for example because its broker was unavailable, is restarted like a killed one."""
    service = program("The worker")
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time)
    service.process.kill()
    service.exits_with(status)
    service.launch()
    service.await_end()
    service.exits_with("")
    supervisor.tick()
    assert recorder.entries[0][2] == f"ended (exit code {status})"
    time.passes(1.0)
    supervisor.tick()
    supervisor.tick()
    assert recorder.entries[-1][0] == "recovered"


def test_pauses_grow_and_the_limit_ends_the_stack_with_the_cause(program, time, recorder):
    """1, 2, 4 ... seconds up to the longest; one end above the limit is an error with the end of the log."""
    service = program("Kafka")
    policy = RestartPolicy(limit=4, within_seconds=600.0, first_pause=1.0, longest_pause=5.0)
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time, policy=policy)
    for _ in range(policy.limit):
        wait_until(lambda: service.process.log_tail(1), timeout=30, what="the first words")
        service.die()
        supervisor.tick()
        time.passes(policy.longest_pause)
        supervisor.tick()
        supervisor.tick()
    assert [entry[3] for entry in recorder.entries if entry[0] == "ended"] == [1.0, 2.0, 4.0, 5.0]
    wait_until(lambda: service.process.log_tail(1), timeout=30, what="the first words")
    service.die()
    with pytest.raises(UnavailableError) as caught:
        supervisor.tick()
    assert recorder.entries[-1] == ("given up", "Kafka", "ended (signal 9)")
    assert "restarted 4 times within 10 minutes" in str(caught.value)
    assert "last words" in str(caught.value)
    assert str(service.process.log) in caught.value.remedy


def test_old_restarts_are_forgotten(program, time, recorder):
    """A service that dies once a day is always restarted, after the shortest pause."""
    service = program("Kafka")
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time, policy=RestartPolicy(limit=1))
    for _ in range(3):
        service.die()
        supervisor.tick()
        time.passes(1.0)
        supervisor.tick()
        supervisor.tick()
        time.passes(86_400.0)
    assert [entry[0] for entry in recorder.entries] == ["ended", "recovered"] * 3
    assert {entry[3] for entry in recorder.entries if entry[0] == "ended"} == {1.0}


@pytest.mark.parametrize("when", ["was ready", "starts"])
def test_a_service_with_a_final_status_is_not_restarted(program, time, recorder, when):
    """A worker that needs a decision by a person would end the same way."""
    service = program("The worker")
    supervisor = Supervisor([Supervised(service, final=frozenset({3}))], observer=recorder, monotonic=time)
    service.process.kill()
    if when == "starts":
        supervisor.tick()
        time.passes(1.0)
    service.exits_with(3)
    if when == "starts":
        supervisor.tick()
    else:
        service.launch()
    service.await_end()
    with pytest.raises(UnavailableError, match="fail in the same way"):
        supervisor.tick()
    assert recorder.entries[-1] == ("given up", "The worker", "ended (exit code 3)")


@pytest.mark.parametrize("status_when_ready", ["", 2])
def test_repeated_refusals_at_the_start_end_the_stack(program, time, recorder, status_when_ready):
    """Status 2 before it is ready is a wrong setting or an unavailable dependency: after the second one the stack ends.

    The same status of a service that was ready does not count.
    """
    service = program("The worker")
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time)
    if status_when_ready:
        service.process.kill()
        service.exits_with(status_when_ready)
        service.launch()
        service.await_end()
    else:
        service.die()
    service.exits_with(2)
    supervisor.tick()
    for _ in range(MAX_REFUSALS - 1):
        time.passes(30.0)
        supervisor.tick()
        service.await_end()
        supervisor.tick()
        assert recorder.entries[-1][0] == "ended"
    time.passes(30.0)
    supervisor.tick()
    service.await_end()
    with pytest.raises(UnavailableError, match="fail in the same way"):
        supervisor.tick()


def test_a_successful_start_resets_the_refusals(program, time, recorder):
    """Only refusals in a row end the stack."""
    service = program("The worker")
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time)
    for _ in range(MAX_REFUSALS):
        service.die()
        service.exits_with(2)
        supervisor.tick()
        time.passes(30.0)
        supervisor.tick()
        service.await_end()
        service.exits_with("")
        supervisor.tick()
        time.passes(30.0)
        supervisor.tick()
        supervisor.tick()
        assert recorder.entries[-1][0] == "recovered"


def test_a_service_that_loses_its_data_with_its_process_is_not_restarted(program, time, recorder):
    """The in-memory broker would be empty, and the worker could not notice."""
    service = program("The in-memory broker")
    supervisor = Supervisor([Supervised(service, restartable=False)], observer=recorder, monotonic=time)
    service.die()
    with pytest.raises(UnavailableError, match="losing the events"):
        supervisor.tick()


def test_a_service_waits_for_the_services_it_needs(program, time, recorder):
    """A worker that died together with its broker is started only when the broker answers again."""
    broker, worker = program("Kafka"), program("The worker")
    supervisor = Supervisor([Supervised(broker), Supervised(worker, needs=[broker])], observer=recorder, monotonic=time)
    worker.die()
    broker.die()
    supervisor.tick()
    broker.ready = False
    time.passes(5.0)
    supervisor.tick()
    supervisor.tick()
    assert (broker.launches, worker.launches) == (2, 1)
    broker.ready = True
    supervisor.tick()
    supervisor.tick()
    assert (broker.launches, worker.launches) == (2, 2)
    assert [entry[:2] for entry in recorder.entries] == [
        ("ended", "Kafka"),
        ("ended", "The worker"),
        ("recovered", "Kafka"),
        ("recovered", "The worker"),
    ]


def test_a_needed_service_that_hangs_is_restarted(program, time, recorder):
    """A suspended broker ends its worker; the worker is restarted after the broker was replaced."""
    broker, worker = program("Kafka"), program("The worker")
    supervisor = Supervisor([Supervised(broker), Supervised(worker, needs=[broker])], observer=recorder, monotonic=time)
    broker.process.suspend()
    broker.ready = False
    supervisor.tick()
    assert recorder.entries == []
    worker.die()
    supervisor.tick()
    time.passes(1.0)
    supervisor.tick()
    time.passes(HANG_SECONDS)
    supervisor.tick()
    assert broker.process.running
    time.passes(0.5)
    supervisor.tick()
    assert not broker.process.running
    assert recorder.entries[-1] == ("ended", "Kafka", "ran without answering for 15 s", 1.0, 1)
    broker.ready = True
    for _ in range(4):
        time.passes(1.0)
        supervisor.tick()
    assert [entry[:2] for entry in recorder.entries[-2:]] == [("recovered", "Kafka"), ("recovered", "The worker")]


def test_a_start_without_an_answer_is_a_failed_one(program, time, recorder):
    """A process that never becomes ready is ended after its start time and counts against the limit."""
    service = program("Prometheus")
    supervisor = Supervisor([Supervised(service)], observer=recorder, monotonic=time)
    service.die()
    supervisor.tick()
    service.ready = False
    time.passes(1.0)
    supervisor.tick()
    supervisor.tick()
    time.passes(service.start_seconds + 1)
    supervisor.tick()
    assert not service.process.running
    assert recorder.entries[-1] == ("ended", "Prometheus", "did not answer within 90 s of its start", 2.0, 2)


def test_a_watched_service_that_hangs_is_restarted(program, time, recorder):
    """No service needs Prometheus, and a suspended one raises no alert: it is checked regularly and replaced when it hangs."""
    service = program("Prometheus")
    supervisor = Supervisor([Supervised(service, watched=True)], observer=recorder, monotonic=time)
    service.process.suspend()
    service.ready = False
    for _ in range(int(UNRESPONSIVE_SECONDS / CHECK_SECONDS) + 1):
        assert recorder.entries == []
        supervisor.tick()
        time.passes(CHECK_SECONDS)
    supervisor.tick()
    ((what, name, cause, *_),) = recorder.entries
    assert (what, name) == ("ended", "Prometheus")
    assert f"ran without answering for {UNRESPONSIVE_SECONDS:.0f} s" in cause
    service.ready = True
    time.passes(1.0)
    supervisor.tick()
    supervisor.tick()
    assert (service.launches, recorder.entries[-1][:2]) == (2, ("recovered", "Prometheus"))


def test_a_watched_service_may_be_slow(program, time, recorder):
    """An answer in between, or a suspended machine, does not count as hanging."""
    service = program("Prometheus")
    supervisor = Supervisor([Supervised(service, watched=True)], observer=recorder, monotonic=time)
    for _ in range(4):
        service.ready = False
        supervisor.tick()
        time.passes(UNRESPONSIVE_SECONDS / 2)
        supervisor.tick()
        service.ready = True
        time.passes(CHECK_SECONDS)
        supervisor.tick()
        time.passes(CHECK_SECONDS)
    service.ready = False
    supervisor.tick()
    time.passes(10 * UNRESPONSIVE_SECONDS)
    supervisor.tick()
    assert recorder.entries == []
