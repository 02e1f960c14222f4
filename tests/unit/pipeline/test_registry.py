"""The registry that the settings choose."""

from __future__ import annotations

import ast
from importlib import resources
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from pipeline.registry import registry_of
from pipeline.settings import load_settings

ROOT = Path(__file__).parents[3]
#: What may read the packaged registry itself: demo, seeds, and simulated portals that are given none.
MAY_READ_THE_PACKAGED_ONE = {
    "dashboards/alertmanager/generate.py",  # a committed example, the same under every setting
    "deploy/native/demo/run.py",
    "deploy/native/rehearsal/stack.py",
    "deploy/native/seeds/run.py",
    "pipeline/registry.py",
    "producers/portals/months.py",
    "producers/portals/portal.py",
    "producers/portals/produce.py",
    "producers/portals/scenarios.py",
    "producers/portals/simulate.py",
}


@pytest.fixture
def packaged() -> str:
    """The text of the packaged registry."""
    return resources.files("domain").joinpath("data/agencies.csv").read_text(encoding="utf-8")


def test_without_a_file_the_packaged_registry_is_used(registry, monkeypatch):
    """The packaged registry is used when the setting is not there or empty."""
    assert tuple(registry_of(load_settings())) == tuple(registry)
    monkeypatch.setenv("PORTALPULSE_REGISTRY_FILE", "")
    assert tuple(registry_of(load_settings())) == tuple(registry)


def test_a_file_replaces_the_packaged_registry(packaged, tmp_path, monkeypatch):
    """The file of the setting is the whole registry, also by a name that is relative to the current folder."""
    lines = packaged.splitlines()
    (tmp_path / "units.csv").write_text(
        "\n".join([lines[0], *(line for line in lines if line.startswith("H17,"))]), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("units.csv", str(tmp_path / "units.csv")):
        monkeypatch.setenv("PORTALPULSE_REGISTRY_FILE", name)
        assert registry_of(load_settings()).codes == ("H17",)


def test_a_process_has_one_registry(packaged, tmp_path):
    """A file that changes while a process runs changes nothing in it: its parts would disagree."""
    file = tmp_path / "units.csv"
    file.write_text(packaged, encoding="utf-8")
    settings = load_settings(registry_file=str(file))
    first = registry_of(settings)
    file.write_text("", encoding="utf-8")
    assert registry_of(settings) is first


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "which cannot be read: No such file or directory."),
        (lambda file: file.mkdir(), "which cannot be read: Is a directory."),
        (lambda file: file.symlink_to(file), "which cannot be read: Too many levels of symbolic links."),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make, words):
    """A missing file, a folder and a broken link are one sentence with the setting and the path."""
    file = tmp_path / "units.csv"
    make(file)
    with pytest.raises(ConfigurationError) as refused:
        registry_of(load_settings(registry_file=str(file)))
    assert refused.value.problem == f"PORTALPULSE_REGISTRY_FILE names {file}, {words}"
    assert refused.value.remedy


def test_a_wrong_file_is_named_with_line_and_column(packaged, tmp_path):
    """A fault in the file names its path, the line and the column."""
    file = tmp_path / "units.csv"
    file.write_text(packaged.replace("H03,Bắc Kạn,Bac Kan,Bắc Kạn,Tỉnh Bắc Kạn,province", "H03,a,a,a,a,city"), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        registry_of(load_settings(registry_file=str(file)))
    assert refused.value.problem == f"{file}, line 4, column block: 'city' is not a block."


def test_the_registry_is_chosen_in_one_place():
    """No other module of the product reads the packaged registry: it would ignore the setting."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("pipeline", "sinks", "producers", "dashboards", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "packaged"
    }
    assert found == MAY_READ_THE_PACKAGED_ONE
