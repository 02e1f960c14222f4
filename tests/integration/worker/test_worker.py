"""A worker process between the real Kafka and the real ClickHouse server: bad messages, crashes, outages, a clean stop."""

from __future__ import annotations

from collections import Counter

import pytest
from confluent_kafka import Producer

from deploy.native.processes import wait_until
from pipeline.decode.kept_message import kept_key, kept_message
from producers.portals.faults import malformed
from producers.portals.produce import produce_scenario
from producers.portals.scenarios import load_scenario
from producers.sending.worker_processes import Broker
from tests.factories import a_message

FAULTS = 1_000


def _send(chain, *, faults=0):
    broker = Broker((chain.kafka.bootstrap,), chain.topic)
    summary = produce_scenario(scenario="emc-2024", seed=7, rate=None, broker=broker, faults=faults)
    assert summary.complete
    return summary


def _settled(chain):
    """(settled toàn trình, settled) by agency over the scenario's period, from the day tallies."""
    text = chain.server.query(
        f"SELECT agency, sum(settled_full), sum(settled) FROM {chain.database}.agency_day FINAL "
        "WHERE day BETWEEN '2024-01-01' AND '2024-08-20' GROUP BY agency HAVING sum(settled) > 0 FORMAT TSV"
    )
    return {code: (int(full), int(every)) for code, full, every in (line.split("\t") for line in text.splitlines())}


def _published():
    return {unit.code: (unit.settled.numerator, unit.settled.denominator) for unit in load_scenario("emc-2024").units}


def _await_all(chain, summary):
    wait_until(
        lambda: chain.stored() == chain.tallied() == chain.rolled_up() == summary.distinct,
        timeout=180,
        what="every event to be tallied",
    )


def _assert_kept_whole(chain, sent):
    """Of each malformed message what may be kept is a dead letter with its reason, and there is no other."""
    wait_until(lambda: chain.dead_letters() == len(sent), timeout=150, what="every malformed message to be dead-lettered")
    text = chain.server.query(
        f"SELECT hex(value), has_value, hex(key), reason FROM {chain.database}.dead_letters FINAL FORMAT TSV"
    )
    kept = sorted(line.split("\t") for line in text.splitlines())
    wanted = sorted(
        [
            (value or b"").hex().upper(),
            "false" if value is None else "true",
            (key or b"").hex().upper(),
            message.reason.value,
        ]
        for message in sent
        for key, value in [_as_kept(message)]
    )
    assert kept == wanted


def _as_kept(message):
    """Key and value that are kept of a message; all of them when it does not parse."""
    kept = None if message.value is None else kept_message(message.value)
    if kept is None and message.value is not None:
        return message.key, message.value
    return kept_key(message.key, kept), kept


def test_neither_bad_messages_nor_an_outage_nor_kill_9_move_a_figure(chain):
    """An unreachable ClickHouse, kill -9 under load, a thousand malformed messages of many kinds: the figures stay exact.

    While ClickHouse is unavailable the worker waits and says since when; afterwards it continues by itself. After kill -9 a new
    worker loses and doubles nothing. Malformed messages become dead letters with bytes and reason.
    """
    bad = list(malformed(7, FAULTS))
    assert len({message.kind for message in bad}) >= 12
    first = chain.worker()
    chain.server.kill()
    summary = _send(chain, faults=FAULTS)
    wait_until(lambda: "unreachable since" in first.readiness()[1], timeout=150, what="/readyz to say that it is unreachable")
    chain.server.restart()
    wait_until(lambda: chain.stored() > 50_000, timeout=150, what="a part of the events to be stored")
    first.process.kill()
    assert chain.stored() < summary.distinct or chain.rolled_up() < summary.distinct  # it was at work
    chain.worker()
    _await_all(chain, summary)
    assert _settled(chain) == _published()
    _assert_kept_whole(chain, bad)


@pytest.mark.long
def test_bad_messages_are_kept_whole_and_move_no_figure(chain):
    """The same with bad messages alone."""
    summary = _send(chain, faults=FAULTS)
    chain.worker()
    _await_all(chain, summary)
    _assert_kept_whole(chain, list(malformed(7, FAULTS)))
    assert _settled(chain) == _published()


#: Times at the ends of the calendar, of numbers and of tables; each is rejected, none may stop a worker.
EXTREME_TIMES = {
    "9999-12-31T16:59:59.999Z": "in_the_future",
    "9999-12-31T17:00:00Z": "in_the_future",
    "9999-12-31T23:59:59.999999999Z": "in_the_future",
    "9999-12-31T23:59:59-23:59": "impossible_date",
    "2106-02-07T06:28:16Z": "in_the_future",
    "2262-04-11T23:47:17Z": "in_the_future",
    "2299-12-31T23:59:59Z": "in_the_future",
    "1970-01-01T00:00:00Z": "agency_not_in_force",
    "1899-12-31T23:59:59Z": "agency_not_in_force",
    "0001-01-01T00:00:00Z": "agency_not_in_force",
    "0001-01-01T00:00:00+07:00": "impossible_date",
    "0000-01-01T00:00:00Z": "impossible_date",
    "2016-12-31T23:59:60Z": "impossible_date",
}


