"""The configurations of Prometheus, Kafka and the portalpulse processes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from dashboards.alertmanager.generate import AlertTiming, write_config
from dashboards.rules.generate import RuleTiming, write_rules
from deploy.native.commands import register
from deploy.native.environment import child_environment, ignored_settings
from deploy.native.services.alertmanager import AlertmanagerServer
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.kafka_misplaced import read_as_java, restore_messages
from deploy.native.services.prometheus import DEMO, LIVE, PrometheusServer, as_pattern, render_config, rule_names
from deploy.native.stack import LocalStack
from domain.errors import ConfigurationError
from pipeline.settings import PREFIX, Settings


def test_prometheus_gets_targets_rules_alertmanager_and_intervals():
    """Every argument appears in prometheus.yml."""
    text = render_config(
        targets={"portalpulse": ["127.0.0.1:1", "127.0.0.1:2"], "prometheus": ["127.0.0.1:3"]},
        rules=["../rules/agency.yml", "../rules/pipeline.yml"],
        alertmanager="127.0.0.1:4",
        pace=DEMO,
    )
    config = yaml.safe_load(text)
    assert config["global"] == {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
    assert config["rule_files"] == ["../rules/agency.yml", "../rules/pipeline.yml"]
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.0.0.1:4"]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert jobs == {"portalpulse": ["127.0.0.1:1", "127.0.0.1:2"], "prometheus": ["127.0.0.1:3"]}


def test_a_scrape_timeout_never_exceeds_its_interval():
    """Prometheus rejects a timeout above the interval."""
    for pace in (DEMO, LIVE):
        config = yaml.safe_load(render_config(targets={}, rules=[], alertmanager="127.0.0.1:4", pace=pace))
        assert config["global"]["scrape_timeout"] <= config["global"]["scrape_interval"]


def test_quick_alerts_need_more_than_one_scrape():
    """One scrape of a half-loaded system must not alert, also in quick mode."""
    assert RuleTiming.demo().agency_for_seconds >= 3 * DEMO.scrape


def test_kafka_has_no_retention_by_time_and_listens_on_loopback_only(tmp_path):
    """Replayed events have old timestamps and must be kept. Nothing is reachable from other machines."""
    libraries = tmp_path / "libs"
    node = KafkaNode(data_dir=tmp_path / "kafka", log_dir=tmp_path / "logs", libraries=libraries, home=tmp_path)
    node._configure()
    lines = (tmp_path / "kafka" / "server.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert properties["log.retention.ms"] == "-1"
    assert properties["advertised.listeners"] == f"PLAINTEXT://{node.bootstrap}"
    assert all(listener.split("//")[1].startswith("127.0.0.1:") for listener in properties["listeners"].split(","))
    factors = {name: value for name, value in properties.items() if name.endswith("replication.factor")}
    assert set(factors.values()) == {"1"}
    assert len(factors) == 4


def test_a_kafka_folder_keeps_its_cluster_id(tmp_path):
    """The id is created once and read at every later start."""

    def node():
        return KafkaNode(data_dir=tmp_path, log_dir=tmp_path / "logs", libraries=tmp_path, home=tmp_path)

    first = node().cluster_id
    assert len(first) == 22
    assert node().cluster_id == first


def test_a_folder_in_the_path_of_a_rule_file_is_not_a_pattern():
    """Prometheus treats rule files as patterns: the path is relative to its folder, and special characters are escaped."""
    folder = Path("/srv/d [1]*?/prometheus")
    assert as_pattern(Path("/srv/d [1]*?/rules/agency.yml"), directory=folder) == "../rules/agency.yml"
    assert as_pattern(Path("/srv/d [1]*?/prometheus/a[1]?.yml"), directory=folder) == r"a\[1]\?.yml"


def test_rules_are_known_by_group_and_name(tmp_path):
    """The rules that Prometheus must have loaded are read from the files, with duplicates."""
    path = tmp_path / "rules.yml"
    path.write_text("groups: [{name: g, rules: [{record: a:b:c, expr: '1'}, {alert: A, expr: '1'}, {alert: A, expr: '2'}]}]")
    assert rule_names([path]) == {("g", "a:b:c"): 1, ("g", "A"): 2}


NASTY = ("d [1]", "f,g", "a\\tb", "dữ liệu", "q?x=1#c%20", "$HOME ${a}", "-rf", "~", "a:b;c=d", "'\"")


@pytest.mark.parametrize("name", NASTY)
def test_no_folder_appears_in_a_file_for_kafka_prometheus_or_alertmanager(tmp_path, name):
    """Each program runs in its folder, so that no folder name has to be escaped in their files and options."""
    folder = tmp_path / name
    kafka = KafkaNode(data_dir=folder / "kafka", log_dir=tmp_path, libraries=tmp_path, home=tmp_path)
    kafka._configure()
    prometheus = PrometheusServer(data_dir=folder / "prometheus", log_dir=tmp_path, binary=tmp_path / "prometheus")
    rules = write_rules(folder / "rules", RuleTiming.production())
    prometheus.configure(targets={}, rules=rules, alertmanager="127.0.0.1:4")
    alertmanager = AlertmanagerServer(data_dir=folder / "alertmanager", log_dir=tmp_path, binary=tmp_path / "alertmanager")
    write_config(alertmanager.config, webhook_url="http://127.0.0.1:5/", timing=AlertTiming.production())
    for part, config in ((kafka, kafka._properties), (prometheus, prometheus.config), (alertmanager, alertmanager.config)):
        assert config.is_relative_to(folder)
        assert str(folder) not in config.read_text(encoding="utf-8")
        assert not [word for word in part.process._command if str(folder) in word]
        assert part.process._directory == config.parent


def java_properties(text):
    """A line of an earlier version: in UTF-8, without escapes."""
    return f"node.id=1\nlog.dirs={text}\nnum.partitions=4\n".encode()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("/srv/plain/kafka/logs", ["/srv/plain/kafka/logs"]),
        ("/srv/a\\tb/logs", ["/srv/a\tb/logs"]),
        ("/srv/a\\qb/logs", ["/srv/aqb/logs"]),
        ("/srv/f,g/logs", ["/srv/f", "g/logs"]),
        ("/srv/dữ/logs", ["/srv/d\u00e1\u00bb\u00af/logs"]),
        ("/srv/\\u0041/logs", ["/srv/A/logs"]),
    ],
)
def test_old_properties_are_read_as_java_read_them(written, read):
    """Escapes, commas and characters beyond ISO-8859-1 are read as Java read them."""
    assert read_as_java(java_properties(written)) == [Path(path) for path in read]


def old_node(folder, *, logs, cluster="c1"):
    """A node's folder as an earlier version left it, with its messages where Java put them."""
    folder.mkdir(parents=True)
    (folder / "server.properties").write_bytes(java_properties(f"{folder}/logs"))
    for path in logs:
        path.mkdir(parents=True)
        (path / "meta.properties").write_text(f"version=1\ncluster.id={cluster}\n")
        (path / "events-0").mkdir()


