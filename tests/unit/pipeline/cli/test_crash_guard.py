"""A library that breaks down ends a command with one sentence and one status; signals reach the command as they did without."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.native.processes import wait_until
from tests.false_brokers import API_VERSIONS, METADATA, FalseBroker, brokers, versions

ROOT = Path(__file__).parents[4]
#: Runs the body of a command in a guard; ``run`` is defined in front of it.
GUARD = "\nimport sys\nfrom pipeline.cli.crash_guard import run_guarded\nsys.exit(run_guarded(run, ['report']))\n"
#: A command that waits, and says which signals it got.
WAITING = """
import os, signal, sys, time
got = []
def heard(number, frame):
    got.append(number)
    print(signal.Signals(number).name, flush=True)
    if len(got) == 2:
        os._exit(7)
def run():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, heard)
    print("ready", flush=True)
    while True:
        time.sleep(0.05)  # a signal just before a sleep is handled after the sleep
"""


def started(body, **options):
    """A process that runs the body in a guard."""
    return subprocess.Popen(
        [sys.executable, "-c", body + GUARD], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.fixture
def waiting():
    """A command that waits. Tests may run under `nohup`, which would leave it SIGHUP ignored."""
    with started(WAITING, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGKILL])
def test_a_breakdown_is_one_sentence(number):
    """The status is one that docs/errors.md has, and no signal."""
    ended = started(f"import os\ndef run():\n    os.kill(os.getpid(), {int(number)})")
    errors = ended.communicate(timeout=60)[1]
    assert ended.returncode == (2 if number == signal.SIGKILL else 1)
    assert errors.startswith("portalpulse: ")
    assert number.name in errors
    assert errors.count("\n") == 1


def test_a_breakdown_of_the_kafka_client_names_the_brokers():
    """What was asked last is known to the process that waits."""
    ended = started(
        "import ctypes\nfrom pipeline import crash_note\n"
        "def run():\n    crash_note.named_by('--some'); crash_note.write('kafka-1:9092, kafka-2:9092')\n    ctypes.string_at(0)"
    )
    errors = ended.communicate(timeout=60)[1]
    assert ended.returncode == 2
    assert "A library broke down (SIGSEGV) while this command used Kafka at kafka-1:9092, kafka-2:9092" in errors
    assert "Correct --some;" in errors


@pytest.mark.parametrize("status", [0, 1, 2, 3, 130])
def test_the_status_of_a_command_stays(status):
    """Also when the caller ignores the ends of its children."""
    ended = started(f"def run():\n    return {status}", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert (*ended.communicate(timeout=60), ended.returncode) == ("", "", status)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_command(number, waiting):
    """Each once, and the second ends it as the command says."""
    for _ in range(2):
        waiting.send_signal(number)
        assert waiting.stdout.readline() == f"{number.name}\n"
    assert waiting.wait(60) == 7


def test_a_signal_to_the_group_is_one_signal():
    """Ctrl-C and `timeout` signal a whole group: the command hears it once."""
    with started(WAITING, start_new_session=True) as waiting:
        assert waiting.stdout.readline() == "ready\n"
        os.killpg(waiting.pid, signal.SIGTERM)
        assert waiting.stdout.readline() == "SIGTERM\n"
        waiting.send_signal(signal.SIGINT)  # if there had been two, this would find no process
        assert waiting.stdout.readline() == "SIGINT\n"
        assert waiting.wait(60) == 7


def test_ctrl_c_in_a_terminal_is_one_signal():
    """The command has the terminal as its streams and hears Ctrl-C once."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", WAITING + GUARD])
    heard = b""
    while b"ready" not in heard:
        heard += os.read(terminal, 1_000)
    for count in (1, 2):
        os.write(terminal, b"\x03")
        while heard.count(b"SIGINT") < count:
            heard += os.read(terminal, 1_000)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_signal_that_somebody_sent_ends_this_process_too():
    """A command without a handler ends by SIGTERM, and the shell sees that."""
    with started("import time\ndef run():\n    print('ready', flush=True)\n    time.sleep(3600)") as waiting:
        assert waiting.stdout.readline() == "ready\n"
        waiting.terminate()
        assert waiting.wait(60) == -signal.SIGTERM
        assert waiting.stderr.read() == ""