def test_no_message_stops_a_worker_by_what_it_holds(chain):
    """Messages with extreme times, headers and timestamps become dead letters or events; messages after them are counted."""
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap, "linger.ms": 100})
    for number in range(50):
        producer.produce(chain.topic, a_message(), key=b"%d" % number)
    for text in EXTREME_TIMES:
        producer.produce(chain.topic, a_message(occurred_at=text))
    odd_headers = [(b"\xff\xfe\x00", b"\xff"), (b"", None), (b"h" * 1_000, b"")]
    for timestamp in (1, 1_000_000_000_000, 0):
        producer.produce(chain.topic, a_message(), headers=odd_headers, timestamp=timestamp)
        producer.produce(chain.topic, b"{", key=b"odd", headers=odd_headers, timestamp=timestamp)
    producer.produce(chain.topic, None)
    for number in range(50):
        producer.produce(chain.topic, a_message(), key=b"%d" % number)
    assert producer.flush(30) == 0
    chain.environment |= {"PORTALPULSE_DOSSIERS__INTERVAL_SECONDS": "0.5"}
    worker = chain.worker()
    wait_until(
        lambda: chain.stored() == chain.tallied() == chain.rolled_up() == 103,
        timeout=150,
        what="every event to be tallied",
        children=[worker.process],
    )
    rejected = Counter([*EXTREME_TIMES.values(), "not_json", "not_json", "not_json", "empty"])
    wait_until(lambda: chain.dead_letters() == rejected.total(), timeout=150, what="every other message to be dead-lettered")
    text = chain.server.query(f"SELECT reason, count() FROM {chain.database}.dead_letters FINAL GROUP BY reason FORMAT TSV")
    assert {reason: int(count) for reason, count in (line.split("\t") for line in text.splitlines())} == rejected
    assert chain.number("SELECT countIf(key = 'odd') FROM {db}.dead_letters FINAL") == 3
    wait_until(lambda: chain.settled_rows() == 103, timeout=150, what="every dossier to be judged", children=[worker.process])
    assert worker.readiness()[0]


@pytest.mark.long
def test_a_worker_killed_at_work_loses_and_doubles_nothing(chain):
    """After kill -9 under load, a new worker reaches the published figures."""
    summary = _send(chain)
    first = chain.worker()
    wait_until(lambda: chain.stored() > 50_000, timeout=150, what="a part of the events to be stored")
    first.process.kill()
    assert chain.stored() < summary.distinct or chain.rolled_up() < summary.distinct  # it was at work
    chain.worker()
    _await_all(chain, summary)
    assert _settled(chain) == _published()


@pytest.mark.long
def test_a_worker_outlives_its_storage(chain):
    """While ClickHouse is unavailable the worker waits and says since when; afterwards it continues by itself."""
    worker = chain.worker()
    chain.server.kill()
    summary = _send(chain)
    wait_until(lambda: "unreachable since" in worker.readiness()[1], timeout=150, what="/readyz to say that it is unreachable")
    chain.server.restart()
    _await_all(chain, summary)
    wait_until(lambda: worker.readiness()[0], timeout=90, what="the worker to be ready again")
    assert worker.process.running
    assert _settled(chain) == _published()


@pytest.mark.long
def test_a_worker_stops_cleanly_on_sigterm(chain):
    """SIGTERM ends a worker within twenty seconds with status 0."""
    worker = chain.worker()
    worker.process.stop(grace=20)
    assert worker.process.exit_code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PORTALPULSE_KAFKA__BOOTSTRAP": "127.0.0.1:1"}, "No Kafka broker answers at 127.0.0.1:1"),
        ({"PORTALPULSE_KAFKA__TOPIC": "no-such-topic"}, "The topic 'no-such-topic' does not exist"),
        ({"PORTALPULSE_CLICKHOUSE__URL": "http://127.0.0.1:1/x"}, "ClickHouse at 127.0.0.1:1 does not answer"),
        ({"PORTALPULSE_CLICKHOUSE__URL": "mysql://x"}, "PORTALPULSE_CLICKHOUSE__URL"),
        ({"PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": "2"}, "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(chain, change, words):
    """A worker that cannot start prints one line with cause and remedy and ends with status 2."""
    ended = chain.command("worker", **{"PORTALPULSE_HTTP__PORT": "0"} | change)
    said = [line for line in ended.stderr.splitlines() if line.startswith("portalpulse:")]
    assert ended.returncode == 2, ended.stderr
    assert len(said) == 1
    assert words in said[0]
    assert "Traceback" not in ended.stderr
