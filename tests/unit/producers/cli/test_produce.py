"""The commands: options are checked before anything is sent, files and summaries are what they say."""

from __future__ import annotations

import datetime as dt
import json
import re
from importlib import resources

import pytest
import typer
from typer.testing import CliRunner

from dashboards.alertmanager.generate import AlertTiming
from dashboards.rules.timing import RuleTiming
from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, is_full
from domain.errors import ConfigurationError, UnavailableError
from domain.units import level_one
from pipeline.catalogue.files import read_catalogue
from producers.cli import produce as commands
from producers.cli.live_expectations import ALERT_SECONDS, QUICK_ALERT_SECONDS
from producers.cli.live_traffic import LiveShape, live_traffic
from producers.cli.options import TargetOptions
from producers.portals import produce as portals
from producers.portals.produce import live_stream
from producers.portals.truth import Truth
from producers.replay.sources.kafka_range import KafkaRange

REGISTRY = AgencyRegistry.packaged()


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command line; errors of our own tree are raised, as main.py wants to see them."""
    for name in ("PORTALPULSE_CLOCK", "PORTALPULSE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode="rich")
    commands.register(app)

    def runner(*arguments):
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return runner


def test_a_live_file_holds_the_events_that_the_summary_counts(run, tmp_path):
    """``--output`` writes one event a line and the JSON summary says how many."""
    path = tmp_path / "live.ndjson"
    result = run("produce", "--scenario", "live", "--rate", "max", "--duration", "0.3", "--output", str(path), "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    lines = path.read_bytes().splitlines()
    assert summary["sent"] == summary["acknowledged"] == summary["distinct"] == len(lines) > 0
    assert all(json.loads(line)["event_id"] for line in lines)


def test_a_whole_scenario_can_be_written_to_a_file(run, tmp_path, monkeypatch, small_scenario):
    """The file holds the scenario, and nothing failed."""
    monkeypatch.setattr(portals, "load_scenario", lambda _, **__: small_scenario)
    path = tmp_path / "scenario.ndjson"
    result = run("produce", "--output", str(path), "--seed", "3")
    assert result.exit_code == 0
    assert "failed 0" in result.stdout
    settled = sum(b'"status":9' in line for line in path.read_bytes().splitlines())
    assert settled > sum(unit.settled.denominator for unit in small_scenario.units) > 0


def test_a_month_is_sent_by_one_command_with_its_truth(run, tmp_path):
    """Agencies, faults, volume and truth follow from options; the truth counts the events that the summary counts."""
    options = ["--scenario", "feb-2025", "--events", "8000", "--profile", "realistic", "--fault", "resubmitted=0.3", "--shuffle"]
    truth, dossiers, sent = tmp_path / "truth.json", tmp_path / "dossiers.ndjson", tmp_path / "sent.ndjson"
    places = ["--truth", str(truth), "--truth-dossiers", str(dossiers), "--output", str(sent)]
    summary = json.loads(run("produce", *options, *places, "--json").stdout)
    known = Truth.read(truth)
    assert summary["sent"] == known.messages == len(sent.read_bytes().splitlines())
    assert 8_000 <= known.messages <= 8_400
    assert summary["distinct"] == known.events
    assert known.dossiers == known.total("submitted") == len(dossiers.read_bytes().splitlines())
    assert known.total("resubmitted") > 3 * known.total("no_level") > 0


@pytest.mark.parametrize(("scenario", "agencies"), [("feb-2025", 86), ("live", 51)])
def test_the_simulated_portals_have_a_catalogue(run, tmp_path, monkeypatch, scenario, agencies):
    """Every agency offers sixty procedures; the same seed gives the same bytes, and the file can be loaded."""
    monkeypatch.setenv("PORTALPULSE_CLOCK", "2025-09-01T08:00:00+07:00")
    path, again, other = (tmp_path / name for name in ("one.csv", "again.csv", "other.csv"))
    output = run("produce", "--scenario", scenario, "--catalogue", str(path), "--seed", "3").stdout
    assert f"{agencies * 60:,} services of {agencies} agencies. Load them with `portalpulse catalogue load" in output
    run("produce", "--scenario", scenario, "--catalogue", str(again), "--seed", "3")
    run("produce", "--scenario", scenario, "--catalogue", str(other), "--seed", "4")
    assert path.read_bytes() == again.read_bytes() != other.read_bytes()
    found = read_catalogue(path, REGISTRY)
    assert (len(found.entries), found.warnings) == (agencies * 60, ())
    assert len({entry.agency for entry in found.entries}) == agencies


@pytest.mark.parametrize(
    ("scenario", "agencies"),
    [
        ("thai-nguyen-2018", 1),
        pytest.param("services-2019", 86, marks=pytest.mark.long),
        pytest.param("emc-2024", 84, marks=pytest.mark.long),
    ],
)
def test_a_published_scenario_has_a_catalogue(run, tmp_path, scenario, agencies):
    """The catalogue of a published scenario can be loaded, and is that of its seed."""
    path, other = tmp_path / "one.csv", tmp_path / "other.csv"
    output = run("produce", "--scenario", scenario, "--catalogue", str(path), "--seed", "3").stdout
    run("produce", "--scenario", scenario, "--catalogue", str(other), "--seed", "4")
    assert path.read_bytes() != other.read_bytes()
    found = read_catalogue(path, REGISTRY)
    assert f"{len(found.entries):,} services of {agencies} agencies." in output
    assert (found.warnings, len({entry.agency for entry in found.entries})) == ((), agencies)


def test_simulated_dossiers_are_those_of_the_catalogue(run, tmp_path):
    """Procedure and level of every settled dossier of a regular month stand in the catalogue of its seed."""
    path, sent = tmp_path / "catalogue.csv", tmp_path / "sent.ndjson"
    run("produce", "--scenario", "feb-2025", "--catalogue", str(path), "--seed", "3")
    run("produce", "--scenario", "feb-2025", "--events", "3000", "--seed", "3", "--output", str(sent))
    catalogue = Catalogue(read_catalogue(path, REGISTRY).entries)
    settled = [fields for line in sent.read_bytes().splitlines() if (fields := json.loads(line))["status"] == 9]
    assert len(settled) > 100
    for fields in settled:
        entry = catalogue.entry(level_one(fields["dossier_code"]), fields["procedure_code"], dt.date(2025, 2, 1))
        assert entry is not None
        assert (entry.service_level, is_full(entry)) == (fields["service_level"], entry.legacy_level == 4)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--scenario", "emc-2025"], "emc-2024, services-2019, services-2020, thai-nguyen-2018, feb-2025, live"),
        (["--events", "5"], "feb-2025"),
        (["--fault", "resubmitted"], "--fault resubmitted=0.1"),
        (["--fault", "resubmitted=1.5"], "from 0 to 1"),
        (["--fault", "rain=0.5"], "again_seconds"),
        (["--fault", "again_same_ids=0.6", "--fault", "again_new_ids=0.6"], "add up to 1"),
        (["--truth", "missing/truth.json"], "cannot be written"),
        (["--scenario", "live", "--shuffle"], "--shuffle"),
        (["--rate", "fast"], "--rate"),
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--duration", "5"], "--scenario live"),
        (["--collapse", "H26"], "--scenario live"),
        (["--scenario", "live", "--scale", "2"], "--rate"),
        (["--scenario", "live", "--collapse", "H99"], "H99"),
        (["--faults", "5", "--output", "x.ndjson"], "--output"),
        (["--output", "missing/x.ndjson"], "cannot be written"),
        (["--data", "nowhere"], "portalpulse up --data nowhere"),
        (["--catalogue", "missing/x.csv"], "cannot be written: .*Give --catalogue another file"),
        (["--catalogue", "x.csv", "--output", "y.ndjson"], "--catalogue sends nothing"),
        (["--catalogue", "x.csv", "--scenario", "emc-2025"], "thai-nguyen-2018, feb-2025, live"),
        (["--scenario", "services-2019", "--scale", "2", "--output", "x.ndjson"], "one volume"),
    ],
)
def test_wrong_options_are_refused_with_a_remedy(run, arguments, problem):
    """Options that make no sense together or alone are configuration errors that say what to write instead."""
    with pytest.raises(ConfigurationError, match=problem):
        run("produce", *arguments)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "one source"),
        (["e.ndjson", "--from-table"], "one source"),
        (["missing.ndjson"], "no such file"),
        (["e.ndjson", "--speed", "2", "--rate", "5"], "--speed or a --rate"),
        (["e.ndjson", "--rate", "-5"], "--rate"),
        (["e.ndjson", "--agency", "H26"], "--from-table"),
        (["e.ndjson", "--from", "2024-05-01"], "--from-topic"),
        (["e.ndjson", "--from-offset", "5"], "Offsets"),
        (["e.ndjson", "--resume"], "--state"),
        (["e.ndjson", "--resume", "--state", "s.json"], "resume from"),
        (["e.ndjson", "--prebuilt", "--time", "now"], "original time"),
        (["e.ndjson", "--prebuilt", "--times", "0"], "with an end"),
        (["-", "--times", "2"], "read once"),
        (["/dev/null", "--processes", "2"], "read once"),
        (["."], "is a folder"),
        (["e.ndjson", "--format", "xml"], "ndjson, csv, parquet"),
        (["e.ndjson", "--delimiter", ";;"], "not one character"),
        (["e.ndjson", "page.gz"], "page.gz is HTML"),
        (["--from-table", "--from", "2024-05-01"], "--from and --to"),
        (["--from-table", "--from", "May", "--to", "2024-05-01"], "not a day"),
        (["--from-table", "--from", "2024-05-01", "--to", "2024-05-02"], "No running process"),
        (["--from-topic", "t", "--from", "2024-05-01T08:00:00"], "an offset"),
        (["--from-topic", "t", "--from", "2024-W33T08:00:00+07:00"], "an offset"),
        (["--from-topic", "t", "--to", "2024-W33-1"], "an offset"),
        (["e.ndjson", "--data", "nowhere"], "portalpulse up --data nowhere"),
    ],
)
def test_wrong_replays_are_refused_with_a_remedy(run, tmp_path, arguments, problem):
    """A replay that makes no sense is refused before a broker is asked."""
    (tmp_path / "e.ndjson").write_bytes(b"{}\n")
    (tmp_path / "page.gz").write_bytes(b"<html>")
    with pytest.raises(ConfigurationError, match=problem) as caught:
        run("replay", *arguments)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        ("e.ndjson", "e.ndjson is replayed"),
        ("./sub/../e.ndjson", "is replayed"),
        ("link", "link is replayed"),
        ("s.json", "s.json is the file of --state"),
        ("sub", "sub cannot be written"),
        ("none/r.json", "none/r.json cannot be written"),
    ],
)
def test_a_report_replaces_no_recording(run, tmp_path, report, problem):
    """A report is never written over what is replayed or its state, and its path is checked before anything is sent."""
    (tmp_path / "e.ndjson").write_bytes(b"{}\n")
    (tmp_path / "link").symlink_to("e.ndjson")
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConfigurationError, match=problem) as caught:
        run("replay", "e.ndjson", "--bootstrap", "127.0.0.1:1", "--state", "s.json", "--report", report)
    assert caught.value.remedy
    assert (tmp_path / "e.ndjson").read_bytes() == b"{}\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--report", "none/r.json"], "none/r.json cannot be written"),
        (["--from-rate", "5"], "--from-rate"),
        (["--shape", "find-limit"], "running process"),
        (["--data", "nowhere"], "portalpulse up --data nowhere"),
    ],
)
def test_wrong_loads_are_refused_with_a_remedy(run, arguments, problem):
    """The same holds for load tests."""
    with pytest.raises(ConfigurationError, match=problem):
        run("load", *arguments)


def test_any_day_bounds_a_topic(run, monkeypatch):
    """The first and the last day that there is are bounds that exclude nothing; Kafka is asked for no time before 1970."""

    def resolved(whole):
        raise ConfigurationError(f"asked from {whole.bounds.from_time} to {whole.bounds.to_time}")

    monkeypatch.setattr(KafkaRange, "resolved", resolved)
    for first, last, target_rate in (
        ("0001-01-01", "9999-12-31", "from 0 to 253402300800000"),
        ("1969-12-31", "2024-05-01", "from 0 to 1714582800000"),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "from 0 to 253402351199000"),
    ):
        with pytest.raises(ConfigurationError, match=target_rate):
            run("replay", "--from-topic", "t", "--bootstrap", "h:1", "--topic", "u", "--from", first, "--to", last)


def test_no_option_is_one_that_faust_takes_from_the_command_line(run):
    """Importing Faust reads --loop and --datadir from any program's arguments: our commands must not use these names."""
    for command in ("produce", "replay", "load"):
        text = run(command, "--help").stdout
        assert not [word for word in text.split() if word.startswith(("--loop", "--datadir"))]


