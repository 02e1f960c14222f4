"""Starts and failures, on real parts, after which a plain Faust worker would wait without a message.

A worker that cannot work says why in one sentence and ends with status 2; it waits while its storage is unavailable.
"""

from __future__ import annotations

import socket
import time

import psutil
import pytest

from deploy.native.ports import LOOPBACK
from deploy.native.processes import wait_until
from tests.proxies import FETCH, GROUP

#: Starting Python, watching for six seconds and asking for the cause, on a slow machine, too.
SOON = 90
#: Longer than a broker takes to restart: what is to be found then is the other thing that changed.
PATIENT = {"PORTALPULSE_WATCHDOG__STALL_SECONDS": "20"}


def test_a_missing_topic(site):
    """A worker says that its topic does not exist; Faust would wait without a message."""
    process = site.launch(PORTALPULSE_KAFKA__TOPIC="no-such-topic")
    assert "The topic 'no-such-topic' does not exist" in process.await_end()
    assert "--create-topic" in process.said()


@pytest.mark.parametrize("right", [pytest.param(None, marks=pytest.mark.long), "DESCRIBE"])
def test_no_right_to_read_the_topic(site, right):
    """A worker says that it may not read its topic, even if it may describe it; Faust would be ready and idle."""
    site.through("password")
    site.kafka.forbid(site.user, "TOPIC", site.topic, "READ")
    if right:
        site.kafka.allow(site.user, "TOPIC", site.topic, right)
    said = site.launch().await_end()
    assert f"Kafka refuses access to the topic '{site.topic}' as user '{site.user}'. Grant READ on the topic" in said


@pytest.mark.parametrize("right", [pytest.param(None, marks=pytest.mark.long), "DESCRIBE"])
def test_no_right_to_read_the_group(site, right):
    """A worker says that it may not use its group, even if it may describe it; Faust would be idle without a message."""
    site.through("password")
    site.kafka.forbid(site.user, "GROUP", site.group, "READ")
    if right:
        site.kafka.allow(site.user, "GROUP", site.group, right)
    said = site.launch().await_end()
    assert f"Kafka refuses access to the consumer group '{site.group}' as user '{site.user}'. Grant READ on the group" in said


def test_no_right_to_create_the_topic(site):
    """With --create-topic a worker says that it may not create the topic, instead of retrying."""
    site.through("password")
    absent = f"absent-{site.topic}"
    site.kafka.allow(site.user, "TOPIC", absent, "DESCRIBE")
    said = site.launch("worker", "--create-topic", PORTALPULSE_KAFKA__TOPIC=absent).await_end()
    assert f"The topic '{absent}' does not exist, and Kafka does not let this worker create it" in said


@pytest.mark.parametrize("seconds", ["6", pytest.param("60", marks=pytest.mark.long)])
def test_a_session_timeout_outside_of_the_brokers_limits(site, seconds):
    """A session timeout that the broker refuses is reported with the broker's limits; Faust would log one line and be idle."""
    said = site.launch(PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS=seconds).await_end()
    assert f"Kafka refuses a session timeout of {seconds} s, it allows 7 to 40 s." in said
    assert "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS" in said


@pytest.mark.long
def test_the_limits_are_left_out_where_they_may_not_be_asked(site):
    """Without the right to read the broker's configuration the message names only the setting."""
    said = site.through("password").launch(PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS="6").await_end()
    assert "Kafka refuses a session timeout of 6 s. Set PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS" in said


def test_a_wrong_password(site):
    """A wrong password is reported as the cause and is not shown."""
    process = site.through("password").launch(PORTALPULSE_KAFKA__PASSWORD="hunter2")
    assert f"refuses user '{site.user}' (SCRAM-SHA-512). Correct PORTALPULSE_KAFKA__USER" in process.await_end()
    assert "hunter2" not in process.log()


@pytest.mark.long
def test_an_unknown_user(site):
    """An unknown user gets the message of a wrong password, because brokers answer both alike."""
    assert "refuses user 'nobody'" in site.through("password").launch(PORTALPULSE_KAFKA__USER="nobody").await_end()


