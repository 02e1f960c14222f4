"""The audit end to end: real workers, an exporter, an embedded stack, and the command beside them."""

from __future__ import annotations

import json
import threading

import pytest

from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess
from producers.portals.faults import malformed
from tests.exposition import samples
from tests.factories import MORNING, a_message, an_event
from tests.sending import send

EPOCH = 2**40


def _audit(chain, *arguments, **changes):
    """Run the command; returns its exit code and its report."""
    done = chain.command("audit", "--format", "json", "--settle", "2", *arguments, **changes)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def _drift(report):
    return {scope: found["drift"] for scope, found in report["scopes"].items()}


def _send(chain, events, extra=()):
    pairs = [(event.dossier_code.encode(), a_message(event)) for event in events]
    pairs += [(message.key, message.value) for message in extra]
    assert send(chain.kafka.bootstrap, chain.topic, pairs).complete


def _await_tallied(chain, count):
    def procedures():
        return chain.number("SELECT sum(events) FROM {db}.agency_day_procedure FINAL")

    wait_until(
        lambda: chain.stored() == chain.tallied() == chain.rolled_up() == procedures() == count,
        timeout=120,
        what=f"{count} events to be tallied",
    )


def _await_acknowledged(chain):
    wait_until(chain.acknowledged, timeout=150, what="everything to be acknowledged")


class _Process(PortalPulseProcess):
    """A process whose metrics can be read."""

    def metrics(self):
        """Samples of the audit and the worker by name and scope."""
        found = samples(self.url, "portalpulse_audit_", "portalpulse_worker_")
        return {(sample.name, sample.labels.get("scope")): sample.value for sample in found}


@pytest.fixture
def process(tmp_path):
    """A factory of further processes; they are stopped at the end."""
    started = []

    def start(command, *arguments, environment):
        started.append(_Process(command, arguments, environment=environment, log_dir=tmp_path))
        started[-1].start(timeout=150)
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_damage_is_found_and_repaired_by_the_command(chain):
    """The audit is clean after a worker has counted; it finds damage in every tier with amounts, and one repair corrects it."""
    events = [an_event(), an_event(), an_event(agency="G01"), an_event(procedure_code="2.000815", status=1)]
    chain.worker()
    _send(chain, events)
    _await_tallied(chain, 4)
    _await_acknowledged(chain)  # what is in a worker's hands is late, not wrong
    assert _audit(chain)[0] == 0
    database, at = chain.database, f"{MORNING:%Y-%m-%d %H:%M:%S}"
    chain.server.query(f"INSERT INTO {database}.agency_minute (agency, minute, events, last_event_at, version) "
                       f"VALUES ('H17', '{at}', 8, '{at}', {3 * EPOCH})")  # fmt: skip
    chain.server.query(f"INSERT INTO {database}.agency_day (agency, day, events, last_event_at, version) "
                       f"VALUES ('H99', '2024-01-09', 5, '{at}', 5)")  # fmt: skip
    chain.server.query(f"TRUNCATE TABLE {database}.agency_day_procedure")
    code, found = _audit(chain)
    assert (code, found["clean"]) == (1, False)
    # The day tallies were rolled up before the damage to the minutes.
    assert _drift(found) == {"agency_minute": 5, "agency_day": 5, "agency_day_procedure": 4}
    code, repaired = _audit(chain, "--repair")
    assert (code, repaired["clean"], repaired["repaired"]["epochs"]) == (0, True, [4])
    assert _audit(chain)[0] == 0
    _send(chain, [an_event(), an_event(agency="H18")])
    _await_tallied(chain, 6)
    assert _audit(chain)[0] == 0


