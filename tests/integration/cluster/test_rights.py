"""The users of docs/cluster.md on a real cluster: each can do its work with these rights, and nothing else."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import httpx
import pytest

from deploy.native.ports import LOOPBACK
from pipeline.settings import Settings
from pipeline.wiring.storage import migrated_storage, opened_storage
from tests.board_queries import board_sql
from tests.clickhouse_cluster.cluster import Cluster
from tests.factories import rows_of
from tests.integration.cluster.test_storage import counted, events, recount

pytestmark = [pytest.mark.integration, pytest.mark.long]

PAGE = Path(__file__).parents[3] / "docs" / "cluster.md"
PASSWORD = "correct-horse"
PROFILES = {"portalpulse": "default", "exporter": "default", "grafana": "only_reads"}


def documented_users():
    """Profiles, and the users of the page with a password and this machine as their network."""
    [users] = re.findall(r"```xml\n<users>(.*?)</users>\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, profile in PROFILES.items():
        assert users.count(f"<{name}><grants>") == 1
        more = f"<password>{PASSWORD}</password><networks><ip>127.0.0.0/8</ip></networks><quota>default</quota>"
        users = users.replace(f"<{name}><grants>", f"<{name}>{more}<profile>{profile}</profile><grants>")
    return "<only_reads><readonly>1</readonly></only_reads>", users


@pytest.fixture
def cluster(tmp_path):
    """Two shards whose servers know a secret of their own, and the users of the page; ``default`` only asks for readiness."""
    made = Cluster(tmp_path, shards=2, replicas=1)
    for replica in made.replicas:
        config = replica.folder / "config.xml"
        text = config.read_text(encoding="utf-8")
        assert text.count("<portalpulse><shard>") == 1
        config.write_text(text.replace("<portalpulse><shard>", "<portalpulse><secret>s</secret><shard>"), encoding="utf-8")
        users, (profiles, rights) = replica.folder / "users.xml", documented_users()
        text = users.read_text(encoding="utf-8").replace("</profiles>", f"{profiles}</profiles>")
        users.write_text(text.replace("</users>", f"{rights}</users>"), encoding="utf-8")
    with made:
        yield made


def settings(cluster, user):
    """The settings of a process that logs in as a user."""
    shards = [
        [f"http://{user}:{PASSWORD}@{LOOPBACK}:{replica.http_port}/portalpulse" for replica in shard] for shard in cluster.shards
    ]
    return Settings(clickhouse={"shards": str(shards).replace("'", '"')})


def error_of(replica, user, statement, **changes):
    """The name of the error with which a statement of a user is refused; empty when it is not."""
    url = f"http://{LOOPBACK}:{replica.http_port}/"
    answer = httpx.post(
        url, params={"database": "portalpulse"} | changes, content=statement, auth=(user, PASSWORD), trust_env=False, timeout=60
    )
    return "" if answer.is_success else re.search(r"\((\w+)\)\W*(?:\(version.*)?$", answer.text.strip())[1]


#: A statement of each kind that a user must not run.
FORBIDDEN = [
    ("portalpulse", "CREATE DATABASE other"),
    ("portalpulse", "CREATE USER other"),
    ("portalpulse", "SYSTEM SHUTDOWN"),
    ("portalpulse", "SYSTEM DROP REPLICA 's1r1' FROM TABLE portalpulse_local.agency_day"),
    ("portalpulse", "SYSTEM STOP FETCHES portalpulse_local.agency_day"),
    ("portalpulse", "SYSTEM STOP MERGES portalpulse_local.agency_day"),
    ("portalpulse", "SELECT * FROM remote('127.0.0.1', system.one)"),
    ("portalpulse", "SELECT * FROM url('http://192.0.2.1/', CSV, 'a String')"),
    *(
        (user, statement)
        for user in ("exporter", "grafana")
        for statement in (
            "INSERT INTO dead_letter_marks SELECT * FROM dead_letter_marks",
            "INSERT INTO portalpulse_local.agency_day SELECT * FROM portalpulse_local.agency_day",
            "TRUNCATE TABLE portalpulse_local.agency_day",
            "ALTER TABLE portalpulse_local.agency_day DELETE WHERE 1",
            "OPTIMIZE TABLE portalpulse_local.agency_day FINAL",
            "DROP TABLE agency_day",
            "CREATE TABLE portalpulse_local.other (a UInt8) ENGINE = Memory",
            "SYSTEM DROP REPLICA 's1r1' FROM TABLE portalpulse_local.agency_day",
            "SYSTEM STOP FETCHES portalpulse_local.agency_day",
            "SELECT * FROM file('x', CSV, 'a String')",
            "SELECT * FROM remote('127.0.0.1', system.one)",
        )
    ),
    ("grafana", "SYSTEM SYNC REPLICA portalpulse_local.agency_day LIGHTWEIGHT"),
    ("grafana", "SELECT count() FROM system.parts"),
]


def test_each_user_of_a_cluster_can_do_its_work_and_nothing_else(cluster):
    """Workers migrate, store, count and repair; the exporter reads whole figures; boards read all shards; no one does more."""
    with migrated_storage(settings(cluster, "portalpulse")) as storage:
        storage.events().insert_events(rows_of(events(40)))
        recount(storage.events())
        assert counted(storage) == [40, 40]
    with opened_storage(settings(cluster, "exporter")) as storage:
        assert counted(storage) == [40, 40]
        assert storage.tallies().free_space() is not None, "nobody would be told before a disk is full"
    now = dt.datetime.now(tz=dt.UTC)
    for replica in cluster.replicas:
        assert not error_of(replica, "exporter", "SELECT sum(bytes) FROM system.parts")
        for query in board_sql(now - dt.timedelta(days=1), now):
            assert not error_of(replica, "grafana", query.sql), query.name
        for user, statement in FORBIDDEN:
            assert error_of(replica, user, statement) in {"ACCESS_DENIED", "READONLY"}, (user, statement)
