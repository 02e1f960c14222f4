"""A part that ends is started again, in order, within a limit; what a restart cannot mend ends the stack with its cause."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from deploy.native.processes import ChildProcess, wait_until
from deploy.native.service import Service
from deploy.native.supervisor import (
    HANG_SECONDS,
    LOOK_SECONDS,
    MOST_REFUSALS,
    SILENT_SECONDS,
    RestartPolicy,
    Supervised,
    Supervisor,
)
from domain.errors import UnavailableError

#: Says its status at the start of each life: runs for ever without one.
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
        """What its next life ends with at once; an empty text: it stays."""
        self.status.write_text(str(status))

    def launch(self):
        self.launches += 1
        self.process.start()

    def await_ready(self, *, timeout=None):
        assert timeout is not None, "the supervision waits for nothing"
        self.process.check()
        if not self.ready:
            raise UnavailableError("no answer")

    def dies(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)
        self.await_end()

    def await_end(self):
        wait_until(lambda: not self.process.running, timeout=30, what="the end")


class Diary:
    """What the observer heard."""

    def __init__(self):
        self.entries = []

    def ended(self, name, cause, *, pause, restart):
        self.entries.append(("ended", name, cause, pause, restart))

    def is_back(self, name, *, seconds):
        self.entries.append(("back", name, seconds))

    def gives_up(self, name, cause):
        self.entries.append(("gives up", name, cause))


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
    """The supervision's clock."""
    return Time()


@pytest.fixture
def diary():
    """The supervision's observer."""
    return Diary()


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


def test_a_part_that_ends_is_started_after_a_pause(program, time, diary):
    """Not at once, not twice, and the observer hears the cause, the pause and when it is back."""
    part = program("Kafka")
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time)
    supervisor.tick()
    assert diary.entries == []
    part.dies()
    supervisor.tick()
    assert diary.entries == [("ended", "Kafka", "ended (signal 9)", 1.0, 1)]
    supervisor.tick()
    assert part.launches == 1
    time.passes(1.0)
    part.ready = False
    supervisor.tick()
    supervisor.tick()
    assert part.launches == 2
    assert part.process.running
    assert len(diary.entries) == 1
    time.passes(5.0)
    part.ready = True
    supervisor.tick()
    assert diary.entries[1:] == [("back", "Kafka", 6.0)]


@pytest.mark.parametrize("status", [0, 1, 2])
def test_any_status_after_it_was_ready_is_a_reason_to_start_again(program, time, diary, status):
    """A worker that ends with a reason, because its broker was away for example, is started again like one that was killed."""
    part = program("The worker")
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time)
    part.process.kill()
    part.exits_with(status)
    part.launch()
    part.await_end()
    part.exits_with("")
    supervisor.tick()
    assert diary.entries[0][2] == f"ended (exit code {status})"
    time.passes(1.0)
    supervisor.tick()
    supervisor.tick()
    assert diary.entries[-1][0] == "back"


def test_pauses_grow_and_the_limit_ends_the_stack_with_the_cause(program, time, diary):
    """1, 2, 4 ... seconds up to the longest; one end more than the limit is an error with the end of the log."""
    part = program("Kafka")
    policy = RestartPolicy(limit=4, within_seconds=600.0, first_pause=1.0, longest_pause=5.0)
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time, policy=policy)
    for _ in range(policy.limit):
        wait_until(lambda: part.process.log_tail(1), timeout=30, what="the first words")
        part.dies()
        supervisor.tick()
        time.passes(policy.longest_pause)
        supervisor.tick()
        supervisor.tick()
    assert [entry[3] for entry in diary.entries if entry[0] == "ended"] == [1.0, 2.0, 4.0, 5.0]
    wait_until(lambda: part.process.log_tail(1), timeout=30, what="the first words")
    part.dies()
    with pytest.raises(UnavailableError) as caught:
        supervisor.tick()
    assert diary.entries[-1] == ("gives up", "Kafka", "ended (signal 9)")
    assert "started again 4 times within 10 minutes" in str(caught.value)
    assert "last words" in str(caught.value)
    assert str(part.process.log) in caught.value.remedy


def test_old_restarts_are_forgotten(program, time, diary):
    """A part that dies once a day is started for ever, after the shortest pause."""
    part = program("Kafka")
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time, policy=RestartPolicy(limit=1))
    for _ in range(3):
        part.dies()
        supervisor.tick()
        time.passes(1.0)
        supervisor.tick()
        supervisor.tick()
        time.passes(86_400.0)
    assert [entry[0] for entry in diary.entries] == ["ended", "back"] * 3
    assert {entry[3] for entry in diary.entries if entry[0] == "ended"} == {1.0}


@pytest.mark.parametrize("when", ["was ready", "starts"])
def test_a_final_status_is_not_started_again(program, time, diary, when):
    """A worker that ended because a person has to decide would end so again."""
    part = program("The worker")
    supervisor = Supervisor([Supervised(part, final=frozenset({3}))], observer=diary, monotonic=time)
    part.process.kill()
    if when == "starts":
        supervisor.tick()
        time.passes(1.0)
    part.exits_with(3)
    if when == "starts":
        supervisor.tick()
    else:
        part.launch()
    part.await_end()
    with pytest.raises(UnavailableError, match="change nothing"):
        supervisor.tick()
    assert diary.entries[-1] == ("gives up", "The worker", "ended (exit code 3)")