@pytest.mark.long
def test_a_repair_beside_running_workers(chain):
    """Repairs that raise the epoch while two workers count live traffic lose no event and leave every tally correct."""
    for _ in range(2):
        chain.worker()
    done = threading.Event()
    sent = []

    def traffic():
        while not done.is_set():
            sent.append(an_event(agency=("H17", "G01")[len(sent) % 2]))
            yield sent[-1].dossier_code.encode(), a_message(sent[-1])

    sender = threading.Thread(target=send, args=(chain.kafka.bootstrap, chain.topic, traffic()), kwargs={"rate": 500.0})
    sender.start()
    try:
        wait_until(lambda: chain.tallied() > 100, timeout=150, what="some events to be tallied")
        for number in range(2):
            chain.server.query(
                f"INSERT INTO {chain.database}.agency_day (agency, day, events, last_event_at, version) "
                f"VALUES ('H17', '2024-01-02', 99999999, '2024-01-02 01:30:00', {(9 * number + 8) * EPOCH + 1})"
            )
            code, report = _audit(chain, "--repair", "--no-repeats")
            assert code == 0, report
            assert report["repaired"]["epochs"]
    finally:
        done.set()
        sender.join()
    _await_tallied(chain, len(sent))
    assert _audit(chain)[0] == 0


@pytest.mark.long
def test_workers_that_are_late_are_not_called_wrong(chain):
    """Events that a worker has not counted for minutes are late; damage to other tallies is drift with its exact amount."""
    chain.environment["PORTALPULSE_INGEST__PROCEDURE_INTERVAL_MS"] = "600000"
    chain.worker()
    _send(chain, [an_event()])
    _await_tallied(chain, 1)
    _await_acknowledged(chain)
    _send(chain, [an_event() for _ in range(55)])
    wait_until(lambda: chain.stored() == chain.tallied() == chain.rolled_up() == 56, timeout=120, what="the days to be tallied")
    code, found = _audit(chain)
    assert (code, found["by_time"]) == (0, None), found
    assert _drift(found) == {"agency_minute": 0, "agency_day": 0, "agency_day_procedure": 0}
    procedures = found["scopes"]["agency_day_procedure"]
    assert (procedures["late"], procedures["in_hand"]) == (55, 55)
    told = chain.command("audit", "--settle", "0.1", "--no-repeats")
    assert told.returncode == 0
    assert "The procedure tallies are 55 events late; 55 events are not acknowledged yet." in told.stdout
    chain.server.query(
        f"INSERT INTO {chain.database}.agency_day (agency, day, events, last_event_at, version) "
        f"VALUES ('H17', '2024-01-02', 60, '2024-01-02 01:30:00', {EPOCH})"
    )
    chain.server.query(f"TRUNCATE TABLE {chain.database}.agency_day_procedure")
    code, found = _audit(chain)
    assert code == 1
    assert _drift(found) == {"agency_minute": 0, "agency_day": 4, "agency_day_procedure": 1}
    code, found = _audit(chain, "--repair")
    assert (code, _drift(found)) == (0, {"agency_minute": 0, "agency_day": 0, "agency_day_procedure": 0})
    assert found["scopes"]["agency_day_procedure"]["late"] == 0


@pytest.mark.long
def test_without_a_worker_the_age_of_events_decides(chain):
    """Without a worker in the group nothing is in hand, so events that are stored and not tallied are drift."""
    chain.worker()
    _send(chain, [an_event()])
    _await_tallied(chain, 1)
    _await_acknowledged(chain)
    chain.workers[0].process.stop()
    chain.server.query(f"TRUNCATE TABLE {chain.database}.agency_day_procedure")
    code, found = _audit(chain)
    assert (code, found["by_time"]) == (1, "no worker is in the consumer group")
    assert _drift(found) == {"agency_minute": 0, "agency_day": 0, "agency_day_procedure": 1}