def test_help_teaches_by_example(run):
    """The help texts show a whole command line."""
    for command in ("produce", "replay", "load"):
        assert f"portalpulse {command}" in run(command, "--help").stdout


def test_a_full_disk_is_one_sentence(run):
    """A file that takes no more ends the sending with an error of our own, not with a traceback."""
    with pytest.raises(UnavailableError, match="/dev/full takes no more lines"):
        run("produce", "--scenario", "live", "--rate", "max", "--duration", "5", "--output", "/dev/full")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--collapse", "H17"],
            r"H17 falls to 1\.00%\. .*alert after about \d\d s with `portalpulse up --quick-alerts`, and 12 min",
        ),
        (["--collapse", "H17", "--collapse-after", "60"], r"falls to 1\.00% after 60 s\."),
        (["--collapse", "H17:0.2"], "there will be no alert"),
    ],
)
def test_a_collapse_says_when_its_alert_is_expected(run, tmp_path, arguments, expected):
    """A collapse prints which alert to expect, and when."""
    result = run("produce", "--scenario", "live", "--duration", "0.1", "--output", str(tmp_path / "x"), *arguments)
    assert re.search(expected, result.stderr), result.stderr


@pytest.mark.parametrize(
    ("arguments", "night"),
    [
        ([], True),
        (["--shape", "office", "--collapse", "H17"], True),
        (["--collapse", "H17"], False),
        (["--shape", "steady"], False),
    ],
)
def test_little_traffic_at_night_is_explained(run, tmp_path, monkeypatch, arguments, night):
    """The office shape sends a twentieth at night and says so; a collapse is sent at full rate at any hour."""
    monkeypatch.setenv("PORTALPULSE_CLOCK", "2026-03-01T03:00:00+07:00")
    result = run("produce", "--scenario", "live", "--duration", "0.1", "--output", str(tmp_path / "x"), *arguments)
    assert ("At 03:00 in Viet Nam the office shape sends 5% of 50 messages/s: 2.5/s." in result.stderr) == night


