"""A stack keeps everything in its own folder and works with any folder name and any locale."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import unicodedata

import httpx
import pytest

from deploy.native.processes import wait_until
from pipeline.addresses import read_addresses

NAME = (
    "-~ d [1]*?{a,b},g\\tb\\u0041 #c%20$HOME${x}`'\":;=&|<>! [red]"
    + unicodedata.normalize("NFC", " dữ liệu")
    + unicodedata.normalize("NFD", " hồ sơ")
    + " 📈"
)
COMMAND = [sys.executable, "-m", "pipeline.cli"]


def environment(locale):
    """The environment of this process, in another locale."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))} | {"LC_ALL": locale}


def run(*words, cwd, locale):
    """Run a command."""
    ran = subprocess.run(words, cwd=cwd, env=environment(locale), capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class Stack:
    """A stack on ``data``, started in ``cwd``."""

    def __init__(self, data, *, cwd, locale, output):
        self.output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--data", data], cwd=cwd, env=environment(locale), stdout=out, stderr=subprocess.STDOUT
            )

    def said(self):
        return self.output.read_text(encoding="utf-8")

    def ready(self, folder):
        def addresses():
            assert self.process.poll() is None, self.said()
            return read_addresses(folder)

        found = wait_until(addresses, timeout=180, what="addresses.json")
        wait_until(lambda: "Notifications follow" in self.said(), timeout=90, what="the last line of the start")
        return found

    def end(self):
        self.process.terminate()
        assert self.process.wait(90) == 0, self.said()


def stored(addresses):
    """The number of events in the database once all of them are tallied."""
    events = httpx.get(f"{addresses.http}/api/v1/status", trust_env=False, timeout=60).json()["events"]
    return events["stored"] if events["stored"] == events["tallied"] else 0


@pytest.mark.long
@pytest.mark.parametrize(("first", "second"), [("C", "C.UTF-8")])
def test_a_folder_may_have_any_name_under_any_locale(tmp_path, first, second):
    """Under any name rules load, events count, hints can be pasted and addresses answer; a restart elsewhere finds the data."""
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    base.mkdir()
    elsewhere.mkdir()
    folder = base / NAME
    started = []
    try:
        started.append(Stack(NAME, cwd=base, locale=first, output=tmp_path / "first.out"))
        addresses = started[0].ready(folder)
        groups = httpx.get(f"{addresses.prometheus}/api/v1/rules", trust_env=False).json()["data"]["groups"]
        assert {group["name"] for group in groups} == {"agency", "pipeline", "meta"}
        printed = re.findall(r"http://\S+", started[0].said())
        assert len(printed) == 5
        for url in printed:
            assert httpx.get(url, trust_env=False, timeout=60, follow_redirects=True).status_code == 200, url
        (hint,) = re.findall(r"^Next, in another terminal: (.*)$", started[0].said(), re.MULTILINE)
        run(*shlex.split(hint), "--rate", "200", "--shape", "steady", "--duration", "2", cwd=elsewhere, locale="POSIX")
        count = wait_until(lambda: stored(addresses), timeout=150, what="the events to be counted")
        assert count > 200
        year = re.search(r"from=([\d-]+)&to=([\d-]+)", started[0].said()).groups()
        period = ["--from", year[0], "--to", year[1]]
        assert "Hà Nội" in run(*COMMAND, "report", *period, "--partial", "--data", folder, cwd=elsewhere, locale="C.UTF-8")
        started[0].end()
        started.append(Stack(folder, cwd=elsewhere, locale=second, output=tmp_path / "second.out"))
        addresses = started[1].ready(folder)
        assert stored(addresses) == count
        started[1].end()
    finally:
        for stack in started:
            stack.process.kill()
            stack.process.wait()
    assert [path.name for path in base.iterdir()] == [NAME]
    assert list(elsewhere.iterdir()) == []
    topic = "dvc.dossier-events.v1"
    assert {path.name for path in (folder / "kafka" / "logs").glob(f"{topic}-*")} == {f"{topic}-{number}" for number in range(4)}
    assert (folder / "clickhouse" / "store").is_dir()
    assert (folder / "prometheus" / "tsdb").is_dir()
    assert (folder / "alertmanager" / "storage").is_dir()
    assert (folder / "notifications.ndjson").is_file()