@pytest.mark.parametrize("status_when_ready", ["", 2])
def test_a_refusal_at_the_start_is_not_repeated_for_long(program, time, diary, status_when_ready):
    """Status 2 before it is ready is a wrong setting, or something that is still away: after the second one the stack ends.

    The same status of a part that was ready is none of them.
    """
    part = program("The worker")
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time)
    if status_when_ready:
        part.process.kill()
        part.exits_with(status_when_ready)
        part.launch()
        part.await_end()
    else:
        part.dies()
    part.exits_with(2)
    supervisor.tick()
    for _ in range(MOST_REFUSALS - 1):
        time.passes(30.0)
        supervisor.tick()
        part.await_end()
        supervisor.tick()
        assert diary.entries[-1][0] == "ended"
    time.passes(30.0)
    supervisor.tick()
    part.await_end()
    with pytest.raises(UnavailableError, match="change nothing"):
        supervisor.tick()


def test_refusals_before_a_part_was_ready_are_forgotten(program, time, diary):
    """What was away at one start and is there at the next counts no more: only refusals in a row end the stack."""
    part = program("The worker")
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time)
    for _ in range(MOST_REFUSALS):
        part.dies()
        part.exits_with(2)
        supervisor.tick()
        time.passes(30.0)
        supervisor.tick()
        part.await_end()
        part.exits_with("")
        supervisor.tick()
        time.passes(30.0)
        supervisor.tick()
        supervisor.tick()
        assert diary.entries[-1][0] == "back"


def test_a_part_that_loses_everything_with_its_process_is_not_started_again(program, time, diary):
    """The broker in memory would come back empty, and the worker could not tell."""
    part = program("The in-memory broker")
    supervisor = Supervisor([Supervised(part, restartable=False)], observer=diary, monotonic=time)
    part.dies()
    with pytest.raises(UnavailableError, match="losing what it held"):
        supervisor.tick()


def test_a_part_waits_for_what_it_needs(program, time, diary):
    """A worker that died together with its broker is started when the broker answers again, and not before."""
    broker, worker = program("Kafka"), program("The worker")
    supervisor = Supervisor([Supervised(broker), Supervised(worker, needs=[broker])], observer=diary, monotonic=time)
    worker.dies()
    broker.dies()
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
    assert [entry[:2] for entry in diary.entries] == [
        ("ended", "Kafka"),
        ("ended", "The worker"),
        ("back", "Kafka"),
        ("back", "The worker"),
    ]


def test_a_needed_part_that_hangs_is_ended_and_started_again(program, time, diary):
    """A frozen broker ends its worker; the worker cannot come back before the broker is replaced."""
    broker, worker = program("Kafka"), program("The worker")
    supervisor = Supervisor([Supervised(broker), Supervised(worker, needs=[broker])], observer=diary, monotonic=time)
    broker.process.suspend()
    broker.ready = False
    supervisor.tick()
    assert diary.entries == []
    worker.dies()
    supervisor.tick()
    time.passes(1.0)
    supervisor.tick()
    time.passes(HANG_SECONDS)
    supervisor.tick()
    assert broker.process.running
    time.passes(0.5)
    supervisor.tick()
    assert not broker.process.running
    assert diary.entries[-1] == ("ended", "Kafka", "ran without answering for 15 s", 1.0, 1)
    broker.ready = True
    for _ in range(4):
        time.passes(1.0)
        supervisor.tick()
    assert [entry[:2] for entry in diary.entries[-2:]] == [("back", "Kafka"), ("back", "The worker")]


def test_a_start_without_an_answer_is_a_failed_one(program, time, diary):
    """A process that runs and never becomes ready is ended after its time and counts against the limit."""
    part = program("Prometheus")
    supervisor = Supervisor([Supervised(part)], observer=diary, monotonic=time)
    part.dies()
    supervisor.tick()
    part.ready = False
    time.passes(1.0)
    supervisor.tick()
    supervisor.tick()
    time.passes(part.start_seconds + 1)
    supervisor.tick()
    assert not part.process.running
    assert diary.entries[-1] == ("ended", "Prometheus", "did not answer within 90 s of its start", 2.0, 2)


def test_a_watched_part_that_hangs_is_ended_and_started_again(program, time, diary):
    """Nobody waits for Prometheus, and a frozen one raises no alert: it is asked now and then, and replaced when silent."""
    part = program("Prometheus")
    supervisor = Supervisor([Supervised(part, watched=True)], observer=diary, monotonic=time)
    part.process.suspend()
    part.ready = False
    for _ in range(int(SILENT_SECONDS / LOOK_SECONDS) + 1):
        assert diary.entries == []
        supervisor.tick()
        time.passes(LOOK_SECONDS)
    supervisor.tick()
    ((what, name, cause, *_),) = diary.entries
    assert (what, name) == ("ended", "Prometheus")
    assert f"ran without answering for {SILENT_SECONDS:.0f} s" in cause
    part.ready = True
    time.passes(1.0)
    supervisor.tick()
    supervisor.tick()
    assert (part.launches, diary.entries[-1][:2]) == (2, ("back", "Prometheus"))


def test_a_watched_part_may_be_slow(program, time, diary):
    """An answer in between, or a machine that stood still, is no silence."""
    part = program("Prometheus")
    supervisor = Supervisor([Supervised(part, watched=True)], observer=diary, monotonic=time)
    for _ in range(4):
        part.ready = False
        supervisor.tick()
        time.passes(SILENT_SECONDS / 2)
        supervisor.tick()
        part.ready = True
        time.passes(LOOK_SECONDS)
        supervisor.tick()
        time.passes(LOOK_SECONDS)
    part.ready = False
    supervisor.tick()
    time.passes(10 * SILENT_SECONDS)
    supervisor.tick()
    assert diary.entries == []
