"""Three brokers with passwords, TLS and exactly the rights of docs/kafka_access.md: each user can do its work and no more."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

import domain
from deploy.native.processes import wait_until
from domain.periods import VIETNAM
from tests.factories import a_message
from tests.integration.silence.conftest import Authority, ObservedProcess
from tests.integration.silence.portal_brokers import ADMIN, PortalBrokers, binding_of, documented

PREFIX = "dvc.portal."
PASSWORD = "correct horse"
PORTALS = ("H17", "H62")
USERS = ("portalpulse-worker", "portalpulse-exporter", "portalpulse-replay", *(f"portal-{code}" for code in PORTALS))
EVENTS = 20


def rights():
    """The commands of the page; those of its portal for each portal."""
    lines = documented("kafka-acls.sh")
    of_portal = [line for line in lines if "User:portal-H17" in line]
    assert len(of_portal) == 1
    return lines + [line.replace("H17", code) for line in of_portal for code in PORTALS if code != "H17"]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """Three brokers with topics of two portals, the users, and the rights of the page."""
    folder = tmp_path_factory.mktemp("portals")
    authority = Authority(folder / "authority")
    authority.certify()
    brokers = PortalBrokers(authority=authority, data_dir=folder, log_dir=folder / "logs")
    brokers.start()
    brokers.add_users(dict.fromkeys(USERS, PASSWORD))
    brokers.create_topics([f"{PREFIX}{code}" for code in PORTALS])
    brokers.grant(rights())
    yield brokers
    brokers.stop()


@pytest.fixture
def run(brokers, clickhouse_server, commands, tmp_path):
    """``run(user, *arguments)``: a command with the login of a user; ``run.environment(user)``."""
    database = f"portals_{uuid.uuid4().hex[:8]}"

    def environment(user, **changes):
        return {
            "PATH": "/usr/bin:/bin",
            "COLUMNS": "1000",
            "PORTALPULSE_DATA_DIR": str(tmp_path),
            "PORTALPULSE_KAFKA__BOOTSTRAP": brokers.bootstrap,
            "PORTALPULSE_KAFKA__PORTAL_PREFIX": PREFIX,
            "PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "PORTALPULSE_KAFKA__CA_FILE": str(brokers.authority.file),
            "PORTALPULSE_KAFKA__USER": user,
            "PORTALPULSE_KAFKA__PASSWORD": PASSWORD,
            "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": "7",
            "PORTALPULSE_CLICKHOUSE__URL": clickhouse_server.url(database),
        } | changes

    def run(user, *arguments, **changes):
        return commands(*arguments, environment=environment(user, **changes), folder=tmp_path, timeout=200)

    run.environment, run.database, run.folder = environment, database, tmp_path
    yield run
    clickhouse_server.query(f"DROP DATABASE IF EXISTS {database}")


def events_file(run, agency, count=EVENTS):
    """A file with events of an agency."""
    path = run.folder / f"{agency}-{uuid.uuid4().hex[:6]}.ndjson"
    path.write_bytes(b"".join(a_message(agency_code=agency) + b"\n" for _ in range(count)))
    return str(path)


def succeeded(ended):
    """Its output; it ended well."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def refused(ended):
    """The one sentence with which it ended."""
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    assert "Traceback" not in said
    assert PASSWORD not in said
    (line,) = [line for line in said.splitlines() if line.startswith("portalpulse: ")]
    return line


