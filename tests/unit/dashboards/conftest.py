"""Programs that the tests of rules and routes need. A missing program fails the tests, it never skips them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def _runner(name: str) -> Run:
    program = shutil.which(name)
    if program is None:
        pytest.fail(f"{name} is not on PATH: run deploy/setup.sh (Debian: prometheus, prometheus-alertmanager)")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False)

    return run


@pytest.fixture(scope="session")
def promtool() -> Run:
    """Runs promtool with the given arguments."""
    return _runner("promtool")


@pytest.fixture(scope="session")
def amtool() -> Run:
    """Runs amtool with the given arguments."""
    return _runner("amtool")
