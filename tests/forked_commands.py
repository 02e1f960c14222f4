"""Runs many commands in surroundings of their own, with one import of the command line: each in a fork of this process.

Reads cases from standard input, one JSON object a line, and writes an outcome for each, as JSON lines, in any order; with
``--one-by-one`` each outcome before the next case is read, and a command waits as long as it does for users.
A case: name, arguments, environment, folder, stdin, stdout, stderr (see ``_redirect``), encoding, and perhaps the seconds that
the command may take. An outcome: name, status (minus the signal for a killed process), output, errors.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sys
import tempfile
import traceback

from pipeline.cli import main as cli
from pipeline.cli import remote as asking

AT_ONCE = 4
#: A command that takes longer hangs (seconds).
PATIENCE = 100
#: How long a case waits for a process that hangs (seconds).
HANG_SECONDS = 1.0
#: The status of an interpreter that cannot write the rest of its output at its end.
_NOT_FLUSHED = 120


def main() -> None:
    """Run all cases."""
    app = cli.create_cli()  # imports every folder once
    cli.create_cli = lambda _command="": app
    gc.disable()  # a collection in a child would copy all the memory that it shares with this process
    if "--one-by-one" in sys.argv:
        for line in sys.stdin:
            _run_all([json.loads(line)])
    else:
        asking._ALIVE_SECONDS = HANG_SECONDS
        _run_all([json.loads(line) for line in sys.stdin])


def _run_all(waiting) -> None:
    """Run cases, several at once, and write their outcomes."""
    running = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            case = waiting.pop()
            files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed when the child has ended
            child = os.fork()
            if child == 0:
                _run(case, *files)
            running[child] = (case, files)
        child, status = os.wait()
        case, files = running.pop(child)
        texts = []
        for file in files:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "backslashreplace"))
            file.close()
        outcome = {"name": case["name"], "status": os.waitstatus_to_exitcode(status), "output": texts[0], "errors": texts[1]}
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


def _run(case, output, errors) -> None:
    """One case, in the child: never returns."""
    status = 70
    try:
        signal.alarm(case.get("seconds") or PATIENCE)
        for name in [name for name in os.environ if name.startswith("PORTALPULSE_")]:
            del os.environ[name]
        os.environ |= case["environment"]
        os.chdir(case["folder"])
        _redirect(0, case["stdin"], None)
        _redirect(2, case["stderr"], errors)
        _redirect(1, case["stdout"], output)
        sys.argv = ["portalpulse", *case["arguments"]]
        _streams_as_at_the_start(case["encoding"])
        try:
            status = cli.run()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except Exception:  # noqa: BLE001 - the interpreter does so at its end
                status = _NOT_FLUSHED
    except BaseException:  # noqa: BLE001 - whatever leaves main() is a finding
        errors.write(traceback.format_exc().encode())
        errors.flush()
    finally:
        os._exit(status)


def _redirect(number: int, what: str, file) -> None:
    """``what``: usual (a file that is read later, or /dev/null), closed, full, or gone (a pipe without a reader)."""
    if what == "closed":
        os.close(number)
        return
    if what == "gone":
        reading, source = os.pipe()
        os.close(reading)
    elif what == "full":
        source = os.open("/dev/full", os.O_RDWR)
    else:
        source = os.open(os.devnull, os.O_RDWR) if file is None else file.fileno()
    os.dup2(source, number)


def _streams_as_at_the_start(encoding: str) -> None:
    """What the interpreter makes of the descriptors before any code runs."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            stream = None
        else:
            raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
            buffer = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
            stream = io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace" if number == 2 else "strict")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    main()
