"""Every command in every kind of surroundings that a user can cause: one sentence and one status, never a traceback."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer

from pipeline.cli import main as cli
from pipeline.cli.main import UNEXPECTED, create_cli
from tests.cases import FOLDER

ROOT = Path(__file__).parents[4]
PERIOD = ("--from", "2024-01-01", "--to", "2024-01-02")
#: Arguments with which a command does something without other parts; FOLDER is the folder of the case.
ARGUMENTS = {
    "worker": [],
    "exporter": [],
    "migrate": [],
    "offsets save": ["offsets.json"],
    "offsets restore": ["no-such-file.json"],
    "workers list": [],
    "workers remove": ["worker-1"],
    "report": [*PERIOD],
    "audit": [],
    "dossier": ["000.00.12.H17-240102-0001"],
    "findings": [*PERIOD],
    "catalogue load": [str(FOLDER / "02_thai_nguyen_catalogue.csv.gz")],
    "catalogue show": [],
    "catalogue check": [str(FOLDER / "02_thai_nguyen_catalogue.csv.gz")],
    "schema": [],
    "indicators": [],
    "produce": ["--scenario", "feb-2025", "--events", "50", "--output", "-"],
    "replay": ["no-such-file.ndjson"],
    "load": ["--help"],
    "up": ["--data", "a-file"],
    "demo": ["--data", "a-file"],
    "seeds": ["--data", "a-file"],
    "rehearse": ["--data", "a-file"],
    "doctor": [],
    "boards render": ["--help"],  # writes into the source
    "boards check": [],
    "boards push": ["--url", "http://127.0.0.1:1", "--token", "x"],
    "alerts build": ["--help"],  # writes into the source
    "alerts check": [],
    "alerts render": ["--out", "rendered", "--webhook", "http://127.0.0.1:1/hook"],
    "alerts example": [],
    "alerts simulate": ["--agency", "H17", "--rate", "3", "--recipients", "no-such-file.yaml"],
    "alerts year": ["--year", "1900"],
    "alerts backtest": [*PERIOD],
    "alerts test": ["somebody", "--recipients", "no-such-file.yaml"],
    "relay": ["--recipients", "no-such-file.yaml"],
    "watchdog": ["--recipients", "no-such-file.yaml"],
    "dead-letters list": [],
    "retention show": [],
    "retention apply": ["--dry-run"],
    "dead-letters show": ["topic", "0", "1"],
    "dead-letters replay": ["--dry-run"],
    "dead-letters drop": ["--reason", "empty", "--yes"],
    "dead-letters accept": ["--partition", "0", "--until", "5"],
}
#: Commands that ask a process of portalpulse over HTTP.
ASKING = [
    "report",
    "alerts backtest",
    "audit",
    "dossier",
    "findings",
    "catalogue load",
    "catalogue show",
    "dead-letters list",
    "dead-letters show",
    "dead-letters replay",
    "dead-letters drop",
    "dead-letters accept",
    "retention show",
    "retention apply",
    "doctor",
]
#: Hosts of all kinds where no process answers.
HOSTS = ["fd00::2", "ví dụ", "::1", "[::1]", "no such host", "x" * 300, "", "%", "127.0.0.1:80", "http://h"]
#: Commands that open a ClickHouse server.
STORING = [
    *("worker", "exporter", "migrate", "audit", "findings", "catalogue load", "catalogue show"),
    *("dead-letters list", "dead-letters accept", "retention show", "doctor"),
]
#: Commands that read or write below the data folder.
FOLDERS = [
    "worker",
    "exporter",
    "migrate",
    "report",
    "audit",
    "findings",
    "catalogue load",
    "dead-letters list",
    "dead-letters accept",
    "up",
    "demo",
    "seeds",
    "doctor",
]


def commands():
    """Every command, by its words."""

    def below(command, words):
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, [*words, name])
        if not hasattr(command, "commands"):
            yield " ".join(words)

    return list(below(typer.main.get_command(create_cli()), []))


@dataclass
class Case:
    """One command in one kind of surroundings."""

    command: str
    surroundings: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stdin: str = "usual"
    stdout: str = "usual"
    stderr: str = "usual"
    encoding: str = "utf-8"

    @property
    def name(self):
        return f"{self.command} | {self.surroundings}"


class WrongServer(threading.Thread):
    """A server on loopback that is another program; ``answer`` is sent to every client, after its request or at once."""

    def __init__(self, answer, *, greets=False, answers=True, tls=None):
        super().__init__(daemon=True)
        self._answer, self._greets, self._answers, self._tls = answer, greets, answers, tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._held = []
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            if not self._answers:
                self._held.append(connection)
                return
            if not self._greets:
                connection.recv(65_536)
            connection.sendall(self._answer)
        except OSError:
            pass
        else:
            connection.close()

    def close(self):
        self._socket.close()


def http(body, kind="text/html", status="200 OK", *more):
    """An HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


