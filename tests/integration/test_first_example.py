"""The first example of the README shows an alert on the board within two minutes, even on a Sunday night."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time

import httpx
import pytest

from deploy.native.processes import wait_until
from deploy.native.programs import PROJECT
from deploy.native.services.receiver import FILE_NAME, Notifications
from pipeline.addresses import read_addresses

#: The office shape is at its lowest.
NIGHT = "2026-03-01T03:00:00+07:00"
#: What the README promises.
WITHIN = 120.0


def example(command):
    """The arguments of the first line of the README's "Use it" that runs ``command``, without the program."""
    block = re.search(r"## Use it\n\n((?: {4}.*\n)+)", (PROJECT / "README.md").read_text(encoding="utf-8"))[1]
    line = next(line for line in block.splitlines() if line.split()[:2] == ["portalpulse", command])
    return shlex.split(line.partition("#")[0])[1:]


@pytest.fixture
def launched(tmp_path):
    """Starts commands with a clock that shows night and with their output in files; stops them at the end."""
    processes = []

    def launch(*words):
        with (tmp_path / f"{words[0]}.out").open("wb") as out:
            command = [sys.executable, "-m", "pipeline.cli", *words, "--data", tmp_path / "stack"]
            environment = {"PATH": "/usr/bin:/bin", "PORTALPULSE_CLOCK": NIGHT}
            processes.append(subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=out, stderr=subprocess.STDOUT))
        return processes[-1]

    yield launch
    for process in reversed(processes):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        process.wait(90)


@pytest.mark.long
def test_the_first_example_alerts_within_two_minutes(launched, tmp_path):
    """After `up` and `produce` as in the README exactly the alert of the named agency is delivered, and open on the board."""
    folder = tmp_path / "stack"
    up = launched(*example("up"))

    def ready():
        assert up.poll() is None, (tmp_path / "up.out").read_text()
        return read_addresses(folder)

    wait_until(ready, timeout=180, what="the stack")
    words = example("produce")
    agency = words[words.index("--collapse") + 1]
    begun = time.monotonic()
    produce = launched(*words)

    def delivered():
        assert produce.poll() is None, (tmp_path / "produce.out").read_text()
        return Notifications(folder / FILE_NAME).agencies("AgencyRateLow", rungs=("zero", "below5"))

    assert wait_until(delivered, timeout=WITHIN, what="the alert", children=[]) == {agency}
    assert time.monotonic() - begun < WITHIN
    wait_until(
        lambda: "CẢNH BÁO" in (tmp_path / "up.out").read_text(encoding="utf-8"), timeout=10, what="the line on the terminal"
    )
    assert "expect its alert after about" in (tmp_path / "produce.out").read_text()

    def on_the_board():
        shown = httpx.get(f"{read_addresses(folder).http}/api/v1/snapshot", timeout=10, trust_env=False).raise_for_status().json()
        low = {code for code, row in shown["agencies"].items() if row["state"] in {"zero", "below5"} and row["denominator"] >= 30}
        open_alerts = {
            each["agency"] for each in shown["alerts"]["open"] if each["alert"] == "AgencyRateLow" and not each["muted"]
        }
        return low == open_alerts == {agency}

    wait_until(on_the_board, timeout=30, what="the alert to be open on the board, and no other")
