"""A separate virtual environment for the peers and the plot, so that their packages are not in the product's lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import typer

from deploy.native.programs import CACHE, PROJECT
from domain.errors import UnavailableError

VENV = CACHE / "bench-venv"
LOCK = Path(__file__).with_name("requirements.lock")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command()
    def setup() -> None:
        """Install quixstreams, bytewax and the plotting library into .cache/bench-venv (a second run does nothing)."""
        print(peers_python())


def peers_python() -> Path:
    """The interpreter of the peers; installs them when the lock file has changed. Processes wait for each other.

    Raises:
        UnavailableError: they cannot be installed.
    """
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with VENV.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another benchmark may be installing them
        return _installed()


def _installed() -> Path:
    python = VENV / "bin" / "python"
    stamp = VENV / "lock.sha256"
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    stamp.unlink(missing_ok=True)
    pip = (str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "--require-hashes")
    for command in ((sys.executable, "-m", "venv", "--clear", str(VENV)), (*pip, "-r", str(LOCK))):
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(
                f"The peers of the benchmark cannot be installed:\n{done.stderr[-2000:]}\n",
                remedy="Check the network and run it again.",
            )
    stamp.write_text(digest)
    return python


def child_environment(**more: str) -> dict[str, str]:
    """The environment of this process for a child, without PORTALPULSE_ settings of the shell."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PORTALPULSE_")}
    return inherited | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"} | more
