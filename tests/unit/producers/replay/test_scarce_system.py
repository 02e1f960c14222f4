"""What the system lacks is not called a fault of the user's file: space, open files, sizes of files, permissions."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.errors import ConfigurationError, UnavailableError
from producers.replay.sources.files import FileSource

ROOT = Path(__file__).parents[4]
ROWS = 20_000
BLAME = "Copy or download it again"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A folder with a recording of many dossiers, as Parquet and packed."""
    folder = tmp_path_factory.mktemp("recording")
    columns = {
        "event_id": [str(uuid.UUID(int=number)) for number in range(ROWS)],
        "dossier_code": [f"000.00.12.H17-240610-{number:06d}" for number in range(ROWS)],
        "agency_code": ["H17"] * ROWS,
        "procedure_code": ["1.001612"] * ROWS,
        "status": [1] * ROWS,
        "occurred_at": ["2024-06-10T08:30:15.000+07:00"] * ROWS,
        "channel": [2] * ROWS,
    }
    pq.write_table(pa.table(columns), folder / "e.parquet")
    (folder / "e.parquet.gz").write_bytes(gzip.compress((folder / "e.parquet").read_bytes(), 1))
    return folder


def checked(path, limit):
    """The last line of a check under a limit of the shell, and its status."""
    run = subprocess.run(
        ["bash", "-c", f'ulimit {limit}; exec "$@"', "-", sys.executable, "-m", "pipeline.cli", "replay", str(path), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.stderr.splitlines()[-1], run.returncode


@pytest.mark.parametrize("name", ["e.parquet", "e.parquet.gz"])
@pytest.mark.parametrize(
    ("limit", "problem", "remedy"),
    [("-f 8", "File too large", "`ulimit -f"), ("-n 30", "Too many open files", "`ulimit -n")],
)
def test_a_limit_of_the_process_is_named(recording, name, limit, problem, remedy):
    """A check that meets a limit of its process names the temporary files and how the limit is raised."""
    sentence, status = checked(recording / name, limit)
    assert status == 2
    assert sentence.startswith(f"portalpulse: The temporary files of the check cannot be written: {problem}.") or (
        name.endswith(".gz") and f"The temporary copy of {recording / name} cannot be written: {problem}." in sentence
    )
    assert remedy in sentence
    assert BLAME not in sentence


def test_temporary_space_that_is_full_is_named(recording, monkeypatch):
    """A packed Parquet file is unpacked below TMPDIR; when that is full, the sentence says so and does not blame the file."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("w+b"))  # noqa: SIM115
    with pytest.raises(UnavailableError) as caught:
        FileSource((str(recording / "e.parquet.gz"),)).check()
    assert caught.value.problem.endswith("e.parquet.gz cannot be written: No space left on device.")
    assert "Set TMPDIR to a folder with free space" in caught.value.remedy
    assert BLAME not in str(caught.value)


def test_no_folder_for_temporary_files_is_named(recording, monkeypatch):
    """The system may have no folder at all for temporary files."""

    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']")

    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    with pytest.raises(UnavailableError, match=r"No usable temporary directory.*TMPDIR"):
        FileSource((str(recording / "e.parquet.gz"),)).check()


def test_packed_data_that_end_are_the_fault_of_the_file(recording, tmp_path):
    """Reading and writing the copy are told apart: data that are cut off are not blamed on TMPDIR."""
    cut = tmp_path / "e.parquet.gz"
    cut.write_bytes((recording / "e.parquet.gz").read_bytes()[:-2_000])
    with pytest.raises(ConfigurationError, match="its gzip data are cut off") as caught:
        FileSource((str(cut),)).check()
    assert "TMPDIR" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Make it readable for this user."),
        (errno.EMFILE, "`ulimit -n"),
        (errno.ENFILE, "End programs"),
        (errno.ENOMEM, "memory"),
        (errno.EIO, BLAME),
    ],
)
@pytest.mark.parametrize("when", ["opened", "read"])
def test_a_recording_that_the_system_refuses_to_read_has_its_own_remedy(tmp_path, monkeypatch, number, remedy, when):
    """Only a device that fails is a reason to copy a file again."""
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"{}\n")

    class Broken(io.BytesIO):
        def read1(self, _size=-1):
            raise OSError(number, os.strerror(number))

        fileno = staticmethod(lambda: 0)

    def opened(*_arguments, **_options):
        if when == "opened":
            raise OSError(number, os.strerror(number), str(path))
        return Broken()

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(ConfigurationError) as caught:
        FileSource((str(path),)).check()
    assert caught.value.problem == f"{path} cannot be read: {os.strerror(number)}."
    assert remedy in caught.value.remedy
