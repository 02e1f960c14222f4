"""What a command says when ClickHouse cannot go on for now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from domain.errors import UnavailableError
from pipeline.settings import ClickHouseSettings, Settings
from pipeline.wiring import storage
from sinks.errors import Fatal, Retryable

ROOT = Path(__file__).parents[4]


class AnswerError(Exception):
    """An error of the driver with a code."""

    def __init__(self, code):
        super().__init__()
        self.code = code


def sentence_of(monkeypatch, url, error, cause):
    """The error of a command whose first call fails."""

    class Failing:
        def __init__(self, target):
            self.target = target

        def close(self):
            pass

    def failing(_clickhouse):
        raise error from cause

    monkeypatch.setattr(storage, "ClickHouse", Failing)
    monkeypatch.setattr(storage, "missing_migrations", failing)
    settings = Settings(clickhouse=ClickHouseSettings(url=SecretStr(url)))
    with pytest.raises(UnavailableError) as caught, storage.opened_storage(settings):
        pass
    return str(caught.value)


FOLDER = "chdb:/full/ch"


@pytest.mark.parametrize(("code", "remedy"), [(243, "Free space on the disk of this folder"), (76, "`ulimit -n 4096`")])
def test_the_embedded_engine_says_what_this_machine_lacks(monkeypatch, code, remedy):
    """A full disk or a missing descriptor is not a matter of users, quotas or servers."""
    said = sentence_of(monkeypatch, FOLDER, Retryable(f"the embedded ClickHouse in /full/ch: Code: {code}. x"), AnswerError(code))
    assert said.startswith(f"the embedded ClickHouse in /full/ch cannot go on for now: Code: {code}. x. ")
    assert remedy in said
    assert "quota" not in said


def test_an_error_of_the_system_in_the_embedded_engine_is_no_silence(monkeypatch):
    """The embedded engine cannot be started or reached elsewhere: it is this process."""
    said = sentence_of(monkeypatch, FOLDER, Retryable("x: [Errno 27] File too large"), OSError(27, "File too large"))
    assert "does not answer" not in said
    assert "`ulimit -f`" in said


def test_a_fatal_error_with_an_error_of_the_system_has_its_remedy(monkeypatch):
    """Not every code of ClickHouse for a missing descriptor is one that is waited for."""
    said = sentence_of(monkeypatch, FOLDER, Fatal("x: Code: 573. errno: 24, strerror: Too many open files"), AnswerError(573))
    assert "`ulimit -n 4096`" in said


def test_a_server_says_what_it_lacks(monkeypatch):
    """A quota is the user's, space is the server's, and a server that is not there is started."""
    url = "http://clickhouse:8123"
    said = sentence_of(monkeypatch, url, Retryable("Code: 201. x"), AnswerError(201))
    assert "ClickHouse at clickhouse:8123 answers but refuses for now: Code: 201. x. " in said
    assert "quota" in said
    assert "disk of the server" in sentence_of(monkeypatch, url, Retryable("Code: 243. x"), AnswerError(243))
    refused = sentence_of(monkeypatch, url, Retryable("[Errno 111] Connection refused"), OSError(111, "Connection refused"))
    assert "does not answer: [Errno 111] Connection refused. Start it" in refused


def test_an_engine_without_descriptors_names_the_limit(tmp_path):
    """The real engine under a real limit."""
    run = subprocess.run(
        ["bash", "-c", 'ulimit -n 40; exec "$@"', "-", sys.executable, "-m", "pipeline.cli", "migrate"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PORTALPULSE_CLICKHOUSE__URL": f"chdb:{tmp_path}/ch"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 2
    assert "Too many open files" in run.stderr
    assert "Raise the limit of open files of this process" in run.stderr
    assert "quota" not in run.stderr


def test_nobody_migrates_a_folder_that_this_process_has_opened(tmp_path):
    """A process that reads an embedded folder without tables ends with a sentence; waiting for a worker would have no end."""
    settings = Settings(clickhouse=ClickHouseSettings(url=SecretStr(f"chdb:{tmp_path / 'clickhouse'}")))
    with pytest.raises(UnavailableError, match="run `portalpulse migrate`"), storage.opened_storage(settings, wait=3600.0):
        pass


def test_a_lock_that_cannot_be_written_names_its_folder(tmp_path):
    """A full disk is met first by the file that names the owner of an embedded folder."""
    limited = 'ulimit -f 0; exec "$@"'
    command = ["bash", "-c", limited, "bash", sys.executable, "-B", "-m", "pipeline.cli", "migrate"]
    environment = {"PYTHONPATH": str(ROOT), "PORTALPULSE_CLICKHOUSE__URL": f"chdb:{tmp_path / 'clickhouse'}"}
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran
    assert f"The data folder {tmp_path / 'clickhouse'} cannot be written: File too large." in ran.stderr


@pytest.mark.parametrize(
    ("clickhouse", "variable"),
    [
        ({"url": "http://default@127.0.0.1:9/p"}, "PORTALPULSE_CLICKHOUSE__URL"),
        ({"shards": '[["http://default@127.0.0.1:9/p"]]'}, "PORTALPULSE_CLICKHOUSE__SHARDS"),
    ],
)
def test_a_storage_that_nobody_reaches_names_its_setting(clickhouse, variable):
    """The remedy names the setting that holds the address, of one server and of a cluster."""
    settings = Settings(clickhouse=clickhouse | {"timeout_seconds": 1.0})
    with pytest.raises(UnavailableError) as caught, storage.opened_storage(settings):
        pass
    assert variable in f"{caught.value} {caught.value.remedy}"
