"""The file that says where the local stack listens."""

from __future__ import annotations

import json
import os

import pytest

from domain.errors import ConfigurationError
from pipeline.addresses import FILE_NAME, LOCK_NAME, Addresses, owner_of, read_addresses, remove_addresses, write_addresses

SOME = Addresses("127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4")


def test_written_and_read(tmp_path):
    """What is written is read again, once more over the old file, and is gone when removed."""
    assert read_addresses(tmp_path) is None
    write_addresses(tmp_path, Addresses("x:1", "", "", ""))
    write_addresses(tmp_path, SOME)
    assert read_addresses(tmp_path) == SOME
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME], "no scratch file stays"
    remove_addresses(tmp_path)
    assert read_addresses(tmp_path) is None
    remove_addresses(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    """No folder means no stack."""
    assert read_addresses(tmp_path / "nowhere") is None


def test_what_a_newer_release_adds_is_ignored(tmp_path):
    """Unknown entries do not hinder."""
    (tmp_path / FILE_NAME).write_text(
        json.dumps({"kafka": "a:1", "http": "b", "prometheus": "c", "alertmanager": "d", "grafana": "e"})
    )
    assert read_addresses(tmp_path) == Addresses("a:1", "b", "c", "d")


OTHERS = '"prometheus": "c", "alertmanager": "d"'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"kafka": "x"}', "\x00", "9", "[" * 100_000, '{"kafka":' * 20_000, "\ufeff{}"),
        *(f'{{"kafka": "a:1", "http": {value}, {OTHERS}}}' for value in ("5", "null", "[]", "{}", "NaN", "true", '"\\ud800"')),
        f'{{"kafka": ["a:1"], "http": "b", {OTHERS}}}',
        f'{{"kafka": "a:1", "http": "b", "clickhouse": 7, {OTHERS}}}',
        f'{{"kafka": "a:1", "kafka": "b:1", "http": "b", {OTHERS}}}',
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, text):
    """A file that is not what `up` writes is an error with its path and a remedy."""
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigurationError, match=FILE_NAME) as refused:
        read_addresses(tmp_path)
    assert "portalpulse up" in refused.value.remedy


def test_bytes_that_are_no_text(tmp_path):
    """Bytes that are not UTF-8 are a damaged file, too."""
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError):
        read_addresses(tmp_path)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    """Where the system refuses the file, deleting it is not a remedy: the folder is the wrong one."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    for folder, why in (("loop", "symbolic links"), ("file", "Not a directory"), ("folder", "Is a directory")):
        with pytest.raises(ConfigurationError, match=rf"cannot be read: .*{why}") as refused:
            read_addresses(tmp_path / folder)
        assert "Errno" not in refused.value.problem
        assert "--data" in refused.value.remedy


def test_a_lock_that_is_a_pipe(tmp_path):
    """Nobody writes into it, and nothing waits for that."""
    os.mkfifo(tmp_path / LOCK_NAME)
    assert owner_of(tmp_path) is None