def test_messages_that_an_earlier_version_put_elsewhere_are_restored(tmp_path):
    """The folder with the wrong name is moved back, and nothing is left of the wrong name."""
    folder = tmp_path / "dữ" / "kafka"
    misplaced = tmp_path / "d\u00e1\u00bb\u00af" / "kafka" / "logs"
    old_node(folder, logs=[misplaced])
    restore_messages(folder, cluster_id="c1")
    assert (folder / "logs" / "events-0").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dữ"]
    restore_messages(folder, cluster_id="c1")
    assert (folder / "logs" / "events-0").is_dir()


def test_messages_in_two_folders_are_named(tmp_path):
    """A comma had split the messages: the start fails with both paths, and nothing is moved."""
    folder = tmp_path / "f,g" / "kafka"
    old_node(folder, logs=[tmp_path / "f"])
    with pytest.raises(ConfigurationError, match="comma") as caught:
        restore_messages(folder, cluster_id="c1")
    assert str(tmp_path / "f") in str(caught.value)
    assert (tmp_path / "f" / "events-0").is_dir()


def test_messages_of_another_cluster_are_left_alone(tmp_path):
    """A folder of the wrong name that belongs to another cluster is not moved."""
    folder = tmp_path / "dữ" / "kafka"
    misplaced = tmp_path / "d\u00e1\u00bb\u00af" / "kafka" / "logs"
    old_node(folder, logs=[misplaced], cluster="another")
    restore_messages(folder, cluster_id="c1")
    assert (misplaced / "events-0").is_dir()
    assert not (folder / "logs").exists()


UTF8 = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}


def test_settings_of_the_stack_have_priority_and_the_demo_inherits_none():
    """A variable of the shell cannot change the demo's figures; the log format may be chosen."""
    base = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PORTALPULSE_CLOCK": "system",
        "PORTALPULSE_THRESHOLDS": "[]",
        "PORTALPULSE_LOG__LEVEL": "debug",
    }
    ours = {"CLOCK": "2024-08-20T23:59:59+07:00"}
    free = child_environment(base, ours=ours, inherit=True)
    assert free == base | UTF8 | {"PORTALPULSE_CLOCK": "2024-08-20T23:59:59+07:00"}
    demo = child_environment(base, ours=ours, inherit=False)
    assert demo == UTF8 | {
        "PATH": "/bin",
        "PORTALPULSE_LOG__LEVEL": "debug",
        "PORTALPULSE_CLOCK": "2024-08-20T23:59:59+07:00",
    }


