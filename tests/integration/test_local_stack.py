"""``portalpulse up`` with every real service: addresses, failures, signals, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import psutil
import pytest

from deploy.native.processes import wait_until
from deploy.native.programs import PROJECT
from deploy.native.services.receiver import FILE_NAME, Notifications
from pipeline.addresses import owner_of, read_addresses

#: A stack must have ended this long after a signal (it takes a few seconds; a stop that hangs never ends).
STOP_SECONDS = 60


class Up:
    """One ``portalpulse up`` on a folder of its own."""

    def __init__(self, folder, *arguments, settings=None):
        self.folder = folder
        self.output = folder.with_suffix(".out")
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "up", "--data", folder, *arguments],
                cwd=PROJECT,
                env=os.environ | (settings or {}),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.family = []

    def ready(self):
        def addresses():
            assert self.process.poll() is None, self.said()
            return read_addresses(self.folder)

        wait_until(addresses, timeout=120, what="addresses.json")
        wait_until(lambda: "Notifications follow" in self.said(), timeout=90, what="the last line of the start")
        self.record_children()
        return addresses()  # not before: what a killed stack left lies there until the new one writes its own

    def record_children(self):
        """Record the present children in addition to those recorded before."""
        self.family = list({*self.family, *psutil.Process(self.process.pid).children(recursive=True)})

    def said(self):
        return self.output.read_text(encoding="utf-8", errors="replace")

    def child(self, word):
        self.record_children()
        (found,) = [process for process in self.running_children() if word in " ".join(process.cmdline())]
        return found

    def delivered(self, *, status="firing"):
        """The alerts that were delivered."""
        return {entry.alert for entry in Notifications(self.folder / FILE_NAME).read() if entry.status == status}

    def running_children(self):
        return [process for process in self.family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def scraped(prometheus):
    """The jobs whose targets answer Prometheus."""
    found = httpx.get(f"{prometheus}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]
    return {target["labels"]["job"] for target in found if target["health"] == "up"}


@pytest.fixture
def start(tmp_path):
    """A factory of stacks; all of them are stopped at the end."""
    started = []

    def go(*arguments, name="stack", settings=None):
        started.append(Up(tmp_path / name, *arguments, settings=settings))
        return started[-1]

    yield go
    for up in started:
        if up.process.poll() is None:
            up.record_children()
        up.process.kill()
        up.process.wait()
        wait_until(lambda up=up: not up.running_children(), timeout=90, what="the children to die")


def answers(up, addresses):
    """Wait until all services of a stack answer at its addresses and are scraped."""
    for url in (f"{addresses.http}/readyz", f"{addresses.prometheus}/-/ready", f"{addresses.alertmanager}/-/ready"):
        assert httpx.get(url, trust_env=False).status_code == 200
    jobs = {"portalpulse", "prometheus", "alertmanager"}
    wait_until(lambda: scraped(addresses.prometheus) == jobs, timeout=90, what="every target to be scraped")
    assert owner_of(up.folder) == up.process.pid


def ends_on(up, addresses, number):
    """A signal ends a stack and all of its services in time, with status 0."""
    up.process.send_signal(number)
    assert up.process.wait(STOP_SECONDS) == 0, up.said()
    assert up.running_children() == []
    assert read_addresses(up.folder) is None
    assert addresses.prometheus in up.said()


@pytest.mark.long
def test_kill_9_leaves_no_child_and_no_lock(start):
    """After kill -9 every child has ended and the folder with its data can be used again at once.

    addresses.json of the new stack names services that answer, and SIGTERM ends all of them in time, with status 0.
    """
    up = start()
    up.ready()
    assert len(up.family) == 4
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not up.running_children(), timeout=90, what="the children to die")
    assert owner_of(up.folder) is None
    again = start()
    addresses = again.ready()
    answers(again, addresses)
    ends_on(again, addresses, signal.SIGTERM)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stack_answers_at_its_addresses_and_ends_on_a_signal(start, number):
    """addresses.json names services that answer; Ctrl-C and SIGTERM end all of them in time, with status 0."""
    up = start()
    addresses = up.ready()
    answers(up, addresses)
    ends_on(up, addresses, number)


@pytest.mark.long
def test_a_second_stack_on_the_same_folder_is_refused(start):
    """A second stack on a folder gets one sentence with the owner's process id; the first stack keeps running."""
    up = start()
    up.ready()
    second = start()
    assert second.process.wait(60) == 2
    assert f"in use by process {up.process.pid}" in second.output.read_text()
    assert "Traceback" not in second.output.read_text()
    assert read_addresses(up.folder) is not None