def test_each_command_works_with_its_user(run, brokers, clickhouse_server):
    """Portals send, a worker counts, a wrong agency is a dead letter, the exporter's user audits, the operator's sends again."""
    environment = run.environment("portalpulse-worker") | {"PORTALPULSE_KAFKA__INSTANCE_ID": "worker-1"}
    worker = ObservedProcess("worker", (), environment=environment, log_dir=run.folder, name="worker")
    worker.launch()
    try:
        worker.await_ready()
        assert "worker-1" in succeeded(run("portalpulse-exporter", "workers", "list"))
        assert "refuses" in refused(run("portalpulse-exporter", "workers", "remove", "worker-1"))
        for code in PORTALS:
            succeeded(run(f"portal-{code}", "replay", events_file(run, code), "--topic", f"{PREFIX}{code}"))
        succeeded(run("portal-H62", "replay", events_file(run, "H17", 3), "--topic", f"{PREFIX}H62"))

        def figures():
            query = "SELECT (SELECT sum(events) FROM {0}.agency_day FINAL), (SELECT count() FROM {0}.dead_letters FINAL)"
            return clickhouse_server.query(query.format(run.database)).split()

        wait_until(lambda: figures() == [str(2 * EVENTS), "3"], timeout=120, what="the events and the dead letters")
        listed = succeeded(run("portalpulse-exporter", "dead-letters", "list"))
        assert "wrong_portal" in listed
        assert "agency_code H17 in the topic of portal 'H62'" in listed
        examined = json.loads(run("portalpulse-exporter", "doctor", "--format", "json").stdout)["findings"]
        found = {finding["part"]: finding for finding in examined}
        assert "2 portals have a topic dvc.portal.CODE" in found["Broker"]["says"]
        assert found["Broker: disks"]["says"].count("broker ") == 3  # it may ask all of them
        assert found["Partitions"]["says"] == "4 have a leader and 3 copies each"
        assert found["Group"]["says"].startswith("1 worker is in the group portalpulse; ")
        assert "Kafka's controller" in found["Clocks"]["says"]
        audited = json.loads(succeeded(run("portalpulse-exporter", "audit", "--kafka", "deep", "--format", "json")))
        assert {(part["topic"], part["partition"]) for part in audited["kafka"]["partitions"]} == {
            (f"{PREFIX}{code}", number) for code in PORTALS for number in range(2)
        }
        assert (audited["kafka"]["deep"]["messages"], audited["kafka"]["deep"]["missing"]) == (2 * EVENTS + 3, 0)
        succeeded(run("portalpulse-exporter", "dead-letters", "accept", "--topic", f"{PREFIX}H62", "--partition", "0"))
        succeeded(run("portalpulse-replay", "replay", "--from-topic", f"{PREFIX}H17"))  # each to the topic of its portal
        both = run.folder / "both.ndjson"
        both.write_bytes(b"".join(a_message(agency_code=code) + b"\n" for code in PORTALS * EVENTS))
        succeeded(run("portalpulse-replay", "replay", str(both), "--processes", "2"))
        wait_until(lambda: figures() == [str(4 * EVENTS), "3"], timeout=120, what="the events of both portals")
        assert "3 sent again" in succeeded(run("portalpulse-replay", "dead-letters", "replay"))
        wait_until(
            lambda: figures() == [str(4 * EVENTS), "6"], timeout=120, what="the same events, and the same dead letters again"
        )
        assert succeeded(run("portalpulse-exporter", "audit", "--kafka", "deep"))
        assert worker.process.running
    finally:
        worker.kill()


@pytest.fixture
def few_agencies(run, brokers):
    """A registry of three agencies with a topic each, so that simulated traffic needs no further topic."""
    codes = ("H17", "H01", "H26")
    brokers.create_topics([f"{PREFIX}{code}" for code in codes if code not in PORTALS])
    header, *rows = (Path(domain.__file__).parent / "data" / "agencies.csv").read_text(encoding="utf-8").splitlines()
    path = run.folder / "agencies.csv"
    path.write_text("\n".join([header, *(row for row in rows if row.startswith(codes))]) + "\n", encoding="utf-8")
    return {"PORTALPULSE_REGISTRY_FILE": str(path)}


@pytest.mark.long
def test_simulated_traffic_and_reports_work_with_their_users(run, few_agencies, clickhouse_server):
    """`produce` and `load` send, an exporter of its own says what is visible, a report asks the brokers."""
    processes = [
        ObservedProcess(name, (), environment=run.environment(f"portalpulse-{name}"), log_dir=run.folder, name=name)
        for name in ("worker", "exporter")
    ]
    try:
        for process in processes:
            process.launch()
        for process in processes:
            process.await_ready()
        _, exporter = processes
        at = {"PORTALPULSE_HTTP__PORT": str(exporter.port)}
        live = ("--scenario", "live", "--shape", "steady", "--rate", "100", "--duration", "2", "--json")
        produced = json.loads(succeeded(run("portalpulse-replay", "produce", *live, **few_agencies)))
        loaded = json.loads(
            succeeded(run("portalpulse-replay", "load", "--rate", "50", "--duration", "3", "--json", **few_agencies, **at))
        )
        year = str(dt.datetime.now(tz=VIETNAM).year)
        report = ("report", "--year", year, "--wait", "--partial", "--format", "json")
        found = json.loads(succeeded(run("portalpulse-exporter", *report, **at)))
        sent = produced["distinct"] + loaded["sent"]
        stored = clickhouse_server.query(f"SELECT count() FROM {run.database}.dossier_messages FINAL")
        assert int(stored) == sent > 200, (produced, loaded)
        assert found["completeness"]["messages_waiting"] == 0, found["completeness"]
        saved = run.folder / "offsets.json"
        succeeded(run("portalpulse-exporter", "offsets", "save", str(saved)))
    finally:
        for process in processes:
            process.kill()


