"""Locates the programs that portalpulse does not ship; the error for a missing program says how to install it.

``deploy/setup.sh`` installs all of them: jars and the engine library below ``.cache``, the others from the distribution.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from domain.errors import ConfigurationError

#: The checkout this package runs from.
PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache"

KAFKA_VERSION = "4.1.0"
#: Of the coordination service of a ClickHouse cluster; for tests.
ZOOKEEPER_VERSION = "3.9.5"
CLICKHOUSE_LIBRARY_VERSION = "26.7.3-stable.1"
#: Version of axe-core; deploy/setup.sh names the same.
AXE_VERSION = "4.14.1"
#: What tests/grafana/package.json names and npm-shrinkwrap.json pins.
GRAFANA_LIBRARIES = PROJECT / "tests" / "grafana"
MIN_JAVA = 17

SETUP = "Run deploy/setup.sh"
SETUP_TESTS = "Run deploy/setup.sh --tests"


def kafka_libraries(cache: Path = CACHE) -> Path:
    """The folder with Kafka's jars.

    Raises:
        ConfigurationError: they were not downloaded.
    """
    folder = cache / "kafka" / KAFKA_VERSION / "libs"
    if not any(folder.glob("kafka_2.13-*.jar")):
        raise ConfigurationError(
            f"Apache Kafka {KAFKA_VERSION} is not below {folder}.", remedy=f"{SETUP} on a machine with Java and Maven."
        )
    return folder


def zookeeper_libraries(cache: Path = CACHE) -> Path:
    """The folder with ZooKeeper's jars; for tests.

    Raises:
        ConfigurationError: they were not downloaded.
    """
    folder = cache / "zookeeper" / ZOOKEEPER_VERSION / "libs"
    if not (folder / f"zookeeper-{ZOOKEEPER_VERSION}.jar").is_file():
        raise ConfigurationError(
            f"Apache ZooKeeper {ZOOKEEPER_VERSION} is not below {folder}.",
            remedy=f"{SETUP_TESTS} on a machine with Java and Maven.",
        )
    return folder


def clickhouse_library(cache: Path = CACHE) -> Path:
    """The engine library ``libchdb.so`` that can serve HTTP.

    Raises:
        ConfigurationError: it was not downloaded.
    """
    path = cache / "clickhouse-server" / CLICKHOUSE_LIBRARY_VERSION / "libchdb.so"
    if not path.is_file():
        raise ConfigurationError(f"The ClickHouse server library is not at {path}.", remedy=f"{SETUP_TESTS}.")
    return path


def axe_script(cache: Path = CACHE) -> Path:
    """The script of axe-core, which checks whether a page can be used by everybody; for tests.

    Raises:
        ConfigurationError: it was not downloaded.
    """
    path = cache / "axe-core" / AXE_VERSION / "axe.min.js"
    if not path.is_file():
        raise ConfigurationError(f"axe-core is not at {path}.", remedy=f"{SETUP_TESTS}.")
    return path


def grafana_libraries(cache: Path = CACHE, source: Path = GRAFANA_LIBRARIES) -> Path:
    """The folder with ``node_modules`` of Grafana's own libraries, which the tests of the Grafana boards use.

    Raises:
        ConfigurationError: they were not downloaded, or other versions of them.
    """
    folder, names = cache / "grafana-libraries", ("package.json", "npm-shrinkwrap.json")
    installed = [folder / name for name in names]
    if not all(path.is_file() and path.read_bytes() == (source / path.name).read_bytes() for path in installed):
        raise ConfigurationError(f"Grafana's libraries of tests/grafana are not in {folder}.", remedy=f"{SETUP_TESTS}.")
    return folder


def node_binary() -> Path:
    """The path of Node, which runs Grafana's libraries in tests.

    Raises:
        ConfigurationError: Node is not on PATH.
    """
    return _program("node", "nodejs", what="Node")


def java_home(environment: Mapping[str, str] = os.environ, *, roots: Path = Path("/usr/lib/jvm")) -> Path:
    """The home of a Java runtime that Kafka can use: JAVA_HOME, then ``java`` on PATH, then the newest below ``roots``.

    Raises:
        ConfigurationError: none was found, or all are too old.
    """
    candidates = []
    if environment.get("JAVA_HOME"):
        candidates.append(Path(environment["JAVA_HOME"]))
    on_path = shutil.which("java", path=environment.get("PATH"))
    if on_path:
        candidates.append(Path(on_path).resolve().parents[1])
    if roots.is_dir():
        candidates += sorted(roots.iterdir(), reverse=True)
    versions = {}
    for home in candidates:
        if not (home / "bin" / "java").is_file():
            continue
        version = _java_version(home)
        if version >= MIN_JAVA:
            return home
        versions[home] = version
    found = ", ".join(f"{home} is Java {version}" for home, version in versions.items())
    raise ConfigurationError(
        f"Kafka needs Java {MIN_JAVA} or newer; {found or 'no Java was found'}.",
        remedy=f"{SETUP} as root, or install a JRE and set JAVA_HOME; `--memory-broker` does without Kafka.",
    )


def _java_version(home: Path) -> int:
    """Java's major version from the ``release`` file or, where a distribution has none, from the program; 0: unknown."""
    release = home / "release"
    if release.is_file():
        text = release.read_text(encoding="utf-8", errors="replace")
    else:
        command = [str(home / "bin" / "java"), "-version"]
        text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stderr
    match = re.search(r'(?:JAVA_VERSION=|version )"(\d+)', text)
    return int(match[1]) if match else 0


def _program(*names: str, what: str) -> Path:
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ConfigurationError(f"{what} is not installed ({' or '.join(names)} on PATH).", remedy=f"{SETUP} as root.")


def prometheus_binary() -> Path:
    """The path of the Prometheus server.

    Raises:
        ConfigurationError: Prometheus is not on PATH.
    """
    return _program("prometheus", what="Prometheus")


def alertmanager_binary() -> Path:
    """The path of Alertmanager, which Debian calls prometheus-alertmanager.

    Raises:
        ConfigurationError: Alertmanager is not on PATH.
    """
    return _program("prometheus-alertmanager", "alertmanager", what="Alertmanager")


def chromium_binary() -> Path:
    """The path of the browser that the tests of printed pages use.

    Raises:
        ConfigurationError: no such browser is on PATH.
    """
    return _program("chromium", "chromium-browser", "google-chrome", what="Chromium")
