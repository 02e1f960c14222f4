"""The limit on open files: raised where allowed, and reported where it is too low."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest


@pytest.fixture
def run(tmp_path):
    """Run a program in a process with this limit on open files; returns status, output and errors."""

    def limited(soft, hard, *arguments):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTALPULSE_")}
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=tmp_path,
            env=environment,
            preexec_fn=limit,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return limited


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_low_limit_is_rejected_before_anything_is_written(run, tmp_path, command):
    """A limit too low for the services is reported with its remedy; Java would only report missing classes."""
    code, _, errors = run(64, 64, "-m", "pipeline.cli", command, "--data", "d")
    assert code == 2
    assert errors == (
        "portalpulse: At most 64 files may be open at once (ulimit -n); the services need 1,024."
        " Raise the limit, for example with `ulimit -n 4096`, or LimitNOFILE= of a systemd unit.\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_doctor_names_the_limit(run):
    """`doctor` reports it as wrong."""
    code, output, _ = run(64, 64, "-m", "pipeline.cli", "doctor", "--json")
    assert code == 2
    assert "At most 64 files may be open at once" in output


def test_a_low_limit_is_raised_as_far_as_allowed(run):
    """The services inherit more than the 256 of some systems, where that is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 2_048, "this machine allows too few open files for the test"
    look = (
        "import resource; from deploy.native.open_files import allow_open_files as allow\n"
        "print(allow(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    code, output, errors = run(256, 2_048, "-c", look)
    assert (code, output.split()) == (0, ["2048", "2048"]), errors
