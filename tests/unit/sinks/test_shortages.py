"""What is missing has its own remedy, on a server and in the embedded engine."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from sinks.clickhouse import shortages
from sinks.clickhouse.error_codes import RETRYABLE
from sinks.clickhouse.shortages import SHORTAGES, remedy_of
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, Retryable

SERVER = Target(1.0, host="clickhouse", port=8123)
EMBEDDED = Target(1.0, folder=Path("/data"))


class AnswerError(Exception):
    """An error of the driver with a code."""

    def __init__(self, code=None):
        super().__init__()
        self.code = code


def an_error(code=None, text="not now", kind=Retryable):
    """An error of a call, as the client raises it."""
    error = kind(text)
    error.__cause__ = AnswerError(code)
    return error


def test_every_code_that_is_waited_for_has_one_remedy():
    """No code is in two groups or in none."""
    listed = [code for shortage in SHORTAGES for code in shortage.codes]
    assert sorted(listed) == sorted(RETRYABLE)


@pytest.mark.parametrize("code", RETRYABLE)
def test_the_embedded_engine_has_no_users_and_no_server(code):
    """A remedy for the embedded engine names nothing that it does not have."""
    remedy = remedy_of(an_error(code), EMBEDDED)
    assert remedy
    assert not [word for word in ("user", "quota", "server", "Keeper") if word in remedy]
    assert remedy_of(an_error(code), SERVER)


@pytest.mark.parametrize(
    ("code", "server", "embedded"),
    [
        (243, "disk of the server", "disk of this folder"),
        (76, "LimitNOFILE", "ulimit -n"),
        (241, "max_memory_usage", "Free memory"),
        (201, "quota", "again"),
        (252, "merges", "merges"),
        (999, "Keeper", "again"),
    ],
)
def test_what_is_missing_is_named(code, server, embedded):
    """Space, descriptors, memory, a quota and other parts are not one another."""
    assert server in remedy_of(an_error(code), SERVER)
    assert embedded in remedy_of(an_error(code), EMBEDDED)


@pytest.mark.parametrize(
    "text",
    [
        "Cannot open epoll descriptor: , errno: {number}, strerror: x",
        "[Errno {number}] x",
        'std::exception. Code: 1001, e.what() = filesystem error: in directory iterator open: {words} ["/ch/store/"].',
    ],
    ids=["ClickHouse", "Python", "C++"],
)
@pytest.mark.parametrize("kind", [Retryable, Fatal])
@pytest.mark.parametrize(
    ("number", "shortage"),
    [
        (errno.EMFILE, "DESCRIPTORS"),
        (errno.ENOSPC, "DISK"),
        (errno.ENOMEM, "MEMORY"),
        (errno.EFBIG, "_FILE_SIZE"),
        (errno.EACCES, "_PERMISSION"),
    ],
    ids=lambda value: os.strerror(value) if isinstance(value, int) else value,
)
def test_an_error_of_the_system_decides_before_the_code(text, kind, number, shortage):
    """ClickHouse has several codes for a descriptor that is missing, some of which are not listed."""
    error = an_error(573, text.format(number=number, words=os.strerror(number)), kind)
    assert remedy_of(error, EMBEDDED) == getattr(shortages, shortage).embedded
    assert remedy_of(error, SERVER) == getattr(shortages, shortage).server


def test_what_is_not_known_has_no_remedy():
    """An unknown code without an error of the system is not explained."""
    assert remedy_of(an_error(1), SERVER) == ""
    assert remedy_of(an_error(), EMBEDDED) == ""


def test_an_engine_that_does_not_say_why_it_does_not_open_may_have_a_full_disk(monkeypatch, tmp_path):
    """ChDB then gives code 36 and no reason; with free space nothing is guessed."""
    target, free = Target(1.0, folder=tmp_path), [4096]
    monkeypatch.setattr(shortages.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    error = an_error(36, "Error initializing EmbeddedServer: . (BAD_ARGUMENTS)", Fatal)
    assert remedy_of(error, target).startswith("Free space on the disk of this folder")
    assert remedy_of(error, SERVER) == ""
    free[0] = 1 << 40
    assert remedy_of(error, target) == ""