@pytest.mark.long
def test_a_mechanism_that_the_broker_does_not_take(site):
    """A mechanism that the broker does not offer is named."""
    said = site.through("password").launch(PORTALPULSE_KAFKA__SASL_MECHANISM="PLAIN").await_end()
    assert "does not take PLAIN. Set PORTALPULSE_KAFKA__SASL_MECHANISM" in said


@pytest.mark.parametrize("listener", ["tls", pytest.param("sasl", marks=pytest.mark.long)])
def test_plain_text_to_a_port_that_wants_more(site, listener):
    """Plain text to a port that expects TLS or a password is reported as the wrong protocol, not as a missing broker."""
    port = getattr(site.kafka, listener)
    said = site.launch(PORTALPULSE_KAFKA__BOOTSTRAP=f"{LOOPBACK}:{port}").await_end()
    assert f"Kafka at {LOOPBACK}:{port} does not speak PLAINTEXT on this port" in said
    assert "PORTALPULSE_KAFKA__SECURITY_PROTOCOL" in said


@pytest.mark.long
def test_tls_to_a_plain_port(site):
    """TLS to a plain text port is reported as the wrong protocol."""
    site.through("tls")
    said = site.launch(PORTALPULSE_KAFKA__BOOTSTRAP=site.kafka.bootstrap).await_end()
    assert f"Kafka at {site.kafka.bootstrap} does not speak SASL_SSL on this port" in said


@pytest.mark.long
def test_an_authority_that_did_not_sign(site):
    """A certificate of an unknown authority is not accepted, and the message names the setting for authorities."""
    said = site.through("tls").launch(PORTALPULSE_KAFKA__CA_FILE="").await_end()
    assert "is not accepted: " in said
    assert "PORTALPULSE_KAFKA__CA_FILE" in said


def test_a_worker_with_password_and_tls_counts(site):
    """With correct settings a worker with only the two READ rights works over TLS."""
    site.through("tls").worker()
    site.send(50)
    sql = f"SELECT sum(events) FROM {site.database}.agency_minute FINAL"
    sent = f"SELECT count() FROM {site.database}.dossier_messages FINAL WHERE topic = '{site.topic}'"
    wait_until(lambda: site.server.query(sent) == "50", timeout=90, what="the events")
    wait_until(lambda: int(site.server.query(sql) or 0) >= 50, timeout=90, what="their tallies")


@pytest.mark.chaos
def test_a_certificate_that_has_expired(site):
    """An expired certificate ends a running worker after its next reconnection, and a new worker at its start."""
    worker = site.through("tls").worker(**PATIENT)
    try:
        site.kafka.restart(while_down=lambda: site.kafka.authority.certify(start="20200101000000Z", end="20210101000000Z"))
        words = f"The certificate of Kafka at {LOOPBACK}:{site.kafka.tls} is not accepted: certificate has expired. Renew it"
        assert words in worker.await_end(within=SOON + 20)
        assert words in site.launch().await_end()
    finally:
        site.kafka.restart(while_down=site.kafka.authority.certify)


@pytest.mark.chaos
def test_a_password_changed_while_running(site):
    """A worker whose password was changed ends after its next reconnection with the cause; Faust would repeat errors forever."""
    worker = site.through("password").worker(**PATIENT)
    site.kafka.add_user(site.user, "another one")
    site.kafka.restart()
    said = worker.await_end(within=SOON + 20)
    assert f"refuses user '{site.user}'" in said


def test_the_right_to_the_topic_removed_while_running(site):
    """A worker that loses the right to read its topic ends and says which right is missing."""
    worker = site.through("password").worker()
    site.kafka.forbid(site.user, "TOPIC", site.topic, "READ")
    assert f"refuses access to the topic '{site.topic}'" in worker.await_end(within=SOON)


@pytest.mark.long
def test_the_right_to_the_group_removed_while_running(site):
    """A worker that loses the right to its group ends and says which right is missing."""
    worker = site.through("password").worker()
    site.kafka.forbid(site.user, "GROUP", site.group, "READ")
    assert f"refuses access to the consumer group '{site.group}'" in worker.await_end(within=SOON)


