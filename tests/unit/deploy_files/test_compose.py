"""deploy/compose.yaml is a valid Compose file with pinned images, health checks, mounts and local ports; nothing is started."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SCHEMA = ROOT / "tests" / "data" / "compose-spec"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
#: Built here; every other image is pulled and pinned.
OWN_IMAGE = "portalpulse:"
#: Ends by itself, so it has no health check.
ONE_SHOT = {"produce"}
#: Added to the specification after the vendored schema: the name of the project.
LATER = {"name"}


def validate(content: dict) -> None:
    """Fails unless the content follows the vendored schema."""
    schema = json.loads((SCHEMA / "compose-spec.json").read_text(encoding="utf-8"))
    known = {key: value for key, value in content.items() if key not in LATER}
    jsonschema.Draft201909Validator(schema).validate(known)


def mounts() -> list[tuple[str, str, str, str]]:
    """Service, source, target and mode of every volume."""
    found = []
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            found.append((name, source, target, mode[0] if mode else ""))
    return found


def test_the_schema_is_the_published_one():
    """The vendored schema is unchanged since its README was written."""
    digest = hashlib.sha256((SCHEMA / "compose-spec.json").read_bytes()).hexdigest()
    assert digest in (SCHEMA / "README.md").read_text(encoding="utf-8")


def test_it_is_a_compose_file():
    """The file follows the Compose Specification."""
    validate(COMPOSE)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", COMPOSE["name"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda compose: compose["services"]["kafka"].update(imge="x"),
        lambda compose: compose["services"]["kafka"]["healthcheck"].update(intervall="5s"),
        lambda compose: compose["services"]["worker"]["depends_on"]["kafka"].update(condition="service_happy"),
        lambda compose: compose.update(servces={}),
    ],
)
def test_a_malformed_file_is_rejected(spoil):
    """The control: a misspelt key or value is rejected."""
    content = copy.deepcopy(COMPOSE)
    spoil(content)
    with pytest.raises(jsonschema.ValidationError):
        validate(content)


def test_every_service_is_present():
    """The stack has every process of the product; sample traffic is optional."""
    assert set(SERVICES) == {
        "kafka",
        "clickhouse",
        "worker",
        "exporter",
        "produce",
        "prometheus",
        "relay",
        "alertmanager",
        "grafana",
    }
    assert {name for name, service in SERVICES.items() if "profiles" in service} == ONE_SHOT


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    """An image is named with a version: the same file starts the same programs next year."""
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[a-z0-9/.-]+:v?\d+\.\d+[\w.-]*", image), image
    assert ("build" in SERVICES[name]) == image.startswith(OWN_IMAGE)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_service_has_a_health_check(name):
    """Readiness is checked, not assumed after some time; a service that ends is restarted."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_dependencies_wait_for_health():
    """A service waits until the services that it needs are healthy, and needs only services that exist."""
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in SERVICES[needed], needed


def test_ports_are_local():
    """Every published port is bound to this machine, and none is published twice."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published), published
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_one_network():
    """All services, and nothing else, share one network."""
    assert set(COMPOSE["networks"]) == {"portalpulse"}
    assert all(service["networks"] == ["portalpulse"] for service in SERVICES.values())


def test_mounted_files_exist():
    """Every mounted file of the project exists and is read-only; every named volume is declared and used."""
    named = set()
    for name, source, target, mode in mounts():
        assert target.startswith("/"), (name, target)
        if source.startswith("."):
            assert (DEPLOY / source).resolve().exists(), f"{name} mounts {source}, which does not exist"
            assert (DEPLOY / source).resolve().is_relative_to(ROOT), source
            assert mode == "ro", f"{name}: {source} can be written to"
        else:
            named.add(source)
    assert named == set(COMPOSE["volumes"])


def test_passwords_are_required():
    """The file contains no password; a missing one is an error with a hint, and the example names every variable."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    example = (DEPLOY / "compose" / "env.example").read_text(encoding="utf-8")
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert variables == set(re.findall(r"(?m)^(\w+)=", example))
    for name in variables:
        if name.endswith("PASSWORD"):
            assert re.search(rf"(?m)^{name}=$", example), f"{name} has a value in the example"
            assert not re.search(rf"\$\{{{name}\}}|\$\{{{name}:-", text), f"{name} may be empty"
            assert f"${{{name}:?" in text


def test_settings_exist():
    """Every PORTALPULSE_ variable of the file is a setting with an acceptable value."""
    from pipeline.settings import PREFIX, Settings

    for name in ("worker", "exporter", "produce", "relay"):
        nested: dict = {}
        for key, value in SERVICES[name]["environment"].items():
            assert key.startswith(PREFIX), key
            *groups, leaf = key.removeprefix(PREFIX).lower().split("__")
            place = nested
            for part in groups:
                place = place.setdefault(part, {})
            place[leaf] = re.sub(r"\$\{\w+:[?-]([^}]*)\}", r"\1", value)
        settings = Settings(**nested)
        given = set(nested)
        assert given <= set(Settings.model_fields), given - set(Settings.model_fields)
        assert settings.kafka.bootstrap == ("kafka:9092",)


