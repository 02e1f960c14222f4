"""Missing programs are reported with a remedy; pinned versions agree."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET

import pytest

from deploy.native import programs as parts
from deploy.native.programs import (
    AXE_VERSION,
    CLICKHOUSE_LIBRARY_VERSION,
    KAFKA_VERSION,
    PROJECT,
    ZOOKEEPER_VERSION,
    axe_script,
    clickhouse_library,
    grafana_libraries,
    java_home,
    kafka_libraries,
    zookeeper_libraries,
)
from domain.errors import ConfigurationError

SETUP = PROJECT / "deploy" / "setup.sh"
POM = PROJECT / "deploy" / "native" / "services" / "kafka_distribution" / "pom.xml"
ZOOKEEPER_POM = PROJECT / "tests" / "clickhouse_cluster" / "zookeeper_distribution" / "pom.xml"


def fake_java(home, *, release):
    """A folder that looks like the home of a Java runtime."""
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(release)
    return home


def test_java_is_found_by_java_home_and_below_the_usual_folder(tmp_path):
    """JAVA_HOME has priority; without it the newest usable one below the distribution's folder is used."""
    old = fake_java(tmp_path / "jvm" / "java-11", release='JAVA_VERSION="11.0.2"\n')
    new = fake_java(tmp_path / "jvm" / "java-21", release='JAVA_VERSION="21.0.1"\n')
    own = fake_java(tmp_path / "own", release='JAVA_VERSION="17"\n')
    nowhere = str(tmp_path / "empty")
    assert java_home({"PATH": nowhere, "JAVA_HOME": str(own)}, roots=tmp_path / "jvm") == own
    assert java_home({"PATH": nowhere, "JAVA_HOME": str(old)}, roots=tmp_path / "jvm") == new
    assert java_home({"PATH": nowhere}, roots=tmp_path / "jvm") == new


def test_java_that_is_too_old_or_missing_is_reported(tmp_path):
    """The error names the versions that were found and a remedy."""
    with pytest.raises(ConfigurationError, match="no Java was found") as caught:
        java_home({"PATH": str(tmp_path)}, roots=tmp_path / "jvm")
    assert "setup.sh" in caught.value.remedy
    fake_java(tmp_path / "jvm" / "java-8", release='JAVA_VERSION="8"\n')
    with pytest.raises(ConfigurationError, match="is Java 8"):
        java_home({"PATH": str(tmp_path)}, roots=tmp_path / "jvm")


def test_missing_downloads_name_the_command_that_fetches_them(tmp_path):
    """Kafka's jars point to setup.sh; what only tests need points to it with --tests."""
    with pytest.raises(ConfigurationError) as kafka:
        kafka_libraries(tmp_path)
    with pytest.raises(ConfigurationError) as clickhouse:
        clickhouse_library(tmp_path)
    assert "deploy/setup.sh" in kafka.value.remedy
    assert "deploy/setup.sh --tests" in clickhouse.value.remedy
    with pytest.raises(ConfigurationError) as zookeeper:
        zookeeper_libraries(tmp_path)
    assert "deploy/setup.sh --tests" in zookeeper.value.remedy
    with pytest.raises(ConfigurationError) as axe:
        axe_script(tmp_path)
    assert "deploy/setup.sh --tests" in axe.value.remedy
    (tmp_path / "grafana-libraries").mkdir()
    for name in ("package.json", "npm-shrinkwrap.json"):
        (tmp_path / "grafana-libraries" / name).write_text("{}")
    with pytest.raises(ConfigurationError) as grafana:  # others than those of the lock
        grafana_libraries(tmp_path)
    assert "deploy/setup.sh --tests" in grafana.value.remedy


def test_missing_programs_name_the_command_that_installs_them(monkeypatch, tmp_path):
    """A missing Prometheus or Alertmanager is reported in one sentence each."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for find in (parts.prometheus_binary, parts.alertmanager_binary, parts.node_binary):
        with pytest.raises(ConfigurationError, match="not installed") as caught:
            find()
        assert "deploy/setup.sh" in caught.value.remedy


def test_versions_agree():
    """setup.sh, the poms and the code name the same versions of Kafka, ZooKeeper and the ClickHouse library."""
    properties = {node.tag.rpartition("}")[2]: node.text for node in ET.parse(POM).getroot().iter()}
    assert properties["kafka.version"] == KAFKA_VERSION
    properties = {node.tag.rpartition("}")[2]: node.text for node in ET.parse(ZOOKEEPER_POM).getroot().iter()}
    assert properties["zookeeper.version"] == ZOOKEEPER_VERSION
    script = SETUP.read_text(encoding="utf-8")
    assert re.search(r"^CHDB_VERSION='(.*)'$", script, re.MULTILINE)[1] == CLICKHOUSE_LIBRARY_VERSION
    assert re.search(r"^AXE_VERSION='(.*)'$", script, re.MULTILINE)[1] == AXE_VERSION


def test_setup_is_plain_shell_and_names_no_registry():
    """It parses as POSIX sh, pins the packages without a lock file, and names no registry host."""
    subprocess.run(["sh", "-n", SETUP], check=True)
    script = SETUP.read_text(encoding="utf-8")
    assert not re.search(r"https?://", script)
    for name in ("CHDB", "AXE"):
        assert re.search(rf"^{name}_SHA256='[0-9a-f]{{64}}'$", script, re.MULTILINE)


def test_setup_rejects_an_unknown_option():
    """A typing error installs nothing."""
    answer = subprocess.run([SETUP, "--test"], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2
    assert "unknown option --test" in answer.stderr
