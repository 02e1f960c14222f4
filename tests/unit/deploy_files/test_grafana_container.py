"""What the check in a container says of a Grafana: here of a stand-in, since it is made for machines that have containers."""

from __future__ import annotations

import httpx
import pytest

from dashboards.grafana.generate import boards
from deploy.grafana_container import editor_token, faults_of_boards, faults_of_queries
from tests.grafana_stand_in import grafana_stand_in

SOURCES = {"prometheus": "p", "grafana-clickhouse-datasource": "c"}


@pytest.fixture
def grafana():
    """A stand-in for Grafana, and its administrator."""
    with grafana_stand_in() as server, httpx.Client(base_url=server.url, auth=("admin", "secret"), trust_env=False) as admin:
        yield server, admin


def test_sound_boards_have_no_faults(grafana):
    """Boards that are stored as pushed and queries that run have no faults; all are asked, with their variables filled in."""
    server, admin = grafana
    assert faults_of_boards(admin, editor_token(admin)) == []
    assert faults_of_queries(admin, SOURCES) == []
    asked = [query for method, path, body in server.calls if path == "/api/ds/query" for query in body["queries"]]
    assert len(asked) == sum(len(panel["targets"]) for board in boards() for panel in board["panels"])
    texts = [query.get("expr") or query["rawSql"] for query in asked]
    assert not [text for text in texts if "$" in text.replace("$__", "")]
    assert {query["datasource"]["uid"] for query in asked} == {"p", "c"}


def test_faults_are_named(grafana):
    """A panel without its plugin, a board that Grafana stores otherwise, and a query that fails are each named."""
    server, admin = grafana
    server.plugins.remove("state-timeline")
    assert faults_of_boards(admin, editor_token(admin)) == ["portalpulse-agency: there is no plugin state-timeline"]
    server.plugins.append("state-timeline")
    stored = server.boards

    class Forgetful(dict):
        def __getitem__(self, uid):
            found = stored[uid]
            return found | {"dashboard": found["dashboard"] | {"schemaVersion": 99}}

    server.boards = Forgetful(stored)
    found = faults_of_boards(admin, editor_token(admin))
    assert "portalpulse-agency: the second push changes it: ~schemaVersion: 99 -> 42" in found
    assert "portalpulse-agency: stored otherwise: ~schemaVersion: 99 -> 42" in found
    server.query_error = "no such table"
    assert "portalpulse-national: Tỷ lệ cả nước: no such table" in faults_of_queries(admin, SOURCES)
