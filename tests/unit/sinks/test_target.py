"""Addresses of ClickHouse."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from sinks.clickhouse.target import Target


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", ("h", 8123, False, "default", "", "portalpulse")),
        ("https://h", ("h", 8443, True, "default", "", "portalpulse")),
        ("http://u:p@h:9000/db", ("h", 9000, False, "u", "p", "db")),
        ("http://u@h/db/", ("h", 8123, False, "u", "", "db")),
        ("http://u%40x:p%3A%2F%40@h:1", ("h", 1, False, "u@x", "p:/@", "portalpulse")),
        ("http://default:@127.0.0.1:8123/portalpulse", ("127.0.0.1", 8123, False, "default", "", "portalpulse")),
        ("https://[::1]:8443/x", ("::1", 8443, True, "default", "", "x")),
    ],
)
def test_server_addresses(url, expected):
    """Host, port, user, password and database are read, with the usual ports and special characters."""
    target = Target.parse(url, timeout=3)
    assert (target.host, target.port, target.secure, target.user, target.password, target.database) == expected
    assert target.folder is None
    assert target.timeout == 3


@pytest.mark.parametrize(
    ("url", "folder"), [("chdb:/a/b", "/a/b"), ("chdb:///a/b", "/a/b"), ("chdb:data", None), ("chdb://data", None)]
)
def test_folders(url, folder):
    """A folder becomes absolute at once, so that a later change of directory has no effect."""
    target = Target.parse(url, timeout=3)
    assert target.folder == (Path(folder) if folder else Path.cwd() / "data")
    assert target.host == ""


@pytest.mark.parametrize(
    "url",
    [
        "chdb:",
        "chdb://",
        "",
        "h:8123",
        "tcp://h:9000",
        "http://",
        "http://:8123",
        "http://h:port",
        "http://h:99999",
        "http://h/a`b",
        "http://h/db?secure=1",
        "http://h/db#x",
        "http://u:p@ h/db",
        "http://[::1/db",
        "http://h:0/db",
    ],
)
def test_other_addresses_are_refused(url):
    """An address of another form is an error of one sentence."""
    with pytest.raises(ValueError, match=r"\w"):
        Target.parse(url, timeout=3)


def test_the_password_is_never_shown():
    """Neither repr nor the display name contains the password."""
    target = Target.parse("http://user:s3cret@h:1/db", timeout=3)
    assert "s3cret" not in repr(target)
    assert "s3cret" not in str(target)
    assert target.display_name == "ClickHouse at h:1"
    assert Target.parse("chdb:/a", timeout=1).display_name == "the embedded ClickHouse in /a"


@pytest.mark.parametrize(
    "password", ["s3#cret", "s3/cret", "s3?cret", "s3#c:r@et", "s3/c@h:1/db", "s3[cret", "s3\u2100cret", "s3:cret#1"]
)
def test_a_password_that_is_not_encoded_is_never_shown(password):
    """A password that makes the address ambiguous is an error with a remedy, and no part of it is in the error."""
    with pytest.raises(ValueError, match="percent-encoded") as refused:
        Target.parse(f"http://user:{password}@host:8123/db", timeout=3)
    shown = "".join(traceback.format_exception(refused.value))
    assert "s3" not in shown
    assert "cret" not in shown
