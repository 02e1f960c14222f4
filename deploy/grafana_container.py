"""Loads every board into a real Grafana in a container and lists what Grafana rejects or changes (``make grafana-check``).

For machines that have containers. It starts the Grafana of ``compose.yaml`` on a free port of loopback, pushes the boards twice,
compares what is stored, and asks for the plugins of panels and data sources. With data sources every query runs through Grafana.
"""

from __future__ import annotations

import argparse
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx
import yaml

from dashboards.grafana.changes import changes
from dashboards.grafana.generate import boards
from dashboards.grafana.publish import push
from deploy.native.ports import free_port
from deploy.native.programs import PROJECT

#: Seconds in which Grafana starts and installs its plugin.
_START: Final = 180
_ADMIN: Final = "admin"
#: What the variables of a board stand for in its queries.
_VALUES: Final = {"kpi": "I1", "window": "ytd", "agency:sqlstring": "'H26'", "agency": "H26"}


def _service() -> Mapping[str, Any]:
    """The service ``grafana`` of the compose file, as a mapping."""
    content = yaml.safe_load((PROJECT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    service: Mapping[str, Any] = content["services"]["grafana"]
    return service


@contextmanager
def _container(runtime: str, password: str) -> Iterator[str]:
    """Run Grafana in a container until the block ends; yields its address."""
    plugins = _service()["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    environment = ("-e", f"GF_SECURITY_ADMIN_PASSWORD={password}", "-e", f"GF_PLUGINS_PREINSTALL_SYNC={plugins}")
    port = free_port()
    # The network of the host, so that data sources on loopback are reached as from here.
    address = ("--network", "host", "-e", "GF_SERVER_HTTP_ADDR=127.0.0.1", "-e", f"GF_SERVER_HTTP_PORT={port}")
    command = [runtime, "run", "--detach", "--rm", *address, *environment]
    name = subprocess.run([*command, _service()["image"]], check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run([runtime, "stop", name], check=False, capture_output=True)


def _await_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + _START
    while True:
        try:
            if client.get("/api/health").json().get("database") == "ok":
                return
        except (httpx.HTTPError, ValueError):
            pass
        if time.monotonic() > deadline:
            sys.exit(f"Grafana did not start within {_START} s.")
        time.sleep(1)


def editor_token(admin: httpx.Client) -> str:
    """The token of a new service account with the role Editor, the only right that a push needs."""
    account = admin.post("/api/serviceaccounts", json={"name": "portalpulse", "role": "Editor"}).raise_for_status().json()
    made = admin.post(f"/api/serviceaccounts/{account['id']}/tokens", json={"name": "push"}).raise_for_status().json()
    return str(made["key"])


def faults_of_boards(admin: httpx.Client, token: str) -> list[str]:
    """A line for everything that is wrong with the boards after they were pushed twice."""
    url, made = str(admin.base_url), boards()
    push(made, url=url, token=token)
    second = push(made, url=url, token=token)
    found = [f"{one.uid}: the second push changes it: {'; '.join(one.changes[:3])}" for one in second.boards if one.changes]
    installed = {plugin["id"] for plugin in admin.get("/api/plugins", params={"embedded": 0}).raise_for_status().json()}
    for board in made:
        stored = admin.get(f"/api/dashboards/uid/{board['uid']}").raise_for_status().json()["dashboard"]
        found += [f"{board['uid']}: stored otherwise: {line}" for line in changes(stored, board)[:3]]
        kinds = {panel["type"] for panel in board["panels"]} | {panel["datasource"]["type"] for panel in board["panels"]}
        found += [f"{board['uid']}: there is no plugin {kind}" for kind in sorted(kinds - installed)]
    return found


def faults_of_queries(admin: httpx.Client, sources: Mapping[str, str]) -> list[str]:
    """A line for every query of a panel that Grafana cannot run. ``sources``: kind of data source -> its uid."""
    found = []
    for board in boards():
        for panel in board["panels"]:
            uid = sources.get(panel["datasource"]["type"])
            if uid is None:
                continue
            queries = [{**_filled(target), "datasource": {"uid": uid}, "intervalMs": 60_000} for target in panel["targets"]]
            answer = admin.post("/api/ds/query", json={"queries": queries, "from": "now-24h", "to": "now"})
            results = (
                answer.json().get("results", {}) if answer.headers.get("content-type", "").startswith("application/json") else {}
            )
            errors = [result["error"] for result in results.values() if result.get("error")]
            if errors or not results:
                found.append(f"{board['uid']}: {panel['title']}: {errors[0] if errors else f'status {answer.status_code}'}")
    return found


def _filled(target: Mapping[str, Any]) -> dict[str, Any]:
    def fill(text: str) -> str:
        return re.sub(r"\$\{?([a-z]+(?::sqlstring)?)\}?", lambda match: _VALUES[match[1]], text)

    return {name: fill(value) if name in {"expr", "rawSql"} else value for name, value in target.items()}


def _add_sources(admin: httpx.Client, arguments: argparse.Namespace) -> dict[str, str]:
    """Add the data sources that the arguments name; returns kind -> uid."""
    asked: list[dict[str, Any]] = []
    if arguments.prometheus:
        asked.append({"name": "Prometheus", "type": "prometheus", "url": arguments.prometheus})
    if arguments.clickhouse:
        target = httpx.URL(arguments.clickhouse)
        options = {"host": target.host, "port": target.port, "protocol": "http", "username": target.username}
        secret = {"password": target.password}
        options["defaultDatabase"] = target.path.strip("/")
        asked.append(
            {"name": "ClickHouse", "type": "grafana-clickhouse-datasource", "jsonData": options, "secureJsonData": secret}
        )
    found = {}
    for source in asked:
        answer = admin.post("/api/datasources", json={**source, "access": "proxy"}).raise_for_status().json()
        found[source["type"]] = answer["datasource"]["uid"]
    return found


def main() -> None:
    """Run the checks; status 1 when one fails."""
    parser = argparse.ArgumentParser(prog="make grafana-check", description=__doc__)
    parser.add_argument("--runtime", default="docker", help="docker or podman")
    parser.add_argument("--prometheus", metavar="URL", help="a Prometheus of portalpulse, to run the queries")
    parser.add_argument("--clickhouse", metavar="URL", help="http://user:password@host:8123/portalpulse, to run the queries")
    parser.add_argument(
        "--keep", action="store_true", help="wait for Enter before the container is removed, to look at the boards"
    )
    arguments = parser.parse_args()
    password = secrets.token_urlsafe(16)
    with (
        _container(arguments.runtime, password) as url,
        httpx.Client(base_url=url, auth=(_ADMIN, password), timeout=60, trust_env=False) as admin,
    ):
        _await_ready(admin)
        sources = _add_sources(admin, arguments)
        found = faults_of_boards(admin, editor_token(admin)) + faults_of_queries(admin, sources)
        for line in found:
            sys.stdout.write(f"WRONG  {line}\n")
        version = admin.get("/api/health").json().get("version")
        sys.stdout.write(
            f"{len(boards())} boards in Grafana {version}: {len(found)} faults; queries ran in {len(sources)} data sources\n"
        )
        if arguments.keep:
            sys.stdout.write(f"{url}, {_ADMIN}, {password}\n")
            input("Enter removes the container. ")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