#: The services by a word of their command line, with their name in the terminal and the alert about them.
SERVICES = {
    "kafka.Kafka": ("Kafka", "KafkaDown"),
    "worker": ("The worker", "WorkerDown"),
    "prometheus.yml": ("Prometheus", "PrometheusDown"),
    "alertmanager.yml": ("Alertmanager", "AlertmanagerDown"),
}


def counted(up, addresses):
    """Send events through the running stack and wait until they are counted; returns how many events are stored."""
    send = [sys.executable, "-m", "pipeline.cli", "produce", "--scenario", "live", "--rate", "200", "--shape", "steady"]
    subprocess.run([*send, "--duration", "1", "--data", up.folder], check=True, capture_output=True, timeout=90)

    def stored():
        events = httpx.get(f"{addresses.http}/api/v1/status", trust_env=False, timeout=60).json()["events"]
        return events["stored"] if events["stored"] == events["tallied"] else 0

    return wait_until(stored, timeout=150, what="the events to be counted")


@pytest.mark.long
def test_services_that_die_or_hang_are_restarted(start):
    """Services that are killed together or suspended work again at the same addresses; every end and recovery is notified."""
    up = start("--quick-alerts", settings={"PORTALPULSE_WATCHDOG__STALL_SECONDS": "15"})
    addresses = up.ready()
    before = counted(up, addresses)
    for child in [up.child(word) for word in SERVICES]:
        child.kill()
    names = [name for name, _ in SERVICES.values()]
    wait_until(lambda: all(f"{name} answers again" in up.said() for name in names), timeout=180, what="every service to recover")
    for name in names:
        assert f"{name} ended (signal 9)" in up.said()
    between = counted(up, addresses)
    assert between > before
    alerts = {alert for _, alert in SERVICES.values()}
    wait_until(
        lambda: alerts <= up.delivered() & up.delivered(status="resolved"),
        timeout=90,
        what="every end and recovery to be delivered",
    )
    os.kill(up.child("kafka.Kafka").pid, signal.SIGSTOP)
    wait_until(lambda: up.said().count("The worker answers again") == 2, timeout=240, what="the worker to recover")
    assert "Kafka ran without answering" in up.said()
    assert counted(up, addresses) > between
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(STOP_SECONDS) == 0, up.said()
    assert up.running_children() == []
    assert "Traceback" not in up.said()


def test_a_service_that_cannot_be_restarted_ends_the_stack(start):
    """When a service cannot be restarted the alert is delivered first; then the stack ends with status 2 and the cause."""
    up = start("--memory-broker", "--quick-alerts")
    up.ready()
    os.kill(up.child("mock_kafka").pid, signal.SIGKILL)
    assert up.process.wait(STOP_SECONDS + 30) == 2, up.said()
    assert "The in-memory broker ended (signal 9). It cannot be restarted" in up.said()
    assert "StackStopped" in up.delivered()
    assert "Hệ thống dừng" in up.said()
    assert "Traceback" not in up.said()
    assert up.running_children() == []
    assert read_addresses(up.folder) is None


#: Settings of a shell for another system; 192.0.2.1 is reserved for documentation.
ANOTHER_SYSTEM = {
    "PORTALPULSE_CLICKHOUSE__URL": "https://prod:secret@192.0.2.1:8443/portalpulse",
    "PORTALPULSE_KAFKA__BOOTSTRAP": "192.0.2.1:9093",
    "PORTALPULSE_KAFKA__PASSWORD": "secret",
    "PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "PORTALPULSE_KAFKA__USER": "prod",
}


@pytest.mark.long
@pytest.mark.parametrize("arguments", [("--memory-broker",), ("--clickhouse", "server")])
def test_other_compositions_start(start, arguments):
    """The in-memory broker and the ClickHouse server work in the same stack, and the server is restarted after kill -9.

    Settings of the shell for another system are ignored and named; no secret is printed.
    """
    up = start(*arguments, settings=ANOTHER_SYSTEM)
    addresses = up.ready()
    assert httpx.get(f"{addresses.http}/api/v1/status", trust_env=False).json()["events"] == {"stored": 0, "tallied": 0}
    assert f"Settings that are ignored, because this stack has its own: {', '.join(ANOTHER_SYSTEM)}\n" in up.said()
    assert "secret" not in up.said()
    assert ("in memory only" in up.said()) == ("--memory-broker" in arguments)
    if "server" in arguments:
        before = counted(up, addresses)
        for child in [up.child("clickhouse_child"), up.child("exporter")]:
            child.kill()
        names = ("ClickHouse", "The exporter")
        wait_until(lambda: all(f"{name} answers again" in up.said() for name in names), timeout=120, what="both to recover")
        assert counted(up, addresses) > before
