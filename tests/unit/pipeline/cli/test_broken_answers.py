"""Proxies and processes of other releases between a command and its process: one sentence that says so and what to do."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.addresses import SIGNATURE
from pipeline.cli import main as cli
from producers.measuring.service import Service
from tests.cases import FOLDER

PERIOD = ("--from", "2024-01-01", "--to", "2024-01-02")
COMMANDS = {
    "report": PERIOD,
    "findings": PERIOD,
    "audit": (),
    "dossier": ("000.00.12.H17-240102-0001",),
    "catalogue show": (),
    "catalogue load": (str(FOLDER / "02_thai_nguyen_catalogue.csv.gz"),),
    "dead-letters list": (),
    "dead-letters show": ("topic", "0", "1"),
    "dead-letters replay": ("--dry-run",),
    "retention show": (),
    "retention apply": ("--dry-run",),
}
#: How a process of portalpulse signs, and what a proxy or another release makes of its answer: status, body, more headers.
SIGNED, HTML = {SIGNATURE: "9.9"}, b"<html><h1>502 Bad Gateway</h1></html>"
FIELDS = "answers without the field"
BETWEEN = "a proxy or another program in between"
ANSWERS = {
    "half of the JSON": (200, b'{"rows": [1, 2', SIGNED, BETWEEN),
    "nothing": (200, b"", SIGNED, BETWEEN),
    "a list": (200, b"[1]", SIGNED, BETWEEN),
    "a text": (200, b'"x"', SIGNED, BETWEEN),
    "JSON without end": (200, b"[" * 100_000, SIGNED, BETWEEN),
    "no gzip": (200, b"{}", SIGNED | {"Content-Encoding": "gzip"}, "Content-Encoding"),
    "half of a gzip": (200, gzip.compress(b'{"rows": []}' * 9)[:-20], SIGNED | {"Content-Encoding": "gzip"}, BETWEEN),
    "no field": (200, b"{}", SIGNED, FIELDS),
    "a page of a proxy": (502, HTML, {}, BETWEEN),
    "a login": (302, b"", {"Location": "https://login.invalid/"}, BETWEEN),
    "a part": (206, b"{", SIGNED, "answers 206"),
}  # fmt: skip


class Proxy(BaseHTTPRequestHandler):
    """Signs /healthz as the process does, and answers everything else with what the test has set."""

    def do_GET(self):
        status, body, headers = (200, b"{}", SIGNED) if self.path == "/healthz" else self.server.answer
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def proxy():
    """A signed process whose answers are the ones that a test sets."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_a_proxy_or_another_release_gives(proxy, monkeypatch, tmp_path, capsys, kind):
    """Whatever a proxy makes of an answer, and whatever another release answers, a command says so in one sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(proxy.server_port))
    *proxy.answer, words = ANSWERS[kind]
    for command, arguments in COMMANDS.items():
        monkeypatch.setattr(sys, "argv", ["portalpulse", *command.split(), *arguments])
        status = cli.run()
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("portalpulse: ")]
        assert (status, len(said)) == (2, 1), (command, said)
        assert "Unexpected" not in said[0], command
        expected = "did not answer with a report" if command == "report" and words == FIELDS else words
        assert expected in said[0] or words in said[0], command


#: The fields that commands read first, with values of one type each.
FIELDS_READ = (
    *("period", "compared_with", "units", "figures", "by", "return_at_counter", "completeness", "rows", "parts", "excluded"),
    *("findings", "examples", "shards", "2024-01-01", "day", "counts", "agencies", "entries", "not_recounted", "letters", "next"),
    *("code", "decisions", "online", "level", "level_from", "settled_full", "settled_full_any_return", "due_at", "milestones"),
    *("messages", "refused", "replayed", "sent", "left", "overtaken", "added", "changed", "ended", "agencies_loaded", "missing"),
)


#: One value of each type in the fast run; the others are long.
VALUES = [
    *(7, "12", None, True, [], {"a": 1}),
    *(pytest.param(value, marks=pytest.mark.long) for value in (1e308, "abc", {}, [1], [[]])),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_of_other_types(proxy, monkeypatch, tmp_path, capsys, value):
    """A proxy that makes texts of numbers, or nulls and lists of anything: one sentence, and never an unexpected error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(proxy.server_port))
    proxy.answer = (200, json.dumps(dict.fromkeys(FIELDS_READ, value)).encode(), SIGNED)
    refused = 0
    for command, arguments in COMMANDS.items():
        monkeypatch.setattr(sys, "argv", ["portalpulse", *command.split(), *arguments])
        status = cli.run()
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("portalpulse: ")]
        assert cli.UNEXPECTED not in "".join(said), (command, said)
        assert (status, len(said)) in {(0, 0), (1, 0), (2, 1), (3, 1)}, (command, status, said)
        refused += any("cannot use" in line or FIELDS in line or "did not answer with" in line for line in said)
    assert refused


@pytest.mark.parametrize(
    "url", ["http://h:99999", "http://[::1", "http://h:x", "http://", "h", "http://\udce9:1", "http://" + "x" * 300]
)
def test_an_address_that_no_process_can_have(url):
    """An address that cannot be used is named; the library's own errors are not passed on."""
    with pytest.raises(Exception, match=r"is not an address of a running process|does not answer"):
        Service(url).counted()