def test_the_promised_times_are_those_of_the_rules():
    """Scrape, evaluation, waiting and grouping, with room for the way through the pipeline."""
    for rules, routes, scrape, promised in (
        (RuleTiming.demo(), AlertTiming.demo(), 3, QUICK_ALERT_SECONDS),
        (RuleTiming.production(), AlertTiming.production(), 5, ALERT_SECONDS),
    ):
        minimum = scrape + rules.evaluation_seconds + rules.agency_for_seconds + routes.group_wait_seconds
        assert minimum <= promised <= 1.5 * minimum


def test_the_target_of_live_traffic_is_the_rate_of_the_hour(run, monkeypatch):
    """What is sent is displayed beside what the shape of the day asks for now: 3/s at night is not a fault."""
    monkeypatch.setenv("PORTALPULSE_CLOCK", "2026-03-01T03:00:00+07:00")
    office = LiveShape.OFFICE
    traffic = live_traffic(seed=1, rate=50.0, shape=office, collapse=None, collapse_after=0.0)
    assert live_stream(traffic, label="live", seed=1, duration=None, faults=0).target_rate_at(0.0) == 2.5


def registry_file(tmp_path, *codes):
    """The packaged rows of these agencies as a file."""
    header, *rows = resources.files("domain").joinpath("data/agencies.csv").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "agencies.csv"
    path.write_text("\n".join([header, *(row for row in rows if row.startswith(codes))]) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("codes", [("H17",), ("H17", "H26"), ("H17", "H47", "G21")])
def test_a_registry_that_cannot_be_simulated_is_refused_with_a_remedy(run, tmp_path, monkeypatch, codes):
    """Each portal needs two unrelated agencies: of this registry's, some are too few, gone or successors of each other."""
    monkeypatch.setenv("PORTALPULSE_REGISTRY_FILE", registry_file(tmp_path, *codes))
    with pytest.raises(ConfigurationError, match="The registry has too few agencies to simulate") as caught:
        run("load")
    assert "PORTALPULSE_REGISTRY_FILE" in caught.value.remedy


@pytest.mark.parametrize("codes", [("H17",), ("H17", "H26")])
def test_the_topics_of_portals_are_used_however_many_there_are(run, tmp_path, monkeypatch, codes):
    """With a prefix a registry of a single agency has a topic of its portal, too, not the shared one."""
    monkeypatch.setenv("PORTALPULSE_REGISTRY_FILE", registry_file(tmp_path, *codes))
    monkeypatch.setenv("PORTALPULSE_KAFKA__PORTAL_PREFIX", "dvc.portal.")
    target = TargetOptions(data=None, bootstrap=None, topic=None, create_topic=False).resolve()
    assert target.portals == tuple(f"dvc.portal.{code}" for code in codes)
    assert TargetOptions(data=None, bootstrap=None, topic="t", create_topic=False).resolve().portals == ()


@pytest.mark.parametrize(("option", "expected"), [(None, "http://exporter:8080"), ("http://worker:9090", "http://worker:9090")])
def test_the_running_process_of_the_settings_is_asked(monkeypatch, option, expected):
    """Where no local stack runs, PORTALPULSE_HTTP__URL names the process, for producers as for every command; --http wins."""
    monkeypatch.setenv("PORTALPULSE_HTTP__URL", "http://exporter:8080")
    assert TargetOptions(data=None, bootstrap="b:1", topic=None, create_topic=False, http=option).resolve().http == expected


@pytest.mark.parametrize("text", ["5e-324", "1e-7", "1e10", "1e308", "inf", "nan", "0", "-1", "1_0e400"])
@pytest.mark.parametrize(
    "arguments",
    [("produce", "--scenario", "live", "--rate"), ("replay", "e.ndjson", "--rate"), ("replay", "e.ndjson", "--speed")],
)
def test_a_rate_is_one_that_can_be_computed_with(run, tmp_path, arguments, text):
    """A rate or a speed beyond what times can be computed with is refused before anything is sent."""
    (tmp_path / "e.ndjson").write_bytes(b"{}\n")
    with pytest.raises(ConfigurationError, match=f"{arguments[-1]} '{text}' is not (a positive number|between 0.000001 and)"):
        run(*arguments, text)
