"""Folders that options name."""

from __future__ import annotations

import pytest

from deploy.native.folder import DataFolder
from pipeline.folders import folder


@pytest.mark.parametrize("name", ["missing/../x", "link/../x", "loop/../x", "-v/../ # ~ ..", "x", " "])
def test_every_command_means_the_folder_that_up_uses(tmp_path, monkeypatch, name):
    """A path with .. may lead over folders that do not exist or over links; commands find the stack's folder all the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "loop").symlink_to("loop")
    with DataFolder(folder(name)) as owned:
        assert folder(name).samefile(owned.path)
    assert DataFolder(folder(name)).path == owned.path