def test_the_processes_of_a_stack_read_the_registry_that_it_read(monkeypatch, tmp_path):
    """The registry reaches the processes by its absolute path: they have another current folder. Without one it is empty."""
    given = {}
    monkeypatch.setattr(LocalStack, "bootstrap", "127.0.0.1:1")
    monkeypatch.setattr("deploy.native.stack_parts.PortalPulseProcess", lambda *_, **named: given.update(named["environment"]))
    monkeypatch.setattr("deploy.native.up.up", lambda options, **_: LocalStack(options)._create_process("worker", clickhouse="x"))
    monkeypatch.chdir(tmp_path)
    packaged = resources.files("domain").joinpath("data/agencies.csv").read_bytes()
    (tmp_path / "units.csv").write_bytes(packaged)
    app = typer.Typer()
    register(app)
    for setting, reached in (("units.csv", str(tmp_path / "units.csv")), ("", "")):
        monkeypatch.setenv("PORTALPULSE_REGISTRY_FILE", setting)
        answer = CliRunner().invoke(app, ["up", "--data", str(tmp_path / "data")])
        assert answer.exit_code == 0, answer.output
        assert given["PORTALPULSE_REGISTRY_FILE"] == reached


def test_settings_of_another_system_do_not_reach_the_stack():
    """Address, password and certificate of another broker or database are ignored, in any spelling, and named."""
    others = {
        "PORTALPULSE_KAFKA__BOOTSTRAP": "prod-1:9093",
        "PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "PORTALPULSE_KAFKA__SASL_MECHANISM": "PLAIN",
        "PORTALPULSE_KAFKA__USER": "u",
        "portalpulse_kafka__password": "secret",
        "PORTALPULSE_KAFKA__CA_FILE": "/ca.pem",
        "PORTALPULSE_KAFKA": '{"user": "u"}',
        "PORTALPULSE_CLICKHOUSE__URL": "https://prod:8443/portalpulse",
        "PORTALPULSE_HTTP__PORT": "8080",
    }
    followed = {
        "HOME": "/root",
        "PORTALPULSE_DATA_DIR": "d",
        "PORTALPULSE_KAFKA__TOPIC": "t",
        "PORTALPULSE_KAFKA__FETCH_BYTES": "65536",
        "PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS": "5",
        "PORTALPULSE_THRESHOLDS": "[]",
    }
    base = others | followed
    assert ignored_settings(base, inherit=True) == sorted(others)
    assert child_environment(base, ours={"KAFKA__BOOTSTRAP": "127.0.0.1:1"}, inherit=True) == followed | UTF8 | {
        "PORTALPULSE_KAFKA__BOOTSTRAP": "127.0.0.1:1"
    }
    assert "PORTALPULSE_THRESHOLDS" in ignored_settings(base, inherit=False)
    assert "PORTALPULSE_KAFKA__TOPIC" not in ignored_settings(base, inherit=False)


def test_every_setting_of_a_section_with_addresses_is_classified():
    """A new setting of Kafka, ClickHouse, HTTP or the board must be listed here as followed or ignored."""
    expected = {
        "KAFKA": "TOPIC GROUP INSTANCE_ID LEAVE_ON_STOP PARTITIONS SESSION_TIMEOUT_SECONDS"
        " FETCH_BYTES FETCH_MIN_BYTES FETCH_MAX_WAIT_MS METADATA_MAX_AGE_SECONDS",
        "CLICKHOUSE": "TIMEOUT_SECONDS",
        "HTTP": "READ_TOKEN OPERATE_TOKEN ANONYMOUS_READ ALLOWED_HOSTS REQUESTS_PER_SECOND",
        "BOARD": "STALE_SECONDS",
    }
    places = {
        "KAFKA": "BOOTSTRAP PORTAL_PREFIX SECURITY_PROTOCOL SASL_MECHANISM USER PASSWORD CA_FILE",
        "CLICKHOUSE": "URL SHARDS CLUSTER CA_FILE",
        "HTTP": "HOST PORT URL CERTIFICATE_FILE KEY_FILE CA_FILE",
        "BOARD": "PROMETHEUS_URL ALERTMANAGER_URL",
    }
    for section, followed in expected.items():
        model = Settings.model_fields[section.lower()].annotation
        variables = {f"{PREFIX}{section}__{name.upper()}" for name in model.model_fields}
        known = {f"{PREFIX}{section}__{name}" for name in f"{followed} {places[section]}".split()}
        assert variables == known
        ignored = set(ignored_settings(dict.fromkeys(variables, ""), inherit=True))
        assert ignored == {f"{PREFIX}{section}__{name}" for name in places[section].split()}
