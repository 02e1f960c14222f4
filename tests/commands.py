"""Runs commands of portalpulse for tests without a start of an interpreter for each: every command is a fork of one process.

That process has imported the command line once, which takes longer than most commands do. Signals, streams that misbehave and
the start itself are for tests that start real processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Commands:
    """Runs one command after the other. Call ``close`` at the end."""

    def __init__(self) -> None:
        """Nothing is started before the first command."""
        self._guard = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __call__(
        self, *arguments: str, environment: Mapping[str, str], folder: Path = ROOT, timeout: float = 150
    ) -> subprocess.CompletedProcess[str]:
        """Run ``portalpulse ARGUMENTS`` in ``folder`` with ``environment`` alone; returns status, output and errors as text.

        Raises:
            AssertionError: the process that runs commands has ended.
        """
        case = {
            "name": "",
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            "seconds": timeout,
            "encoding": "utf-8",
        } | dict.fromkeys(("stdin", "stdout", "stderr"), "usual")
        with self._guard:
            process = self._started()
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        assert line, "the process that runs commands for tests has ended"
        ended = json.loads(line)
        return subprocess.CompletedProcess(list(arguments), ended["status"], ended["output"], ended["errors"])

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked_commands", "--one-by-one"],
                cwd=ROOT,
                env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def close(self) -> None:
        """End the process that runs commands."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait(60)
