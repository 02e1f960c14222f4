"""The doctor on a real ClickHouse server with users of several rights: schema, rights, hidden and expiring rows, disks, clock."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from deploy.native.doctor.clocks import Clocks
from deploy.native.doctor.storage import examine_server, storage_servers
from deploy.native.services.clickhouse_server import ClickHouseServer
from pipeline.settings import Settings
from pipeline.wiring.storage import migrate_storage
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.server_state import read_identity
from sinks.clickhouse.target import Target

pytestmark = pytest.mark.integration

HIDING = "<databases><veiled><agency_day><filter>agency != 'H01'</filter></agency_day></veiled></databases>"
#: User -> what is added to it.
USERS = {
    "default": "<access_management>1</access_management>",
    "reader": "<grants><query>GRANT SELECT ON whole.*</query></grants>",
    "exporter": "<grants><query>GRANT SELECT ON whole.*</query><query>GRANT SELECT ON system.disks</query></grants>",
    "worker": "<grants><query>GRANT SELECT, INSERT, ALTER, CREATE, DROP, OPTIMIZE ON whole.*</query>"
    "<query>GRANT TABLE ENGINE ON *</query><query>GRANT SELECT ON system.disks</query></grants>",
    "veiled": HIDING,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with these users and a database of the newest schema, ``whole``."""
    folder = tmp_path_factory.mktemp("doctor")
    users, config = folder / "users.xml", folder / "config.xml"
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>", encoding="utf-8")
    listed = "".join(
        f"<{user}><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>{more}</{user}>"
        for user, more in USERS.items()
    )
    profiles = "<profiles><default/></profiles><quotas><default/></quotas>"
    users.write_text(f"<clickhouse>{profiles}<users>{listed}</users></clickhouse>", encoding="utf-8")
    server = ClickHouseServer(data_dir=folder / "data", log_dir=folder, options=[f"--config-file={config}"])
    server.start()
    migrate_storage(settings_of(server))
    yield server
    server.stop()


def settings_of(server, database="whole", user="default"):
    """Settings that name a database of the server."""
    return Settings(clickhouse={"url": f"http://{user}@127.0.0.1:{server.http_port}/{database}"})


def examined(server, database="whole", user="default"):
    """The findings by part, without the name of the storage."""
    settings = settings_of(server, database, user)
    (found,) = storage_servers(settings)
    findings = examine_server(found, settings, Clocks())
    return {finding.part.removeprefix("ClickHouse").removeprefix(": "): finding for finding in findings}


@pytest.fixture
def migrated(server):
    """The name of a database of the newest schema that a test may spoil."""
    migrate_storage(settings_of(server, "spoilt"))
    yield "spoilt"
    server.query("DROP DATABASE spoilt SYNC")


def test_a_user_with_every_right_has_no_fault(server):
    """Version, schema, tables, rights and disks are named, and all is well."""
    found = examined(server, user="worker")
    assert {part: finding.state for part, finding in found.items()} == dict.fromkeys(
        ("", "schema", "tables", "rights", "disks"), "ok"
    )
    assert "version 2" in found[""].says
    assert found["schema"].since is not None


def test_rights_of_a_reader(server):
    """A user that only reads is not a fault; what a worker would need is listed, and where to read that it needs none."""
    found = examined(server, user="exporter")
    assert found["rights"].state == "note"
    for right in ("INSERT", "ALTER", "CREATE TABLE", "DROP TABLE", "OPTIMIZE"):
        assert f"{right} ON whole.*" in found["rights"].says
    assert (found["tables"].state, found["disks"].state) == ("ok", "ok")


def test_a_user_that_may_not_read_the_disks(server):
    """Without the right on system.disks nobody would be told before a disk is full: a note with the statement."""
    found = examined(server, user="reader")["disks"]
    assert (found.state, found.remedy) == ("note", "GRANT SELECT ON system.disks TO reader")


def test_a_user_that_is_refused(server):
    """A user that the server does not know is one finding, without the password."""
    found = examined(server, user="nobody:secret-word")
    assert list(found) == [""]
    assert found[""].state == "wrong"
    assert "secret-word" not in found[""].says + found[""].remedy
    assert "password" in found[""].says + found[""].remedy


def test_a_database_without_tables(server):
    """Before the first start there is no fault; the command that creates the tables is named."""
    found = examined(server, "missing")
    assert found["schema"].state == "note"
    assert "portalpulse migrate" in found["schema"].remedy
    assert "tables" not in found


def test_an_older_schema(server, migrated):
    """A migration that the database lacks is named; the remedy is to migrate."""
    server.query("DELETE FROM spoilt.schema_migrations WHERE number = 20")
    found = examined(server, migrated)["schema"]
    assert found.state == "wrong"
    assert "lacks migration 0020" in found.says
    assert "portalpulse migrate" in found.remedy


@pytest.mark.long
def test_a_newer_schema(server, migrated):
    """A migration that this release does not know is named with its time; the remedy is to update the program."""
    server.query("INSERT INTO spoilt.schema_migrations (number, name, sha256) VALUES (9000, 'later', 'x')")
    found = examined(server, migrated)["schema"]
    assert found.state == "wrong"
    assert "9000" in found.says
    assert "Update this program" in found.remedy
    assert found.since is not None


@pytest.mark.long
def test_an_edited_migration(server, migrated):
    """A migration that was applied with another content is named."""
    server.query("ALTER TABLE spoilt.schema_migrations UPDATE sha256 = 'other' WHERE number = 7 SETTINGS mutations_sync = 1")
    found = examined(server, migrated)["schema"]
    assert (found.state, "migration 0007 was edited" in found.says) == ("wrong", True)


@pytest.mark.long
def test_rows_that_are_hidden_or_expire(server, migrated):
    """A row policy and a TTL are findings that name the table and what to do.

    The policy is on a column of the key: a plan that counts would take the number of rows from the index and name no filter.
    """
    migrate_storage(settings_of(server, "veiled"))
    for agency in ("H01", "H17"):  # the plan of an empty table names no policy
        server.query(f"INSERT INTO veiled.agency_day (agency, events) SELECT '{agency}', 1 FROM numbers(3)")
    hidden = examined(server, "veiled", "veiled")["tables"]
    assert (hidden.state, "row policy hides rows of the table agency_day" in hidden.says) == ("wrong", True)
    server.query("ALTER TABLE spoilt.dossier_messages MODIFY TTL toDateTime(occurred_at) + INTERVAL 1 YEAR")
    expiring = examined(server, migrated)["tables"]
    assert (expiring.state, "TTL deletes rows" in expiring.says) == ("wrong", True)
    assert "REMOVE TTL" in expiring.says


def test_one_shard_of_a_cluster(server, migrated):
    """A single address that names one shard of several is a fault."""
    server.query("INSERT INTO spoilt.shard_position (number, shards) VALUES (0, 2)")
    found = examined(server, migrated)["tables"]
    assert (found.state, "one of 2 shards" in found.says) == ("wrong", True)


@pytest.mark.parametrize("seconds", [-90.0, 7.0])
def test_the_clock_of_a_server(server, seconds):
    """How far the clock of the server is from this machine's is known to a part of a second."""
    with closing(ClickHouse(Target.parse(server.url("system"), timeout=10))) as clickhouse:
        found = read_identity(clickhouse, now=lambda: time.time() - seconds)
    assert abs(found.ahead - seconds) <= found.uncertain + 0.05
    assert found.uncertain < 5
