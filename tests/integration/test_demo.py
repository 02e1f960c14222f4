"""``portalpulse demo`` with every real service, in bounded time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import httpx
import pytest

from deploy.native.demo.figures import ALERT, RUNGS, WINDOW
from deploy.native.processes import wait_until
from deploy.native.programs import PROJECT
from deploy.native.services.receiver import Notifications
from pipeline.addresses import read_addresses
from producers.portals.scenarios import load_scenario

#: Generous: on a machine of its own it takes about 40 s.
DEMO_SECONDS = 240


def demo(folder, *arguments, output):
    """A started demo on ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "demo", "--data", folder, *arguments],
        cwd=PROJECT,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.long
@pytest.mark.timeout(DEMO_SECONDS + 60)
def test_the_demo_passes_with_status_0(tmp_path):
    """Every figure is exact, exactly the agencies below 5 % are notified, and no process is left."""
    folder = tmp_path / "demo"
    with demo(folder, "--exit-when-done", output=subprocess.PIPE) as process:
        said, _ = process.communicate(timeout=DEMO_SECONDS)
    assert process.returncode == 0, said
    assert "Passed" in said
    assert "87 of 87 figures exact" in said
    assert "✗" not in said
    scenario = load_scenario("emc-2024")
    delivered = Notifications(folder / "notifications.ndjson").agencies(ALERT, window=WINDOW, rungs=RUNGS)
    assert delivered == scenario.zero | scenario.above_0_below_5
    assert read_addresses(folder) is None


@pytest.mark.long
@pytest.mark.timeout(DEMO_SECONDS + 60)
def test_without_the_flag_everything_stays_up_until_ctrl_c(tmp_path):
    """After the result the stack keeps running; Ctrl-C ends it with the status of the result."""
    folder = tmp_path / "demo"
    log = tmp_path / "demo.out"
    with log.open("w") as output, demo(folder, output=output) as process:

        def up():
            assert process.poll() is None, log.read_text()
            return "stop with Ctrl-C" in log.read_text() and read_addresses(folder)

        addresses = wait_until(up, timeout=DEMO_SECONDS, what="the demo's result")
        report = httpx.get(
            f"{addresses.http}/api/v1/report", params={"from": "2024-01-01", "to": "2024-08-20"}, trust_env=False
        ).json()
        (da_nang,) = [row for row in report["rows"] if row["code"] == "H17"]
        assert da_nang["indicators"]["I1"]["percent"] == "64.94", json.dumps(da_nang)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0, log.read_text()


def test_the_demo_does_not_touch_another_folder(tmp_path):
    """A folder with files of others is refused with status 2 and not changed."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with demo(tmp_path, "--exit-when-done", output=subprocess.PIPE) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "not made by the demo" in " ".join(said.split())
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