#: One fixture runs every command in every surrounding; the first test waits for all of them, on slow machines, too.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wrong_servers(tmp_path_factory):
    """Servers that are not part of portalpulse, by kind."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    servers = {
        "a page": WrongServer(http("<html>đăng nhập</html>".encode())),
        "an empty answer": WrongServer(http(b"")),
        "a list": WrongServer(http(b"[1, 2]", "application/json")),
        "an object": WrongServer(http(b"{}", "application/json")),
        "a healthy stranger": WrongServer(http(b'{"healthy": true}', "application/json")),
        "a stranger of like shape": WrongServer(
            http(b'{"healthy": true, "rows": 7, "counts": [], "letters": {}, "days": [], "period": 1}', "application/json")
        ),
        "a redirection": WrongServer(http(b"", "text/html", "302 Found", "Location: https://login.invalid/")),
        "a refusal": WrongServer(http(b"<html>", "text/html", "403 Forbidden")),
        "a fault": WrongServer(http(b'{"error": {"deep": 1}}', "application/json", "500 Internal Server Error")),
        "half a number": WrongServer(http(b"\xff\xfe{", "application/json")),
        "no HTTP": WrongServer(b"SSH-2.0-OpenSSH_9.2p1\r\n", greets=True),
        "nothing at all": WrongServer(b"", greets=True),
        "silence": WrongServer(b"", answers=False),
        "TLS": WrongServer(http(b"{}"), tls=tls),
    }
    yield {name: server.port for name, server in servers.items()}
    for server in servers.values():
        server.close()


#: Settings that point to no existing part.
USUAL = {
    "PORTALPULSE_HTTP__PORT": "1",
    "PORTALPULSE_KAFKA__BOOTSTRAP": "127.0.0.1:1",
    "PORTALPULSE_CLICKHOUSE__URL": "http://u:s3cret@127.0.0.1:1/x",
    "PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS": "1",
}


def a_case(command, surroundings, *more, environment=None, **streams):
    """A command with its usual arguments and ``more``."""
    arguments = [*command.split(), *ARGUMENTS[command], *more]
    return Case(command, surroundings, arguments, USUAL | (environment or {}), **streams)


def streams_and_settings(command):
    """Encodings, closed and full streams, and arguments that no command takes."""
    words = command.split()
    yield Case(command, "an unknown option", [*words, "--no-such-option"], USUAL)
    yield a_case(command, "a wrong setting", environment={"PORTALPULSE_KAFKA__PARTITIONS": "many"})
    yield a_case(command, "output in cp1258", encoding="cp1258")
    for encoding in ("ascii", "iso-8859-1"):
        yield Case(command, f"help in {encoding}", [*words, "--help"], USUAL, encoding=encoding)
    for stdout in ("closed", "full", "gone"):
        yield Case(command, f"help, output {stdout}", [*words, "--help"], USUAL, stdout=stdout)
        yield a_case(command, f"output {stdout}", stdout=stdout)
    for stderr in ("closed", "full", "gone"):
        yield a_case(command, f"errors {stderr}", stderr=stderr)
    yield a_case(command, "input closed", stdin="closed")
    yield a_case(command, "everything closed", stdin="closed", stdout="closed", stderr="closed")


#: The surroundings of the cases that always run: every secret is set, and everything is logged that a library would say.
EVERY_SECRET = "every secret at debug"


def secrets_of_settings(command):
    """Every secret is set, nothing that it is for can be reached, and the log is as long as it can be."""
    secrets = {
        "PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PORTALPULSE_KAFKA__USER": "u",
        "PORTALPULSE_KAFKA__PASSWORD": "s3cret",
        "PORTALPULSE_CLICKHOUSE__URL": "http://u:s3cret@127.0.0.1:1/x",
        "PORTALPULSE_HTTP__READ_TOKEN": "s3cret-that-reads-16",
        "PORTALPULSE_HTTP__OPERATE_TOKEN": "s3cret-of-at-least-16",
        "PORTALPULSE_NOTIFY__DELIVERY_TOKEN": "s3cret-of-deliveries",
        "PORTALPULSE_NOTIFY__SMTP_PASSWORD": "s3cret",
        "PORTALPULSE_NOTIFY__TELEGRAM_TOKEN": "1:s3cret",
        "PORTALPULSE_LOG__LEVEL": "debug",
        "GRAFANA_TOKEN": "s3cret",
    }
    yield a_case(command, EVERY_SECRET, environment=secrets)


def wrong_processes(command, servers):
    """Other programs, and hosts of all kinds, instead of the running process."""
    embedded = {"PORTALPULSE_CLICKHOUSE__URL": "chdb:no-such-folder"}
    for name, port in servers.items():
        yield a_case(command, f"{name} instead of the process", environment=embedded | {"PORTALPULSE_HTTP__PORT": str(port)})
    for host in HOSTS if command in ("report", "doctor") else HOSTS[:2]:
        yield a_case(command, f"host {host[:20]!r}", environment=embedded | {"PORTALPULSE_HTTP__HOST": host})


def wrong_storages(command, servers):
    """Other programs, and invalid addresses, instead of ClickHouse."""
    for name, port in servers.items():
        for scheme in ("http", "https") if command == "migrate" else ("http",):
            url = {"PORTALPULSE_CLICKHOUSE__URL": f"{scheme}://u:s3cret@127.0.0.1:{port}/x"}
            yield a_case(command, f"{name} instead of ClickHouse, {scheme}", environment=url)
    for url in ("http://[::1]:1/x", "http://[::1", "http://h:99999/x", "http://h:x/x", "http://", "chdb:", "http://%/x"):
        yield a_case(command, f"ClickHouse at {url}", environment={"PORTALPULSE_CLICKHOUSE__URL": url})


def wrong_folders(command):
    """Files instead of folders, folders that cannot be written, and broken links."""
    for folder in ("a-file", "/proc/none", "x" * 300, "loop") if command != "doctor" else ("a-file/below", "loop"):
        place = {"PORTALPULSE_DATA_DIR": folder, "PORTALPULSE_CLICKHOUSE__URL": f"chdb:{folder}"}
        yield a_case(command, f"data folder {folder[:20]}", environment=place)
        if command not in ("worker", "exporter", "migrate", "up", "demo", "seeds"):
            yield a_case(command, f"--data {folder[:20]}", "--data", folder)


def dashboards(servers):
    """Targets of the commands for boards and rules."""
    for out in ("a-file", "a-file/below", "/proc/none", "x" * 300):
        render = ["alerts", "render", "--webhook", "http://h/", "--out", out]
        yield Case("alerts render", f"--out {out[:20]}", render, USUAL)
        yield Case("boards render", f"--out {out[:20]}", ["boards", "render", "--out", out], USUAL)
    push = ["boards", "push", "--token", "x", "--url"]
    for name, port in servers.items():
        yield Case("boards push", f"{name} instead of Grafana", [*push, f"http://127.0.0.1:{port}"], USUAL)
    for url in ("", "h", "http://", "http://[::1", "ftp://h", "http://h:x", "http://" + "x" * 300, "ví dụ"):
        yield Case("boards push", f"Grafana at {url[:20]!r}", [*push, url], USUAL)


def cases_of(servers):
    """The whole matrix."""
    for command in commands():
        yield from streams_and_settings(command)
        yield from secrets_of_settings(command)
        if command in ASKING:
            yield from wrong_processes(command, servers)
        if command in STORING:
            yield from wrong_storages(command, servers)
        if command in FOLDERS:
            yield from wrong_folders(command)
    yield from dashboards(servers)


def some_of(cases):
    """Every command with every secret, and each of the other surroundings with one command; the commands take turns.

    A wrong server is the same surrounding instead of whichever part it answers.
    """
    of = defaultdict(list)
    for case in cases:
        of[case.surroundings.partition(" instead of ")[0]].append(case)
    return of.pop(EVERY_SECRET) + [alike[number % len(alike)] for number, alike in enumerate(of.values())]


@pytest.fixture(scope="module")
def outcomes(wrong_servers, tmp_path_factory, pytestconfig):
    """How every case ended, by name; in a fast run, those with secrets and each of the other surroundings with one command."""
    folder = tmp_path_factory.mktemp("surroundings")
    every = list(cases_of(wrong_servers))
    assert len({case.name for case in every}) == len(every)
    chosen = every if pytestconfig.getoption("--long") else some_of(every)
    lines, names = [], {case.name for case in chosen}
    for number, case in enumerate(chosen):
        place = folder / str(number)
        place.mkdir()
        (place / "a-file").write_text("no folder")
        (place / "loop").symlink_to("loop")
        lines.append(json.dumps(vars(case) | {"name": case.name, "folder": str(place)}))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.forked_commands"],
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    found = {outcome["name"]: outcome for outcome in map(json.loads, ended.stdout.splitlines())}
    assert found.keys() == names, ended.stderr
    return found


def problem_of(outcome):
    """What is wrong with an outcome; empty when nothing is."""
    errors, status, name = outcome["errors"], outcome["status"], outcome["name"]
    messages = [line for line in errors.splitlines() if line.startswith("portalpulse: ")]
    has_output = not any(words in name for words in ("output gone", "errors ", "everything closed"))
    reported_otherwise = "Usage: " in errors or name.startswith(("doctor", "audit"))  # findings are their output
    lost = name.partition("| help, output ")[2] in ("closed", "full")
    wrong = {
        "a traceback": "Traceback" in errors + outcome["output"],
        "an unexpected error": UNEXPECTED in errors,
        "the password": "s3cret" in errors + outcome["output"],
        f"status {status}": status not in (0, 1, 2),
        f"{len(messages)} sentences": bool(status and has_output and not reported_otherwise and len(messages) != 1),
        "a sentence and status 0": bool(messages and not status),
        "lost output without an error": lost and not (status == 1 and "The output cannot be written" in errors),
        "a case that tests nothing": "No such option" in errors and "an unknown option" not in name,
        "a line of a library": "[urllib3" in errors,
    }
    return ", ".join(problem for problem, there in wrong.items() if there)


def test_no_surroundings_make_a_traceback(outcomes):
    """In any surroundings a command ends with a status of docs/errors.md and at most one sentence, no traceback."""
    problems = [
        f"{outcome['name']}: {problem} (status {outcome['status']}): {outcome['errors'][-600:]}"
        for outcome in outcomes.values()
        if (problem := problem_of(outcome))
    ]
    assert not problems, f"{len(problems)} of {len(outcomes)}:\n" + "\n".join(problems)


def test_a_time_zone_that_no_library_takes():
    """The C library takes zones a day away from UTC, Python does not: one sentence says so, and no figure depends on the zone."""
    command = [sys.executable, "-m", "pipeline.cli", "doctor"]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | {"TZ": "UTC-25"}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "The time zone of this process (the variable TZ) is a day or more from UTC. Write for example TZ=Asia" in ran.stderr


def test_warnings_of_libraries_end_no_command():
    """PYTHONWARNINGS=error is for developers: a library that warns while it is imported ends no command."""
    command = [sys.executable, "-X", "dev", "-m", "pipeline.cli", "boards", "check"]
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_too_little_memory_is_named():
    """A command whose memory is limited says so, with the status of an error that the user can correct."""
    catalogue = FOLDER / "02_thai_nguyen_catalogue.csv.gz"
    limited = 'ulimit -v 600000; exec "$@"'
    command = ["bash", "-c", limited, "bash", sys.executable, "-m", "pipeline.cli", "catalogue", "check", str(catalogue)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "The memory that this process may use is not enough." in ran.stderr


@pytest.mark.parametrize("text", ["msgspec/_core.so: failed to map segment from shared object", "cannot allocate memory in TLS"])
def test_too_little_memory_for_a_library_is_named(monkeypatch, capsys, text):
    """The loader of libraries says so in an ImportError, which libraries wrap in errors of their own."""

    def importing():
        raise ImportError("PLEASE READ THIS FOR ADVICE") from ImportError(text)

    monkeypatch.setattr(cli, "_require_local_time", importing)
    assert cli.run() == 2
    assert "The memory that this process may use is not enough." in capsys.readouterr().err


@pytest.mark.parametrize("words", [["up"], ["doctor"]])
def test_a_current_folder_that_is_gone(tmp_path, words):
    """A command in a deleted current folder says so, with the status of an error that the user can correct."""
    (tmp_path / "gone").mkdir()
    leave = (
        "import os, sys; os.rmdir('../gone')\n"
        "os.execv(sys.executable, [sys.executable, '-P', '-m', 'pipeline.cli', *sys.argv[1:]])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTALPULSE_")}
    command = [sys.executable, "-P", "-c", leave, *words]
    ran = subprocess.run(command, cwd=tmp_path / "gone", env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "The current folder was deleted." in ran.stderr
