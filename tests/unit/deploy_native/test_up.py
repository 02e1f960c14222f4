"""The output of ``up`` can be copied and read."""

from __future__ import annotations

import io
import os
import shlex
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from dashboards.rules import generate as rules
from deploy.native.services.receiver import Notification
from deploy.native.up import answering_page, hint_for, notification_line, say
from pipeline.hints import command, program


@pytest.fixture
def narrow():
    """A narrow terminal and its output."""
    file = io.StringIO()
    return Console(file=file, width=40, force_terminal=False), file


@pytest.mark.parametrize("name", ["d [1]", "[/b]", "[red]x", "n" * 120, "a 'b' \"c\" $HOME `x` \\t", "dữ liệu"])
def test_a_path_is_printed_unchanged(narrow, name):
    """No path is interpreted as markup, cut or wrapped, even in a narrow terminal."""
    console, file = narrow
    say(console, f"/srv/{name}")
    assert file.getvalue() == f"/srv/{name}\n"


@pytest.mark.parametrize("name", ["plain", "d [1]", "a 'b' \"c\" $HOME `x` \\t", "-x", "~", "a;b&c|d>e", "*", "dữ liệu"])
def test_a_hint_can_be_pasted_into_a_shell(name):
    """The shell parses a hint correctly for any name of the folder."""
    words = shlex.split(command("produce", "--data", Path("/srv") / name))
    assert words[-3:] == ["produce", "--data", f"/srv/{name}"]
    assert os.access(words[0], os.X_OK) or words[0] == "portalpulse"


def test_the_program_is_named_as_the_shell_finds_it(tmp_path):
    """By name when it is on PATH, else by its path; without a script as a module."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "portalpulse"
    python = str(tmp_path / "bin" / "python")
    assert program(executable=python) == [python, "-m", "pipeline.cli"]
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert program(executable=python, path="/nowhere", directory=tmp_path) == ["bin/portalpulse"]
    assert program(executable=python, path="/nowhere", directory=tmp_path / "other") == [str(script)]
    assert program(executable=python, path=str(tmp_path / "bin")) == ["portalpulse"]
    other = tmp_path / "other" / "portalpulse"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert program(executable=python, path=str(other.parent), directory=tmp_path) == ["bin/portalpulse"]
    assert program()[0].startswith((str(Path(sys.executable).parent), ".venv", "portalpulse"))


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        ("firing", {"description": "Hà Nội (H26): 2,88 %\n ngưỡng 5 %"}, "● 05:13:32 CẢNH BÁO Hà Nội (H26): 2,88 % ngưỡng 5 %"),
        ("resolved", {"summary": "Tỷ lệ thấp."}, "○ 05:13:32 KẾT THÚC Tỷ lệ thấp."),
        ("firing", {}, "● 05:13:32 CẢNH BÁO AgencyRateLow"),
    ],
)
def test_a_notification_has_one_language_and_the_time_of_viet_nam(status, said, expected):
    """Vietnamese text and time, as in the message itself."""
    entry = Notification("2026-11-25T22:13:32.500+00:00", "agencies", status, {"alertname": "AgencyRateLow"}, said)
    assert notification_line(entry).plain == expected


def test_an_empty_stack_says_how_to_send_the_first_events(tmp_path):
    """The alert about a storage without events is normal for a new stack: the line below it is the command that ends it."""
    stack = SimpleNamespace(folder=SimpleNamespace(path=tmp_path))
    entry = Notification("2026-11-25T22:13:32.500+00:00", "operations", "firing", {"alertname": "NoEventsYet"}, {})
    assert "alert: NoEventsYet" in (Path(rules.__file__).parent / "pipeline.yml").read_text()
    assert f"produce --scenario live --data {tmp_path}" in hint_for(entry, stack)
    assert hint_for(replace(entry, status="resolved"), stack) is None
    assert hint_for(replace(entry, labels={"alertname": "PipelineStalled"}), stack) is None


@pytest.fixture
def site():
    """A server with some pages: path -> text."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(pages.get(self.path, "").encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", pages
    server.shutdown()
    server.server_close()


def test_the_best_page_that_exists_is_named(site):
    """A page that is missing, or that only says that it is not included, is skipped."""
    base, pages = site
    assert answering_page(base, ("/", "/api")) == base
    pages["/"] = "The Debian package of the alertmanager does not include a web application."
    pages["/api"] = "[]"
    assert answering_page(base, ("/", "/api")) == f"{base}/api"
    pages["/"] = "<html>"
    assert answering_page(base, ("/", "/api")) == f"{base}/"