@pytest.mark.chaos
def test_a_coordinator_that_hangs(site):
    """A worker whose coordinator does not answer ends, even if fetches are answered: its partitions were reassigned."""
    worker = site.through("proxy").worker()
    site.kafka.proxy.muted |= GROUP
    assert f"The coordinator of the consumer group '{site.group}' did not answer for 6 s." in worker.await_end(within=SOON + 20)


@pytest.mark.chaos
def test_fetches_that_hang(site):
    """A worker whose fetches are not answered ends, even if heartbeats are answered: messages may be waiting."""
    worker = site.through("proxy").worker()
    site.kafka.proxy.muted |= {FETCH}
    said = worker.await_end(within=SOON + 20)
    assert "Kafka gave no answer for partition" in said
    assert f"of '{site.topic}' for 6 s." in said


@pytest.mark.chaos
def test_a_group_that_never_gives_partitions(site):
    """A worker that gets no partitions ends after the limit for the assignment."""
    site.through("proxy")
    site.kafka.proxy.muted |= {14}  # SyncGroup: the last step, which no preflight can prove
    said = site.launch().await_end()
    assert f"The consumer group '{site.group}' gave this worker no partitions for 6 s." in said


@pytest.mark.chaos
def test_a_broker_that_stays_away(site):
    """A worker continues when its broker returns in time, and otherwise ends with a message."""
    worker = site.worker(PORTALPULSE_WATCHDOG__STALL_SECONDS="12")
    site.kafka.restart()
    site.send(5)
    wait_until(lambda: worker.gauge("portalpulse_worker_acknowledged_events_total") == 5, timeout=90, what="the worker to go on")
    site.kafka.kill()
    assert f"No Kafka broker answers at {site.kafka.bootstrap}" in worker.await_end(within=SOON + 10)


@pytest.mark.chaos
def test_a_storage_that_is_away_ends_no_worker(site, storage_proxy):
    """A worker that fetches nothing because its memory budget is used up stays healthy while its storage is unavailable."""
    url = f"http://default:@{LOOPBACK}:{storage_proxy.port}/{site.database}"
    few = {"PORTALPULSE_INGEST__BATCH_ROWS": "10", "PORTALPULSE_INGEST__MAX_UNSTORED_ROWS": "10"}
    worker = site.worker(PORTALPULSE_CLICKHOUSE__URL=url, PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS="2", **few)
    storage_proxy.silent.set()
    site.send(200)
    wait_until(
        lambda: worker.gauge("portalpulse_worker_unstored_events") >= 10, timeout=90, what="the memory budget to be used up"
    )
    began = time.monotonic()
    while time.monotonic() - began < 15:
        assert worker.process.running, worker.log()
        assert worker.healthy()
        time.sleep(0.5)
    storage_proxy.silent.clear()
    wait_until(lambda: worker.gauge("portalpulse_worker_acknowledged_events_total") == 200, timeout=150, what="all to be counted")


@pytest.mark.long
def test_a_worker_listens_on_its_own_port_only(site):
    """Faust opens no port: a worker starts while port 6066 is in use, and does not use it itself."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((LOOPBACK, 6066))
        taken.listen(1)
    except OSError:
        pass  # another program uses it, which serves the test as well
    with taken:
        worker = site.worker()
        listening = {
            connection.laddr.port
            for process in (psutil.Process(worker.process.pid), *psutil.Process(worker.process.pid).children(recursive=True))
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {worker.port}


def test_the_preflight_does_not_disturb_the_group(site):
    """The preflight's request to join without a member id changes nothing: members keep their partitions and generation."""
    worker = site.worker()

    def members():
        group = site.kafka.admin.describe_consumer_groups([site.group])[site.group].result(60)
        return group.state, [(member.member_id, len(member.assignment.topic_partitions)) for member in group.members]

    before = members()
    assert len(before[1]) == 1
    said = site.launch(PORTALPULSE_HTTP__PORT=str(worker.port)).await_end()  # it ends after its preflight
    assert f"Port {worker.port} on {LOOPBACK} cannot be used" in said
    assert members() == before
    assert worker.gauge("portalpulse_worker_assigned_partitions") == 2
