"""The architecture as a test: who may import whom, and the house rules that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
FOLDERS = ("pipeline", "sinks", "producers", "dashboards", "deploy")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def shown(path: Path) -> str:
    """A path for people."""
    return str(path.relative_to(ROOT))


def test_nothing_imports_upwards(monkeypatch, capsys):
    """Every contract of [tool.importlinter] is kept: folders, layers, one door for each client library."""
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_says_what_it_is_for(path):
    """A module opens with a docstring, and its name says what it holds."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert not {"utils", "helpers", "common", "manager", "misc"} & set(path.relative_to(ROOT).with_suffix("").parts)


def test_only_the_settings_read_the_environment():
    """Settings come in one way; no other module of the product's core asks the environment."""
    for folder in ("pipeline", "sinks"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == ROOT / "pipeline" / "settings.py":
                continue
            text = path.read_text(encoding="utf-8")
            assert "os.environ" not in text, shown(path)
            assert "getenv" not in text, shown(path)


@pytest.mark.parametrize("path", TESTS, ids=shown)
def test_a_test_says_its_rule(path):
    """Every test opens with the rule it holds, in a docstring, and none is skipped or expected to fail."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{shown(path)}::{node.name}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"skip", "skipif", "xfail", "importorskip"}, f"{shown(path)}:{node.lineno}"
