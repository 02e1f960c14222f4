"""deploy/compose.yaml is a valid Compose file with pinned images, health checks, mounts and local ports; nothing is started."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import httpx
import jsonschema
import pytest
import yaml

from deploy.native.services.clickhouse_server import ClickHouseServer
from pipeline.settings import Settings
from pipeline.wiring.storage import migrated_storage, opened_storage
from tests.board_queries import board_sql

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


def test_secrets_are_files(tmp_path):
    """No password is in a variable: the script makes every secret as a file, once, and a process gets those that it reads."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    example = (DEPLOY / "compose" / "env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)", text)) == set(re.findall(r"(?m)^(\w+)=", example))
    folder = tmp_path / "secrets"
    script = DEPLOY / "compose" / "secrets.sh"
    subprocess.run([script, folder], check=True, capture_output=True, timeout=60)
    made = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    again = subprocess.run([script, folder], check=True, capture_output=True, text=True, timeout=60)
    assert "stays as it is" in again.stderr
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == made
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in folder.iterdir())
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == set(made)
    assert len(set(made.values())) == len(made)
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            assert not re.search(r"(?i)password$|token$|clickhouse__url$", variable), (name, variable)
            assert not re.search(r"://[^/\s]*@", value), (name, variable)
    targets = {name: {given_name(secret) for secret in service.get("secrets", [])} for name, service in SERVICES.items()}
    assert targets == {
        "worker": {"PORTALPULSE_CLICKHOUSE__URL"},
        "exporter": {"PORTALPULSE_CLICKHOUSE__URL", "PORTALPULSE_HTTP__OPERATE_TOKEN"},
        "relay": {"PORTALPULSE_NOTIFY__DELIVERY_TOKEN"},
        "alertmanager": {"delivery_token"},
        "clickhouse": {"/etc/clickhouse-server/users.d/passwords.xml"},
        "grafana": {"grafana_admin_password", "grafana_clickhouse_password"},
    } | {name: set() for name in set(SERVICES) - {"worker", "exporter", "relay", "alertmanager", "clickhouse", "grafana"}}
    for name, service in SERVICES.items():  # without secrets there is no such folder, and a folder that is missing is refused
        reads = any(target.startswith("PORTALPULSE_") for target in targets[name])
        assert ("PORTALPULSE_SECRETS_DIR" in service.get("environment", {})) == reads, name
    assert SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "deploy/secrets/" in ignored


def given_name(secret) -> str:
    """Under which name a service finds a secret."""
    return secret if isinstance(secret, str) else secret["target"]


def test_processes_have_no_rights():
    """Every container drops all rights; ours run without root on a read-only root, with memory or volumes to write to."""
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        if name not in {"kafka", "clickhouse"}:  # their images write to their configuration
            assert service["read_only"] is True, name
        if service["image"].startswith(OWN_IMAGE):
            folders = {mount.split(":")[0] for mount in service["tmpfs"]}
            folders |= {target for owner, _, target, mode in mounts() if owner == name and mode != "ro"}
            assert service["user"] == "10001:10001", name
            assert {"/tmp", "/var/lib/portalpulse"} <= folders, name


def test_settings_exist():
    """Every PORTALPULSE_ variable of the file is a setting with an acceptable value."""
    from pipeline.settings import PREFIX

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
    for private in ("deploy/.env", "deploy/secrets", "deploy/recipients"):
        assert ignored.index("!deploy\n") < ignored.index(f"\n{private}\n"), f"{private} would be in the build"
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = shlex.split(rest)
            for source in sources:
                assert (ROOT / source).exists(), f"the image copies {source}, which does not exist"
                assert f"!{source}\n" in ignored, f"the build context omits {source}"


@pytest.mark.integration
def test_clickhouse_users_can_do_their_work_and_nothing_else(tmp_path):
    """On a real server with the users of the stack: workers migrate, the exporter and Grafana read, and none does more."""
    subprocess.run([DEPLOY / "compose" / "secrets.sh", tmp_path / "secrets"], check=True, capture_output=True, timeout=60)
    (tmp_path / "users.d").mkdir()
    shutil.copy(DEPLOY / "compose" / "clickhouse" / "users.xml", tmp_path / "users.d")
    shutil.copy(tmp_path / "secrets" / "clickhouse_passwords.xml", tmp_path / "users.d" / "passwords.xml")
    (tmp_path / "users.xml").write_text(IMAGE_USERS, encoding="utf-8")
    config = tmp_path / "config.xml"
    config.write_text(f"<clickhouse><users_config>{tmp_path / 'users.xml'}</users_config></clickhouse>", encoding="utf-8")
    server = ClickHouseServer(data_dir=tmp_path / "data", log_dir=tmp_path, options=[f"--config-file={config}"])

    def secret(name):
        return (tmp_path / "secrets" / name).read_text(encoding="utf-8").strip()

    grafana = f"http://grafana:{secret('grafana_clickhouse_password')}@clickhouse:8123/portalpulse"
    urls = {"worker": secret("worker_url"), "exporter": secret("exporter_url"), "grafana": grafana}
    assert all(url.endswith("@clickhouse:8123/portalpulse") for url in urls.values())

    def ask(user, statement, **settings):
        url = urls[user].replace("clickhouse:8123/portalpulse", f"127.0.0.1:{server.http_port}/")
        answer = httpx.post(url, params={"database": "portalpulse"} | settings, content=statement, trust_env=False)
        return "" if answer.is_success else re.search(r"\((\w+)\)\W*(?:\(version.*)?$", answer.text.strip())[1]

    server.start()
    try:
        address = urls["worker"].replace("clickhouse:8123", f"127.0.0.1:{server.http_port}")
        with migrated_storage(Settings(clickhouse={"url": address})):
            pass
        address = urls["exporter"].replace("clickhouse:8123", f"127.0.0.1:{server.http_port}")
        with opened_storage(Settings(clickhouse={"url": address})) as storage:
            storage.tallies().totals()
            assert storage.tallies().free_space() is not None, "nobody would be told before the disk is full"
        assert not ask("exporter", "SELECT sum(bytes) FROM system.parts")
        now = dt.datetime.now(tz=dt.UTC)
        for query in board_sql(now - dt.timedelta(days=1), now):
            assert not ask("grafana", query.sql, max_execution_time="20"), query.name
        for user, statement in FORBIDDEN:
            assert ask(user, statement) in {"ACCESS_DENIED", "READONLY"}, (user, statement)
        assert ask("grafana", "SELECT 1", max_execution_time="60") == "SETTING_CONSTRAINT_VIOLATION"
        urls["exporter"] = urls["exporter"].replace("exporter:", "exporter:x")
        assert ask("exporter", "SELECT 1") == "AUTHENTICATION_FAILED"
    finally:
        server.stop()


#: What the image has before: one user for everything, from everywhere.
IMAGE_USERS = """<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>
<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></clickhouse>"""
FORBIDDEN = [
    ("worker", "CREATE DATABASE other"),
    ("worker", "CREATE USER other"),
    ("worker", "SYSTEM SHUTDOWN"),
    ("worker", "SELECT * FROM url('http://192.0.2.1/', CSV, 'a String')"),
    ("exporter", "INSERT INTO dead_letter_marks SELECT * FROM dead_letter_marks"),
    ("exporter", "TRUNCATE TABLE agency_day"),
    ("exporter", "SELECT * FROM file('x', CSV, 'a String')"),
    ("grafana", "INSERT INTO agency_day SELECT * FROM agency_day"),
    ("grafana", "SELECT count() FROM system.parts"),
    ("grafana", "DROP TABLE agency_day"),
]
