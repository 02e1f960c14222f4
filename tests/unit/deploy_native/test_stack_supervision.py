"""Which service needs which, what ends the stack, and what the terminal and the recipients are told."""

from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from dashboards.alertmanager.timing import AlertTiming
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.service import Service
from deploy.native.services.mock_kafka import MemoryBroker
from deploy.native.services.receiver import NotificationReceiver
from deploy.native.stack_supervision import Supervision
from domain.errors import DeadLetterLimitError, UnavailableError

SLEEPS = "import sys, time; print('the reason', flush=True); time.sleep(600)"
ENDS = "import sys, time; print('the reason', flush=True); sys.exit({status})"


class Program(Service):
    """A real process that is always ready while it runs."""

    def __init__(self, name, folder, code=SLEEPS):
        self.process = ChildProcess(name, [sys.executable, "-c", code], log=folder / f"{name}.log")

    def launch(self):
        self.process.start()

    def await_ready(self, *, timeout=None):
        del timeout
        self.process.check()


@pytest.fixture
def stack(tmp_path):
    """The services of a stack without a network; nothing listens at Alertmanager's address."""
    receiver = NotificationReceiver(tmp_path / "notifications.ndjson")
    services = {name: Program(title, tmp_path) for name, title in (("broker", "Kafka"), ("alertmanager", "Alertmanager"))}
    stack = SimpleNamespace(
        **services,
        storage=None,
        prometheus=Program("Prometheus", tmp_path),
        portalpulse_processes=[Program("The worker", tmp_path)],
        receiver=receiver,
        alert_timing=AlertTiming.demo(),
        addresses=SimpleNamespace(alertmanager="http://127.0.0.1:9"),
        inherits_settings=True,
    )
    started = [*services.values(), stack.prometheus, *stack.portalpulse_processes]
    for service in started:
        service.launch()
    yield stack
    for service in started:
        service.process.kill()
    receiver.stop()


def replace_worker(stack, folder, code):
    """Replace the worker by other code that has ended."""
    stack.portalpulse_processes[0].process.kill()
    stack.portalpulse_processes[0].process = ChildProcess("The worker", [sys.executable, "-c", code], log=folder / "other.log")
    stack.portalpulse_processes[0].launch()
    wait_until(lambda: not stack.portalpulse_processes[0].process.running, timeout=30, what="the end of the worker")


@pytest.mark.parametrize("status", [1, 2])
def test_the_end_of_a_worker_is_reported_with_its_reason(stack, tmp_path, status):
    """The terminal gets cause, pause, limit and the last line of the log, which is the worker's own reason."""
    said = []
    supervision = Supervision(stack, say=said.append)
    replace_worker(stack, tmp_path, ENDS.format(status=status))
    supervision.tick()
    assert said == [
        f"The worker ended (exit code {status}). Restarting it in 1 s (restart 1 of at most 5 in 10 minutes).",
        f"The end of {tmp_path / 'other.log'}: the reason",
    ]


def test_the_limit_of_dead_letters_ends_the_stack(stack, tmp_path):
    """A worker that stopped at the dead-letter limit is not restarted: a person has to decide."""
    said = []
    supervision = Supervision(stack, say=said.append)
    replace_worker(stack, tmp_path, ENDS.format(status=DeadLetterLimitError.exit_code))
    stack.alertmanager.process.kill()
    with pytest.raises(UnavailableError, match="fail in the same way") as caught:
        supervision.tick()
    assert "the reason" in str(caught.value)
    assert said[-1] == "Alertmanager does not run: no alert about this is delivered."


@pytest.mark.parametrize(
    ("named", "advice"),
    [
        ("PORTALPULSE_KAFKA__GROUP", "start it again with PORTALPULSE_KAFKA__GROUP=... before it."),
        ("PORTALPULSE_DEAD_LETTERS__MAX_RATIO", "start it again with PORTALPULSE_DEAD_LETTERS__MAX_RATIO=... before it."),
        ("PORTALPULSE_KAFKA__BOOTSTRAP", "other.log."),  # the stack has a broker of its own
        ("nothing", "other.log."),
    ],
)
def test_a_setting_that_a_worker_names_is_given_to_the_stack(stack, tmp_path, named, advice):
    """Who reads "start the worker with another group" has not started the worker: the sentence says where the setting goes."""
    code = f"import sys; print('Start the worker with another {named}.'); sys.exit({DeadLetterLimitError.exit_code})"
    replace_worker(stack, tmp_path, code)
    stack.alertmanager.process.kill()
    with pytest.raises(UnavailableError, match="fail in the same way") as caught:
        Supervision(stack, say=lambda _line: None).tick()
    assert caught.value.remedy.endswith(advice)


def test_the_end_of_the_in_memory_broker_ends_the_stack(stack, tmp_path):
    """Its messages are lost with it."""
    stack.broker.process.kill()
    stack.broker = MemoryBroker(data_dir=tmp_path / "memory", log_dir=tmp_path)
    stack.alertmanager.process.kill()
    with pytest.raises(UnavailableError, match="losing the events"):
        Supervision(stack, say=lambda _line: None).tick()


@pytest.mark.parametrize("name", ["broker", "alertmanager", "prometheus"])
def test_every_other_service_is_restarted(stack, name):
    """Killed, it runs again after a second."""
    now = [100.0]
    supervision = Supervision(stack, say=lambda _line: None, monotonic=lambda: now[0])
    process = getattr(stack, name).process
    before = process.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not process.running, timeout=30, what="the end")
    supervision.tick()
    now[0] += 1.0
    supervision.tick()
    assert process.running
    assert process.pid != before
