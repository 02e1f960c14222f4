"""The commands of this folder write, check and explain themselves."""

from __future__ import annotations

import pytest
import typer
import yaml
from typer.testing import CliRunner

from dashboards.commands import register
from dashboards.grafana import generate
from pipeline.core.errors import ConfigurationError, UnavailableError


@pytest.fixture
def run():
    """Runs a command line of this folder's commands."""
    app = typer.Typer()
    register(app)

    def invoke(*arguments):
        return CliRunner().invoke(app, arguments)

    return invoke


@pytest.mark.parametrize("group", ["boards", "alerts"])
def test_check_accepts_the_committed_files(run, group):
    """`check` passes on a fresh checkout."""
    result = run(group, "check")
    assert result.exit_code == 0, result.output
    assert "unchanged" in result.output


def test_check_refuses_a_stale_file(run, monkeypatch, tmp_path):
    """`check` names the stale file and the command that mends it."""
    monkeypatch.setattr(generate, "changed_files", lambda: [tmp_path / "national.json"])
    error = run("boards", "check").exception
    assert isinstance(error, ConfigurationError)
    assert "national.json" in str(error)
    assert "portalpulse boards build" in str(error)


@pytest.mark.parametrize("demo", [True, False])
def test_render_writes_what_prometheus_and_alertmanager_load(run, tmp_path, promtool, amtool, demo):
    """`alerts render` writes rules and routes that both programs accept, at the speed asked for."""
    options = ["--demo"] if demo else []
    result = run("alerts", "render", "--out", str(tmp_path), "--webhook", "http://127.0.0.1:1/x", *options)
    assert result.exit_code == 0, result.output
    rules = sorted((tmp_path / "rules").glob("*.yml"))
    assert promtool("check", "rules", *rules).returncode == 0
    assert amtool("check-config", tmp_path / "alertmanager.yml").returncode == 0
    interval = yaml.safe_load(rules[0].read_text(encoding="utf-8"))["groups"][0]["interval"]
    assert interval == ("1s" if demo else "1m")


def test_push_says_when_no_grafana_answers(run):
    """`boards push` ends with a sentence when there is no Grafana."""
    error = run("boards", "push", "--url", "http://127.0.0.1:9", "--token", "x").exception
    assert isinstance(error, UnavailableError)
