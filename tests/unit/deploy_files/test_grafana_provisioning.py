"""Grafana's provisioning files have the keys that Grafana reads, name services that exist and match the boards."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from dashboards.grafana.publish import FOLDER_TITLE, FOLDER_UID

ROOT = Path(__file__).parents[3]
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
SERVICES = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"]

Uid = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Url = Annotated[str, Field(pattern=r"^http://[a-z]+:\d+$")]


class Strict(BaseModel):
    """Grafana's names in camelCase; nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class PrometheusJson(Strict):
    http_method: Literal["POST", "GET"]
    time_interval: Annotated[str, Field(pattern=r"^\d+[sm]$")]
    manage_alerts: bool
    alertmanager_uid: Uid


class AlertmanagerJson(Strict):
    implementation: Literal["prometheus", "mimir", "cortex"]
    handle_grafana_managed_alerts: Literal[False]


class ClickHouseJson(Strict):
    host: str
    port: int
    protocol: Literal["native", "http"]
    secure: bool
    username: str
    default_database: Literal["portalpulse"]


class Password(Strict):
    password: Annotated[str, Field(pattern=r"^\$__file\{/run/secrets/[a-z_]+\}$")]


class Source(Strict):
    name: str
    uid: Uid
    access: Literal["proxy"]
    is_default: bool
    editable: Literal[False]


class PrometheusSource(Source):
    type: Literal["prometheus"]
    url: Url
    json_data: PrometheusJson


class AlertmanagerSource(Source):
    type: Literal["alertmanager"]
    url: Url
    json_data: AlertmanagerJson


class ClickHouseSource(Source):
    type: Literal["grafana-clickhouse-datasource"]
    json_data: ClickHouseJson
    secure_json_data: Password


class DataSources(Strict):
    api_version: Literal[1]
    prune: bool
    datasources: list[Annotated[PrometheusSource | AlertmanagerSource | ClickHouseSource, Field(discriminator="type")]]


class Folder(Strict):
    path: str
    folders_from_files_structure: bool


class Provider(Strict):
    name: str
    org_id: int
    folder: str
    folder_uid: Uid
    type: Literal["file"]
    disable_deletion: bool
    allow_ui_updates: Literal[False]
    update_interval_seconds: Annotated[int, Field(ge=10)]
    options: Folder


class Providers(Strict):
    api_version: Literal[1]
    providers: list[Provider]


def read(model, path):
    """A provisioning file, checked."""
    return model.model_validate(yaml.safe_load((PROVISIONING / path).read_text(encoding="utf-8")))


@pytest.fixture
def sources():
    """The data sources."""
    return read(DataSources, "datasources/portalpulse.yaml")


@pytest.fixture
def providers():
    """The providers of boards."""
    return read(Providers, "dashboards/portalpulse.yaml")


def test_nothing_else_is_provisioned():
    """Every file below provisioning is one that these tests read: Grafana would read a stray one as well."""
    files = sorted(str(path.relative_to(PROVISIONING)) for path in PROVISIONING.rglob("*") if path.is_file())
    assert files == ["dashboards/portalpulse.yaml", "datasources/portalpulse.yaml"]


def test_data_sources(sources):
    """There is one data source of each kind, exactly one is the default, and uids are unique."""
    assert [source.type for source in sources.datasources] == [
        "prometheus",
        "alertmanager",
        "grafana-clickhouse-datasource",
    ]
    assert [source.is_default for source in sources.datasources] == [True, False, False]
    assert len({source.uid for source in sources.datasources}) == 3
    assert sources.datasources[0].json_data.alertmanager_uid == sources.datasources[1].uid


def test_data_sources_name_services_that_exist(sources):
    """Hosts are services of the Compose file; the user and password of ClickHouse are those that it is given."""
    prometheus, alertmanager, clickhouse = sources.datasources
    hosts = [re.sub(r"^http://|:\d+$", "", source.url) for source in (prometheus, alertmanager)]
    assert set(hosts) | {clickhouse.json_data.host} <= set(SERVICES)
    secret = Path(clickhouse.secure_json_data.password.removeprefix("$__file{").removesuffix("}"))
    assert secret.parent == Path("/run/secrets")
    assert secret.name in SERVICES["grafana"]["secrets"]
    reader = (ROOT / "deploy" / "compose" / "clickhouse" / "users.xml").read_text(encoding="utf-8")
    assert f"<{clickhouse.json_data.username}>" in reader
    assert clickhouse.type in SERVICES["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]


def test_boards_are_found(providers):
    """The provider reads the folder that the committed boards are mounted at, into the folder that `push` uses, too."""
    (provider,) = providers.providers
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
    folder = (ROOT / "deploy" / mounted[provider.options.path]).resolve()
    assert [json.loads(path.read_text(encoding="utf-8"))["uid"] for path in folder.glob("*.json")]
    assert (provider.folder, provider.folder_uid) == (FOLDER_TITLE, FOLDER_UID)
    assert mounted["/etc/grafana/provisioning"] == "./grafana/provisioning"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["datasources"][0].pop("uid"),
        lambda content: content["datasources"][0].update(typ="prometheus"),
        lambda content: content["datasources"][1]["jsonData"].update(handleGrafanaManagedAlerts=True),
        lambda content: content["datasources"][2]["secureJsonData"].update(password="open sesame"),
    ],
)
def test_a_malformed_file_is_rejected(spoil):
    """The control: a missing or misspelt key, Grafana-managed alerts or a literal password are rejected."""
    content = yaml.safe_load((PROVISIONING / "datasources" / "portalpulse.yaml").read_text(encoding="utf-8"))
    spoil(content)
    with pytest.raises(ValidationError):
        DataSources.model_validate(content)
