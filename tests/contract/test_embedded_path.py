"""The embedded engine keeps its data in the folder that it was given, whatever the folder is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata

import pytest

from sinks.clickhouse.embedded_path import engine_path, open_folder
from sinks.errors import Fatal

NAMES = [
    "plain",
    "q?one",
    "q?two",
    "a=b&c#d?e=f",
    "50%20%3F",
    "d [1] *{a,b} ${HOME} $(x) `x` ! ~",
    "tab\\t'quote\" ;:,|<>",
    unicodedata.normalize("NFC", "dữ liệu"),
    unicodedata.normalize("NFD", "dữ liệu hồ sơ"),
    "biểu đồ 📈",
    "n" * 240 + "?",
]

#: One process, one folder after the other, each opened twice: what was written is found again, and nothing else.
WRITE_AND_READ = """
import json, os, sys
from pathlib import Path
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.target import Target

def opened(folder):
    return ClickHouse(Target(timeout=30, folder=folder, database="default"))

base = sys.argv[1]
names = sorted(name for name in os.listdir(base) if not name.endswith(".lock"))
found = {}
for number, name in enumerate(names):
    clickhouse = opened(Path(base, name))
    clickhouse.command("test", "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
    clickhouse.command("test", f"INSERT INTO t VALUES ({number})")
    clickhouse.close()
for _ in range(3):
    os.dup(0)  # the folders' descriptors are other numbers from here on, as after a restart
for number, name in enumerate(names):
    clickhouse = opened(Path(base, name))
    rows = [list(row) for row in clickhouse.rows("test", "SELECT a FROM t")]
    clickhouse.close()
    found[os.fsencode(name).decode()] = [rows == [[number]], sorted(os.listdir(Path(base, name)))]
print(json.dumps(found))
"""


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_every_name_is_a_folder_of_its_own(tmp_path, locale):
    """Question marks, percent signs, quotes, globs and other alphabets mean the folder and nothing else, under any locale."""
    for name in NAMES:
        (tmp_path / name).mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", WRITE_AND_READ, tmp_path],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": locale, "PYTHONUTF8": "1" if locale == "C.UTF-8" else "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert set(found) == set(NAMES)
    for name, (right, entries) in found.items():
        assert right, name
        assert {"metadata", "store"} <= set(entries), name
    beside = {entry.name for entry in tmp_path.iterdir() if not entry.name.endswith(".lock")}
    assert beside == set(NAMES)


def test_a_plain_name_is_given_as_it_is(tmp_path):
    """A folder with a plain name is opened by its path, as ever."""
    assert open_folder(tmp_path) is None
    assert engine_path(tmp_path, None) == str(tmp_path)


def test_data_that_an_earlier_version_put_elsewhere_are_not_hidden(tmp_path):
    """An empty folder whose data may lie where the engine cut the path is refused, with both folders named; others are not."""
    folder = tmp_path / "q?one" / "clickhouse"
    folder.mkdir(parents=True)
    for name in ("metadata", "store"):
        (tmp_path / "q" / name).mkdir(parents=True)
    with pytest.raises(Fatal, match="Move the contents") as caught:
        open_folder(folder)
    assert str(tmp_path / "q") in str(caught.value)
    assert str(folder) in str(caught.value)
    (folder / "store").mkdir()
    os.close(open_folder(folder))