def test_a_portal_can_write_to_its_topic_and_nothing_else(run, brokers):
    """It cannot write to the topic of another portal, read its own, or join the workers; each is said in a sentence."""
    own, other = f"{PREFIX}H17", f"{PREFIX}H62"
    assert f"The topic '{other}' does not exist" in refused(
        run("portal-H17", "replay", events_file(run, "H17"), "--topic", other)
    )
    assert "refuses access" in refused(run("portal-H17", "replay", "--from-topic", own, "--topic", own))
    assert "refuses access to the topic" in refused(run("portal-H17", "worker"))
    assert "refuses access" in refused(run("portalpulse-exporter", "worker"))
    sent = run("portalpulse-exporter", "replay", events_file(run, "H17"), "--topic", own)
    assert sent.returncode == 1
    assert "does not let user 'portalpulse-exporter' write to the topic" in sent.stdout
    reader = Consumer(brokers.options("portal-H17", PASSWORD) | {"group.id": "own", "auto.offset.reset": "earliest"})
    reader.assign([TopicPartition(own, 0, 0)])
    assert reader.poll(20).error().name() in {"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"}
    reader.close()


PROTOCOL = "Set PORTALPULSE_KAFKA__SECURITY_PROTOCOL to what this port expects"
#: Ways in that are refused, and what to do about each.
WAYS = {
    "wrong password": (
        {"PORTALPULSE_KAFKA__PASSWORD": "guess"},
        "Correct PORTALPULSE_KAFKA__USER and PORTALPULSE_KAFKA__PASSWORD.",
    ),
    "no TLS": ({"PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PORTALPULSE_KAFKA__CA_FILE": ""}, PROTOCOL),
    "no login": (
        {"PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SSL", "PORTALPULSE_KAFKA__USER": "", "PORTALPULSE_KAFKA__PASSWORD": ""},
        PROTOCOL,
    ),
}


def test_no_other_way_into_a_worker(run):
    """A wrong password, no TLS and no login are refused to a worker, with what to do about it."""
    for changes, sentence in WAYS.values():
        assert sentence in refused(run("portal-H17", "worker", **changes))


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_no_other_way_into_a_sender(run, way):
    """So they are to a sender, which asks for ten seconds where the broker only ends the connection."""
    changes, sentence = WAYS[way]
    assert sentence in refused(run("portal-H17", "replay", events_file(run, "H17"), "--topic", f"{PREFIX}H17", **changes))


@pytest.mark.long
def test_the_commands_of_the_page_are_kafkas_own(brokers, tmp_path):
    """Kafka's own tool grants the same rights with these lines as the test does."""
    for line in rights():
        binding = binding_of(line)
        assert binding in brokers.granted()
    user, password = ADMIN
    config = tmp_path / "admin.properties"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    config.write_text(
        f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={brokers.authority.file}\n"
        f'sasl.jaas.config={module} username="{user}" password="{password}";\n'
    )
    before = brokers.granted()
    node = brokers.nodes[0]
    for line in rights():
        words = line.replace("User:", "User:second-").split()[2:]
        java = [*node._jvm("128m"), "org.apache.kafka.tools.AclCommand", "--bootstrap-server", brokers.bootstrap]
        subprocess.run([*java, "--command-config", str(config), *words], check=True, capture_output=True, timeout=120)
    made = {
        (right.restype, right.name, right.resource_pattern_type, right.principal.replace("second-", ""), right.operation)
        for right in brokers.granted() - before
    }
    assert made == {
        (right.restype, right.name, right.resource_pattern_type, right.principal, right.operation)
        for right in map(binding_of, rights())
    }