def test_a_killed_guard_leaves_no_command_behind(waiting):
    """The command ends with the process that waits for it."""
    (command,) = psutil.Process(waiting.pid).children()
    waiting.kill()
    wait_until(lambda: not command.is_running(), timeout=60, what="the command to be gone")


def test_a_suspended_command_rests_and_goes_on(waiting):
    """Ctrl-Z suspends both processes."""
    (command,) = psutil.Process(waiting.pid).children()
    waiting.send_signal(signal.SIGTSTP)
    wait_until(lambda: command.status() == psutil.STATUS_STOPPED, timeout=60, what="the command to rest")
    waiting.send_signal(signal.SIGCONT)
    wait_until(lambda: command.status() == psutil.STATUS_SLEEPING, timeout=60, what="the command to go on")
    waiting.send_signal(signal.SIGTERM)
    assert waiting.stdout.readline() == "SIGTERM\n"
    waiting.kill()


def test_services_run_in_this_process():
    """A supervisor looks at the process that they started."""
    body = "import os\ndef run():\n    print(os.getpid())\n    return 0"
    ended = started(body + GUARD.replace("report", "worker"))
    assert int(ended.communicate(timeout=60)[0]) == ended.pid


@pytest.mark.parametrize("command", [["-m", "pipeline.cli"], [Path(sys.executable).with_name("portalpulse")]])
def test_ctrl_c_while_a_command_is_imported(tmp_path, command):
    """The first half second of a command is imports: Ctrl-C ends them with its status, and with no traceback."""
    (tmp_path / "structlog.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    ended = subprocess.run([sys.executable, *command, "doctor"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


COMMANDS = {
    "produce": ["--scenario", "feb-2025", "--events", "5", "--bootstrap", "{}"],
    "replay": ["events.ndjson", "--bootstrap", "{}"],
    "replay --from-topic t": ["--from-bootstrap", "{}", "--bootstrap", "{}"],
    "load": ["--rate", "10", "--duration", "1", "--bootstrap", "{}"],
    "doctor": [],
    "offsets save": ["offsets.json"],
    "worker": [],
}


def zeros(key, version):
    """Right versions, and nothing else."""
    return versions(version) if key == API_VERSIONS else bytes(200)


class Treacherous:
    """A broker that names itself where version 1 is asked for, and answers zeros to all other requests."""

    def __init__(self):
        self.port = 0

    def __call__(self, key, version):
        return brokers(self.port) if (key, version) == (METADATA, 1) else zeros(key, version)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        # A worker asks such a broker for twenty seconds; the fast run has it with the other kind.
        pytest.param(kind, command, marks=pytest.mark.long if (kind, command) == ("treacherous", "worker") else ())
        for kind in ("zeros", "treacherous")
        for command in COMMANDS
    ],
)
def test_no_answer_of_a_broker_ends_a_command_by_a_signal(tmp_path, command, kind):
    """Whatever comes after right versions: one sentence that names the address, and status 2."""
    (tmp_path / "events.ndjson").write_text('{"event_id": "a"}\n')
    answer = Treacherous() if kind == "treacherous" else zeros
    with FalseBroker(answer) as broker:
        if kind == "treacherous":
            answer.port = broker.port
        words = [*command.split(), *(word.format(broker.address) for word in COMMANDS[command])]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        environment |= {"PORTALPULSE_KAFKA__BOOTSTRAP": broker.address, "PORTALPULSE_HTTP__PORT": "1"}
        environment |= {"PORTALPULSE_CLICKHOUSE__URL": "chdb:storage"}
        ended = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert ended.returncode == 2, ended
    assert "Traceback" not in ended.stderr
    sentences = [line for line in ended.stderr.splitlines() if line.startswith("portalpulse: ")]
    if command == "doctor" and kind == "zeros":  # findings are its output
        assert broker.address in ended.stdout
    else:
        assert len(sentences) == 1, ended
        assert broker.address in sentences[0]
