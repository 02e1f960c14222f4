"""The commands of this folder write, check and explain themselves."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from dashboards.alertmanager.bundle import verify_bundle
from dashboards.grafana import generate, publish
from dashboards.grafana.publish import Push, Pushed
from dashboards.notify.recipients_file import EXAMPLE
from domain.errors import ConfigurationError, UnavailableError
from pipeline.cli.main import create_cli


@pytest.fixture
def run():
    """Runs a command line of this folder's commands."""
    return lambda *arguments: CliRunner().invoke(create_cli(arguments[0]), arguments)


@pytest.mark.parametrize("group", ["boards", "alerts"])
def test_check_accepts_the_committed_files(run, group):
    """`check` passes on a fresh checkout."""
    result = run(group, "check")
    assert result.exit_code == 0, result.output
    assert "unchanged" in result.output


def test_check_refuses_a_stale_file(run, monkeypatch, tmp_path):
    """`check` names the outdated file and the command that regenerates it."""
    monkeypatch.setattr(generate, "changed_files", lambda: [tmp_path / "national.json"])
    error = run("boards", "check").exception
    assert isinstance(error, ConfigurationError)
    assert "national.json" in str(error)
    assert "portalpulse boards render" in str(error)


@pytest.mark.parametrize("demo", [True, False])
def test_render_writes_what_prometheus_and_alertmanager_load(run, tmp_path, promtool, amtool, demo):
    """`alerts render` writes rules and routes that both programs accept, with the chosen timing."""
    options = ["--demo"] if demo else []
    result = run("alerts", "render", "--out", str(tmp_path), "--webhook", "http://127.0.0.1:1/x", *options)
    assert result.exit_code == 0, result.output
    rules = sorted((tmp_path / "rules").glob("*.yml"))
    assert promtool("check", "rules", *rules).returncode == 0
    assert amtool("check-config", tmp_path / "alertmanager.yml").returncode == 0
    interval = yaml.safe_load(rules[0].read_text(encoding="utf-8"))["groups"][0]["interval"]
    assert interval == ("1s" if demo else "1m")


def test_a_rendered_folder_can_be_copied(run, tmp_path, amtool):
    """The folder contains no path of this machine: Alertmanager loads it after it was moved."""
    result = run("alerts", "render", "--out", str(tmp_path / "here"), "--recipients", str(EXAMPLE), "--relay", "http://relay:1")
    assert result.exit_code == 0, result.output
    assert "checked with amtool and promtool" in result.output
    (tmp_path / "here").rename(tmp_path / "there")
    checked = amtool("check-config", tmp_path / "there" / "alertmanager.yml")
    assert checked.returncode == 0, checked.stderr
    text = (tmp_path / "there" / "alertmanager.yml").read_text(encoding="utf-8")
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    "url",
    ["notaurl", "", "127.0.0.1:9095/x", "ftp://h/x", "http://", "http://h:0/x", "http://h:x/", "http://a b/", "http://h/\n"],
)
def test_a_webhook_that_alertmanager_refuses(run, tmp_path, url):
    """An address that Alertmanager would refuse is refused here, before anything is written."""
    error = run("alerts", "render", "--out", str(tmp_path / "out"), "--webhook", url).exception
    assert isinstance(error, ConfigurationError)
    assert "--webhook" in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "out").exists()


def test_an_address_of_the_relay_that_alertmanager_refuses(run, tmp_path):
    """The addresses of relay and heartbeat are checked as that of a webhook; one of --webhook and --recipients is enough."""
    common = ("alerts", "render", "--out", str(tmp_path / "out"), "--recipients", str(EXAMPLE))
    for option in ("--relay", "--heartbeat"):
        error = run(*common, option, "nowhere").exception
        assert isinstance(error, ConfigurationError)
        assert option in str(error)
    assert "exclude each other" in str(run(*common, "--webhook", "http://h/x").exception)
    assert not (tmp_path / "out").exists()


def test_without_recipients(run, tmp_path):
    """Without a recipients file the error says how to write one."""
    error = run("alerts", "render", "--out", str(tmp_path / "out")).exception
    assert isinstance(error, ConfigurationError)
    assert "portalpulse alerts example" in str(error)
    assert run("alerts", "example").output == EXAMPLE.read_text(encoding="utf-8")


def test_a_refusal_of_the_checkers_is_passed_on(tmp_path):
    """A file that amtool or promtool rejects ends the command with their reason."""
    (tmp_path / "alertmanager.yml").write_text("route: {}\n")
    with pytest.raises(ConfigurationError, match=r"amtool rejects the files in .*route"):
        verify_bundle(tmp_path)


def test_without_the_checkers(run, monkeypatch, tmp_path):
    """Without amtool and promtool the files are written, and the output says that they were not checked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("alerts", "render", "--out", str(tmp_path / "out"), "--webhook", "http://h/x")
    assert result.exit_code == 0, result.output
    assert "amtool is not installed here" in result.output
    assert "checked with" not in result.output


def test_a_folder_that_cannot_be_written(run, tmp_path):
    """A folder that cannot be created is an error of one sentence."""
    (tmp_path / "file").touch()
    error = run("alerts", "render", "--out", str(tmp_path / "file" / "out"), "--webhook", "http://h/x").exception
    assert isinstance(error, ConfigurationError)
    assert "cannot be written" in str(error)


def test_boards_are_rendered_where_they_are_wanted(run, tmp_path):
    """`boards render --out` writes every board into a folder; one that cannot be written is an error of one sentence."""
    result = run("boards", "render", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()}
    assert written == generate.render()
    (tmp_path / "file").touch()
    error = run("boards", "render", "--out", str(tmp_path / "file" / "out")).exception
    assert isinstance(error, ConfigurationError)
    assert "cannot be written" in str(error)


@pytest.mark.parametrize("dry", [True, False])
def test_push_says_what_becomes_of_each_board(run, monkeypatch, dry):
    """`boards push` prints a line for each board, with the changes in a dry run, and why boards would stay empty."""
    asked = {}

    def push(_boards, **options):
        asked.update(options)
        done = (Pushed("a", "updated", ("-x", "+y")), Pushed("b", "unchanged"))
        return Push(done, ("no data source",))

    monkeypatch.setattr(publish, "push", push)
    options = ["--dry-run"] if dry else []
    result = run("boards", "push", "--url", "http://h/", "--token", "x", "--folder", "f", *options)
    assert result.exit_code == 0, result.output
    assert asked == {"url": "http://h/", "token": "x", "folder": "f", "dry_run": dry}
    assert ("would be updated http://h/d/a" in result.output) is dry
    assert ("  +y" in result.output) is dry
    assert "unchanged http://h/d/b" in result.output
    assert "no data source" in result.output


def test_push_says_when_no_grafana_answers(run):
    """`boards push` ends with one sentence when no Grafana answers."""
    error = run("boards", "push", "--url", "http://127.0.0.1:9", "--token", "x").exception
    assert isinstance(error, UnavailableError)
