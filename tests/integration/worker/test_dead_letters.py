"""Dead letters end to end: replayed ones become events, and a worker that rejects everything stops."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from confluent_kafka import Producer

from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client
from tests.factories import MORNING, a_message, an_event
from tests.sending import send


def _portalpulse(chain, *arguments):
    return chain.command(*arguments)


def _send(chain, *messages):
    assert send(chain.kafka.bootstrap, chain.topic, [(b"H17.1-240102-0001", message) for message in messages]).complete


def _committed(chain):
    return sum(committed or 0 for committed, _ in chain.offsets())


def test_replayed_letters_become_events(chain):
    """Replayed dead letters that are valid now become events once; others become new dead letters; dropped ones do not return."""
    good = [an_event() for _ in range(3)]
    bad = [b"{", b"\xff\x00"]
    chain.worker()
    _send(chain, *bad)
    wait_until(lambda: chain.dead_letters() == 2, timeout=150, what="the bad messages to be dead-lettered")
    # Dead letters of an older release whose messages are valid by the current rules.
    rows = ", ".join(
        f"('{chain.topic}', 0, {1_000 + n}, 'H17.1-240102-0001', '{a_message(event).decode()}', 1, 'unknown_agency', 'too old')"
        for n, event in enumerate(good)
    )
    columns = "topic, partition, offset, key, value, has_value, reason, error"
    chain.server.query(f"INSERT INTO {chain.database}.dead_letters ({columns}) VALUES {rows}")
    listed = _portalpulse(chain, "dead-letters", "list")
    assert "5 dead letters" in listed.stdout, listed.stderr
    shown = _portalpulse(chain, "dead-letters", "show", chain.topic, "0", "1000")
    assert json.loads(a_message(good[0]))["event_id"] in shown.stdout
    dry = _portalpulse(chain, "dead-letters", "replay", "--dry-run")
    assert "3 would be accepted, 2 rejected again." in dry.stdout, dry.stderr
    assert chain.stored() == 0
    for _ in range(2):  # the second time --replayed sends them again, and nothing counts twice
        sent = _portalpulse(chain, "dead-letters", "replay", "--reason", "unknown_agency", "--replayed")
        assert "3 sent again." in sent.stdout, sent.stderr
    wait_until(lambda: chain.rolled_up() == chain.tallied() == chain.stored() == 3, timeout=150, what="three events")
    again = _portalpulse(chain, "dead-letters", "replay")
    assert "2 sent again." in again.stdout, again.stderr
    wait_until(lambda: chain.dead_letters() == 7, timeout=150, what="the rejected messages to be dead-lettered again")
    assert "2 dead letters" in _portalpulse(chain, "dead-letters", "list").stdout
    dropping = ("dead-letters", "drop", "--reason", "not_json", "--reason", "not_utf8")
    assert _portalpulse(chain, *dropping).returncode == 2
    assert "2 removed." in _portalpulse(chain, *dropping, "--yes").stdout
    assert "All 5 dead letters were replayed." in _portalpulse(chain, "dead-letters", "list").stdout


def _ended(worker):
    """Wait until a worker has stopped at the limit; returns its message."""
    wait_until(lambda: not worker.process.running, timeout=150, what="the worker to stop")
    assert worker.process.exit_code == 3, worker.process.log.read_text()
    said = [line for line in worker.process.log.read_text().splitlines() if line.startswith("portalpulse:")]
    assert len(said) == 1
    return said[0]


def test_a_worker_that_rejects_everything_stops(chain):
    """At the limit the worker ends with one sentence and neither dead-letters nor acknowledges the messages."""
    chain.environment |= {"PORTALPULSE_DEAD_LETTERS__MAX_CONSECUTIVE": "500"}
    _send(chain, *[b"{"] * 2_000)
    assert "in a row were rejected, the limit is 500" in _ended(chain.launch())
    assert chain.dead_letters() < 500
    assert _committed(chain) < 500


@pytest.mark.long
def test_an_acceptance_ends_with_its_topic(chain):
    """After the topic was created again, messages at accepted offsets are other ones: the limit holds for them."""
    chain.environment |= {"PORTALPULSE_DEAD_LETTERS__MAX_CONSECUTIVE": "20", "PORTALPULSE_INGEST__BATCH_ROWS": "10"}

    def send_malformed():
        producer = Producer({"bootstrap.servers": chain.kafka.bootstrap})
        for number in range(60):
            producer.produce(chain.topic, b"{%d" % number, partition=0)
        assert producer.flush(30) == 0

    send_malformed()
    assert "the limit is 20" in _ended(chain.launch())
    accepted = _portalpulse(chain, "dead-letters", "accept", "--partition", "0")
    assert accepted.returncode == 0, accepted.stderr
    worker = chain.worker()
    wait_until(lambda: chain.dead_letters() == 60, timeout=150, what="the accepted messages to be dead-lettered")
    worker.stop()
    admin = admin_client(chain.kafka.bootstrap)
    admin.delete_topics([chain.topic])[chain.topic].result(60)
    wait_until(lambda: chain.topic not in admin.list_topics(timeout=10).topics, timeout=60, what="the topic to be deleted")
    chain.kafka.create_topic(chain.topic, partitions=4)
    chain.environment |= {"PORTALPULSE_KAFKA__GROUP": f"{chain.group}-2"}
    send_malformed()
    assert "in a row were rejected, the limit is 20" in _ended(chain.launch())
    assert chain.dead_letters() < 60 + 20


@pytest.mark.long
def test_a_new_constraint_stops_the_worker_until_it_is_accepted(chain):
    """A constraint that refuses one partition of four stops the worker at every start, without further dead letters.

    After an operator has accepted these messages they are dead-lettered, all others are counted, and the limit holds again.
    """
    chain.environment |= {"PORTALPULSE_DEAD_LETTERS__MAX_CONSECUTIVE": "20", "PORTALPULSE_INGEST__BATCH_ROWS": "40"}
    rotten, each = 2, 150
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap})

    def send(*partitions):
        for number in range(each):
            for partition in partitions:
                event = an_event(occurred_at=MORNING + dt.timedelta(seconds=number))
                producer.produce(chain.topic, a_message(event), partition=partition)
        assert producer.flush(30) == 0

    first = chain.worker()
    send(0, 1, rotten, 3)
    wait_until(lambda: _committed(chain) == 4 * each, timeout=150, what="the events to be counted and acknowledged")
    chain.server.query(f"ALTER TABLE {chain.database}.dossier_messages ADD CONSTRAINT none_of_it CHECK partition != {rotten}")
    send(0, rotten, 1)
    said = _ended(first)
    assert f"partition {rotten} of '{chain.topic}'" in said
    assert "20 messages in a row were rejected, the limit is 20" in said
    assert "refused_by_storage" in said
    assert "none_of_it" in said
    before = chain.dead_letters()
    assert before < 20
    for _ in range(2):
        assert "the limit is 20" in _ended(chain.launch())
        assert chain.dead_letters() < 20
    for _ in range(2):
        accepted = _portalpulse(chain, "dead-letters", "accept", "--partition", str(rotten))
        assert accepted.returncode == 0, accepted.stderr
        assert f"messages below offset {2 * each} may be dead-lettered" in accepted.stdout
        assert accepted.stderr.count("dead_letters_accepted") == 1
    last = chain.worker()
    wait_until(lambda: chain.dead_letters() == each, timeout=150, what="the accepted messages to be dead-lettered")
    wait_until(lambda: chain.rolled_up() == chain.tallied() == chain.stored() == 6 * each, timeout=150, what="the good events")
    wait_until(lambda: _committed(chain) == 7 * each, timeout=150, what="everything to be acknowledged")
    assert last.process.log.read_text().count("dead_letters_accepted") == 1
    send(rotten)
    assert "the limit is 20" in _ended(last)
    assert chain.dead_letters() < each + 20
