"""What is written for Prometheus, Kafka and our own processes is what they need."""

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.native.kafka import KafkaNode
from deploy.native.prometheus import DEMO, LIVE, render_config
from deploy.native.stack import child_environment


def test_prometheus_is_told_targets_rules_alertmanager_and_pace():
    """Every argument of the rendering arrives in prometheus.yml."""
    text = render_config(
        targets={"portalpulse": ["127.0.0.1:1", "127.0.0.1:2"], "prometheus": ["127.0.0.1:3"]},
        rules=[Path("/rules/agency.yml"), Path("/rules/pipeline.yml")],
        alertmanager="127.0.0.1:4",
        pace=DEMO,
    )
    config = yaml.safe_load(text)
    assert config["global"] == {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    assert config["rule_files"] == ["/rules/agency.yml", "/rules/pipeline.yml"]
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.0.0.1:4"]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert jobs == {"portalpulse": ["127.0.0.1:1", "127.0.0.1:2"], "prometheus": ["127.0.0.1:3"]}


def test_a_scrape_never_outlasts_its_interval():
    """Prometheus refuses a timeout above the interval."""
    for pace in (DEMO, LIVE):
        config = yaml.safe_load(render_config(targets={}, rules=[], alertmanager="127.0.0.1:4", pace=pace))
        assert config["global"]["scrape_timeout"] <= config["global"]["scrape_interval"]


def test_kafka_never_forgets_by_age_and_listens_on_loopback_only(tmp_path):
    """Replayed events are old; their messages must outlive that. Nothing is reachable from other machines."""
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
    """The id is made once and read ever after, by this object and the next."""

    def node():
        return KafkaNode(data_dir=tmp_path, log_dir=tmp_path / "logs", libraries=tmp_path, home=tmp_path)

    first = node().cluster_id
    assert len(first) == 22
    assert node().cluster_id == first


def test_settings_of_the_stack_win_and_the_demo_inherits_none():
    """A variable left in the shell cannot bend the demo's figures; how the log is written may be chosen."""
    base = {
        "PATH": "/bin",
        "PORTALPULSE_CLOCK": "system",
        "PORTALPULSE_THRESHOLDS": "[]",
        "PORTALPULSE_LOG__LEVEL": "debug",
    }
    ours = {"CLOCK": "2024-08-20T23:59:59+07:00"}
    free = child_environment(base, ours=ours, inherit=True)
    assert free == base | {"PORTALPULSE_CLOCK": "2024-08-20T23:59:59+07:00"}
    demo = child_environment(base, ours=ours, inherit=False)
    assert demo == {
        "PATH": "/bin",
        "PORTALPULSE_LOG__LEVEL": "debug",
        "PORTALPULSE_CLOCK": "2024-08-20T23:59:59+07:00",
    }