@pytest.mark.parametrize("name", ["worker", "exporter", "produce", "relay"])
def test_commands_exist(name):
    """The command of a container is one of portalpulse's commands, with options that it has."""
    from typer.testing import CliRunner

    from pipeline.cli.main import create_cli

    command, *options = SERVICES[name]["command"]
    shown = CliRunner().invoke(create_cli(), [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    for option in options:
        assert not option.startswith("--") or option in shown.output, f"{command} has no {option}"


def test_prometheus_loads_its_configuration(tmp_path):
    """Prometheus accepts prometheus.yml with the rules at their path in the container, and scrapes only services that exist."""
    import shutil
    import subprocess

    text = (DEPLOY / "compose" / "prometheus.yml").read_text(encoding="utf-8")
    for name, source, target, _ in mounts():
        if name == "prometheus" and target.startswith("/etc/prometheus/rules/"):
            shutil.copy((DEPLOY / source).resolve(), tmp_path / Path(target).name)
    (tmp_path / "prometheus.yaml").write_text(text.replace("/etc/prometheus/rules", str(tmp_path)), encoding="utf-8")
    checked = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "3 rule files found" in checked.stdout
    content = yaml.safe_load(text)
    hosts = {"localhost"}
    for job in content["scrape_configs"]:
        hosts |= {target.split(":")[0] for group in job.get("static_configs", []) for target in group["targets"]}
        hosts |= {host for found in job.get("dns_sd_configs", []) for host in found["names"]}
    assert hosts - {"localhost"} <= set(SERVICES)
    assert {"worker", "exporter"} <= hosts


def test_alertmanager_starts_with_the_routes_of_the_recipients():
    """Alertmanager waits for the relay, which writes its routes; without a recipients file the start is refused with a hint."""
    relay, alertmanager = SERVICES["relay"], SERVICES["alertmanager"]
    assert alertmanager["depends_on"] == {"relay": {"condition": "service_healthy"}}
    written = relay["command"][relay["command"].index("--write-config") + 1]
    assert f"--config.file={written}" in alertmanager["command"]
    volumes = {name: [volume.split(":")[:2] for volume in SERVICES[name]["volumes"]] for name in ("relay", "alertmanager")}
    assert all(["alertmanager-config", str(Path(written).parent)] in mounted for mounted in volumes.values())
    port = relay["command"][relay["command"].index("--url") + 1].rpartition(":")[2]
    assert f":{port}/healthz" in relay["healthcheck"]["test"][-1]
    required = re.search(r"\$\{RECIPIENTS_FILE:\?([^}]+)\}", relay["environment"]["PORTALPULSE_NOTIFY__RECIPIENTS_FILE"])
    for path in re.findall(r"[\w/.]+\.(?:md|yaml)", required[1]):
        assert (ROOT / path).is_file(), path
    install = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"--owner portalpulse --group portalpulse --mode 0755 {Path(written).parent}" in install


def test_the_image_is_pinned_and_without_root():
    """The image has a pinned base and only locked packages checked by hash, copies files that exist, and does not run as root."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [
        line.split(maxsplit=1) for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip() and not line.startswith("#")
    ]
    bases = [rest.split()[0] for word, rest in lines if word == "FROM"]
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases), bases
    installs = [rest for word, rest in lines if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in install or "--no-deps" in install for install in installs)
    copied = {rest.split()[0] for word, rest in lines if word == "COPY"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests"}
    assert packages <= copied, packages - copied
    users = [rest for word, rest in lines if word == "USER"]
    assert users
    assert not users[-1].startswith(("0", "root"))
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = shlex.split(rest)
            for source in sources:
                assert (ROOT / source).exists(), f"the image copies {source}, which does not exist"
                assert f"!{source}\n" in ignored, f"the build context omits {source}"


def test_the_user_of_grafana_is_read_only():
    """Grafana's ClickHouse user reads only, takes its password from the environment and has a time limit."""
    from xml.etree import ElementTree as ET

    root = ET.parse(DEPLOY / "compose" / "clickhouse" / "grafana_reader.xml").getroot()
    user = root.find("users/grafana")
    assert user.find("password").get("from_env") in SERVICES["clickhouse"]["environment"]
    profile = root.find(f"profiles/{user.findtext('profile')}")
    assert profile.findtext("readonly") == "1"
    assert int(profile.findtext("max_execution_time")) <= 30
    assert [grant.text for grant in user.findall("grants/query")] == ["GRANT SELECT ON portalpulse.*"]