@pytest.mark.long
def test_acknowledged_messages_are_looked_up(chain):
    """Every acknowledged message is found in the storage; a deleted event is named together with its tallies."""
    events = [an_event() for _ in range(200)]
    bad = list(malformed(3, 50))
    chain.worker()
    _send(chain, [*events, *events[:20]], bad)
    _await_tallied(chain, 200)

    _await_acknowledged(chain)
    code, found = _audit(chain, "--kafka", "deep")
    assert code == 0, found
    assert found["kafka"]["deep"] == {"messages": 270, "missing": 0, "examples": []}
    chain.server.query(
        f"ALTER TABLE {chain.database}.dossier_messages DELETE WHERE event_id = '{events[5].event_id}' "
        "SETTINGS mutations_sync = 2"
    )
    code, found = _audit(chain, "--kafka", "deep", "--repair")
    assert code == 1
    assert found["repaired"]["drift"] == {"agency_minute": 1, "agency_day": 1, "agency_day_procedure": 1}
    assert _drift(found) == {"agency_minute": 0, "agency_day": 0, "agency_day_procedure": 0}
    assert found["kafka"]["deep"]["missing"] == len(found["kafka"]["deep"]["examples"]) >= 1
    assert found["kafka"]["faults"]


@pytest.mark.long
def test_the_exporter_audits_all_the_time(chain, process):
    """The exporter's continuous audit shows drift by scope, and shows none after a repair."""
    quick = {
        f"PORTALPULSE_AUDIT__{name}": value
        for name, value in (("INTERVAL_SECONDS", "0.2"), ("DUTY", "1"), ("SETTLE_SECONDS", "1"))
    }
    chain.worker()
    _send(chain, [an_event() for _ in range(5)])
    _await_tallied(chain, 5)
    _await_acknowledged(chain)  # no further recount replaces the damage below
    exporter = process("exporter", environment=chain.environment | quick)
    name = "portalpulse_audit_drift_events"
    wait_until(
        lambda: exporter.metrics()["portalpulse_audit_last_success_timestamp_seconds", None] > 0,
        timeout=150,
        what="a first round",
    )
    assert [exporter.metrics()[name, scope] for scope in ("agency_minute", "agency_day", "agency_day_procedure")] == [0, 0, 0]
    chain.server.query(
        f"INSERT INTO {chain.database}.agency_day (agency, day, events, settled, last_event_at, version) "
        f"VALUES ('H17', '2024-01-02', 5, 7, '2024-01-02 01:30:00', {EPOCH})"
    )
    wait_until(lambda: exporter.metrics()[name, "agency_day"] == 5, timeout=150, what="the drift to be exported")
    assert exporter.metrics()[name, "agency_minute"] == 0
    assert exporter.metrics()["portalpulse_audit_failures_total", None] == 0
    assert _audit(chain, "--repair")[0] == 0
    wait_until(lambda: exporter.metrics()[name, "agency_day"] == 0, timeout=150, what="the drift to go away")


@pytest.mark.long
def test_an_embedded_stack_is_asked_over_http(chain, process, tmp_path):
    """The command asks the process that owns an embedded storage; the audit is clean after counting and after a repair."""
    environment = chain.environment | {
        "PORTALPULSE_CLICKHOUSE__URL": f"chdb:{tmp_path / 'clickhouse'}",
        "PORTALPULSE_DATA_DIR": str(tmp_path),
    }
    worker = process("worker", "--all-in-one", environment=environment)
    events = [an_event() for _ in range(30)]
    _send(chain, [*events, an_event(event_id=events[0].event_id, agency="G01")])
    wait_until(
        lambda: worker.metrics().get(("portalpulse_worker_acknowledged_events_total", None)) == 31,
        timeout=120,
        what="every event to be tallied in every tier",
    )
    code, found = _audit(chain, "--kafka", "deep", "--repair", **worker.environment)
    assert code == 0, found
    assert (found["rows"], found["repaired"], found["reused_event_ids"]["count"]) == (31, None, 1)
    assert found["kafka"]["deep"]["missing"] == 0
    assert worker.metrics()["portalpulse_audit_drift_events", "agency_minute"] == 0
    table = chain.command("audit", **worker.environment)
    assert table.returncode == 0
    assert "Every tally is right." in table.stdout


def test_nothing_to_ask_is_a_setup_error(chain):
    """A storage that does not answer ends the command with one line and status 2."""
    done = chain.command("audit", PORTALPULSE_CLICKHOUSE__URL="http://127.0.0.1:1/x")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.strip()][-1].startswith("portalpulse: ClickHouse at 127.0.0.1:1")
