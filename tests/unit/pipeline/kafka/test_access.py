"""Why brokers cannot be used, in one sentence with a remedy that fits; the rest is tested against a real broker."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from domain.errors import UnavailableError
from pipeline.kafka.access import Reports, refusal, topics_of
from pipeline.kafka.security import PLAINTEXT
from pipeline.settings import KafkaSettings

LOGIN = KafkaSettings(security_protocol="SASL_SSL", user="sender", password="hunter2")
LOCAL, REMOTE = ["127.0.0.1:9092"], ["kafka-1.example:9092", "kafka-2.example:9092"]


def said(code, text, *, address=REMOTE, security=LOGIN, reports=(), **options):
    """The sentence about a librdkafka error."""
    return str(refusal(KafkaError(code, text), address, security, reports=reports, **options))


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (
            KafkaError._AUTHENTICATION,
            "SASL authentication error",
            "refuses user 'sender' (SCRAM-SHA-512). Correct PORTALPULSE_KAFKA__USER",
        ),
        (KafkaError._AUTHENTICATION, "mechanism handshake failed: Unsupported SASL mechanism", "does not take SCRAM-SHA-512"),
        (
            KafkaError._AUTHENTICATION,
            "handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms: ",
            "takes no login on this port (SASL_SSL was tried). Set PORTALPULSE_KAFKA__SECURITY_PROTOCOL",
        ),
        (
            KafkaError._BAD_COMPRESSION,
            "of message at 0 failed",
            "cannot be unpacked by this command: of message at 0 failed. Skip the batch",
        ),
        (KafkaError._BAD_MSG, "Bad message format", "cannot be unpacked by this command: Bad message format. Skip the batch"),
        (KafkaError._SSL, "certificate verify failed", "is not accepted. Renew it"),
        (KafkaError._SSL, "handshake failed: wrong version number", "does not speak SASL_SSL"),
        (KafkaError._TRANSPORT, "verify that security.protocol is correctly configured", "does not speak SASL_SSL"),
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            "Broker: Topic authorization failed",
            "refuses access to topic t as user 'sender'",
        ),
        (KafkaError._TRANSPORT, "Connect failed", "No Kafka broker answers"),
        (
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            "Broker: Coordinator not available",
            "answers but is not ready: Broker: Coordinator not available. Wait until its brokers are up",
        ),
        (KafkaError.POLICY_VIOLATION, "Broker: Policy violation", "refuses: Broker: Policy violation. See the broker's log."),
    ],
)
def test_a_refusal_names_its_cause(code, text, words):
    """Every cause has a sentence of its own, and none advises to start the local stack."""
    sentence = said(code, text, what="topic t", reading=True)
    assert words in sentence
    for word in ("portalpulse up", "hunter2", ".."):
        assert word not in sentence


def test_a_cause_is_named_before_a_missing_answer():
    """What the client reported meanwhile says more than that no answer came, wherever it stands among other reports."""
    reports = [
        KafkaError(KafkaError._TRANSPORT, "x"),
        KafkaError(KafkaError._AUTHENTICATION, "x"),
        KafkaError(KafkaError._TRANSPORT, "y"),
    ]
    assert "refuses user" in said(KafkaError._TIMED_OUT, "no answer", reports=reports)
    reports[1] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "x")
    assert "refuses access" in said(KafkaError._TIMED_OUT, "no answer", reports=reports)


def test_only_a_local_plain_broker_may_be_the_local_stack():
    """`portalpulse up` is advised for loopback without TLS and password, and the option of the command is named."""
    local = said(KafkaError._TRANSPORT, "x", address=LOCAL, security=PLAINTEXT, option="--from-bootstrap")
    assert "portalpulse up" in local
    assert "--from-bootstrap" in local
    assert "portalpulse up" not in said(KafkaError._TRANSPORT, "x", address=LOCAL)
    assert "portalpulse up" not in said(KafkaError._TRANSPORT, "x", address=REMOTE, security=PLAINTEXT)
    assert "portalpulse up" in said(KafkaError._TRANSPORT, "x", address=["localhost:9092", "[::1]:9092"], security=PLAINTEXT)


@pytest.mark.parametrize(
    ("line", "otherwise"),
    [
        ("[thrd:h:9092/bootstrap]: h:9092/bootstrap: Disconnected (after 2ms in state APIVERSION_QUERY)", True),
        ("[thrd:h:9092/bootstrap]: h:9092/bootstrap: Disconnected: verify that ... (after 3ms in state SSL_HANDSHAKE)", True),
        ("[thrd:h:9092/1]: h:9092/1: Disconnected (after 600000ms in state UP)", False),
        (
            "[thrd:h:9092/1]: h:9092/1: ApiVersionRequest failed: probably due to broker version (in state APIVERSION_QUERY)",
            False,
        ),
    ],
)
def test_only_a_connection_that_ended_at_its_start_speaks_something_else(line, otherwise):
    """A broker that ends an idle connection, or is slow with its versions, speaks the protocol: it only does not answer."""
    reports = Reports()
    reports.logger().warning(line)
    sentence = str(refusal(KafkaError(KafkaError._TRANSPORT, "x"), REMOTE, PLAINTEXT, reports=reports))
    assert ("does not speak PLAINTEXT" in sentence) == otherwise
    assert ("No Kafka broker answers" in sentence) != otherwise


def test_a_broker_that_ends_every_connection_behind_tls_wants_a_login():
    """Librdkafka then only logs lost connections; with a login, or when a broker does not listen, they mean something else."""
    closed = "FAIL [a#producer-1] ssl://a:1/bootstrap: Disconnected: SSL connection closed by peer (after 1ms in state UP)"
    dead = "FAIL [a#producer-1] ssl://b:1/bootstrap: Connect to ipv4#b:1 failed: Connection refused (after 0ms in state CONNECT)"
    encrypted = KafkaSettings(security_protocol="SSL")
    for lines, security, wants in (
        ([closed, closed], encrypted, True),
        ([closed], encrypted, False),
        ([closed, closed, dead], encrypted, False),
        ([closed, closed], LOGIN, False),
    ):
        reports = Reports()
        reports.lines = lines
        sentence = said(KafkaError._TRANSPORT, "Broker transport failure", security=security, reports=reports)
        assert ("PORTALPULSE_KAFKA__SECURITY_PROTOCOL" in sentence) == wants


def test_a_broker_that_ends_the_connection_speaks_something_else():
    """A port that closes what it does not understand is named as the wrong protocol; librdkafka only logs that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"Kafka at {address} does not speak PLAINTEXT on this port"):
            topics_of([address], PLAINTEXT, used="t", timeout=2.0)
        server.shutdown(socket.SHUT_RDWR)


NOBODY = 9  # a port of 127.0.0.1 that nobody listens on


def admin_of(leaders, *, ports, controller=1):
    """Makes an admin client whose brokers, by number, are at ``ports``; ``leaders`` by topic."""
    topics = {
        name: SimpleNamespace(partitions={at: SimpleNamespace(leader=number) for at, number in enumerate(numbers)})
        for name, numbers in leaders.items()
    }
    brokers = {number: SimpleNamespace(host="127.0.0.1", port=port) for number, port in ports.items()}
    found = SimpleNamespace(topics=topics, brokers=brokers, controller_id=controller)
    return lambda _: SimpleNamespace(list_topics=lambda **_: found, poll=lambda _: None)


@pytest.mark.parametrize(
    ("leaders", "controller", "reached"),
    [
        ({"t": [1, 1]}, 2, True),  # the other broker is not needed
        ({"t": [1, 2]}, 1, False),
        ({"t": [1, -1]}, 1, True),  # a partition without a leader names no address
        ({"t": [-1]}, 1, False),  # without any leader all brokers are asked for one
        ({"other": [2]}, 1, True),  # the topic is still to be created, by the controller
        ({"other": [1]}, 2, False),
    ],
)
def test_a_broker_that_is_needed_has_to_be_reachable(leaders, controller, reached):
    """Brokers that answer and name an unreachable leader of the topic, or creator of it, are refused with all that they name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        admin = admin_of(leaders, ports={1: server.getsockname()[1], 2: NOBODY}, controller=controller)
        if reached:
            assert topics_of(["b:1"], PLAINTEXT, used="t", timeout=0.5, client=admin).keys() == leaders.keys()
            return
        with pytest.raises(UnavailableError) as caught:
            topics_of(["b:1"], PLAINTEXT, used="t", timeout=0.5, client=admin)
    assert caught.value.problem.startswith("Kafka at b:1 answers, but a broker that it names cannot be reached (it names ")
    assert caught.value.problem.endswith(f"127.0.0.1:{NOBODY}): 127.0.0.1:{NOBODY}: Connection refused.")
    assert "correct advertised.listeners" in caught.value.remedy


def test_a_broker_that_ended_is_waited_for():
    """A leader that is down is named until another one is elected: brokers are asked again before they are refused."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = [admin_of({"t": [2]}, ports={1: port, 2: NOBODY})({}), admin_of({"t": [1]}, ports={1: port})({})]
        admin = SimpleNamespace(list_topics=lambda **_: answers.pop(0).list_topics(), poll=lambda _: None)
        assert topics_of(["b:1"], PLAINTEXT, used="t", timeout=60.0, client=lambda _: admin)
    assert not answers


def test_a_client_that_is_led_to_nobody_names_the_address():
    """After the first answer the client asks the brokers that were named: when they do not answer, the address is the cause."""
    first = admin_of({"t": [1]}, ports={1: NOBODY, 2: NOBODY})({})
    answers = iter([first.list_topics])

    def list_topics(**_):
        answer = next(answers, None)
        if answer is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return answer()

    admin = SimpleNamespace(list_topics=list_topics, poll=lambda _: None)
    with pytest.raises(UnavailableError) as caught:
        topics_of(["b:1"], PLAINTEXT, used="t", timeout=2.0, client=lambda _: admin)
    assert f"a broker that it names cannot be reached (it names 127.0.0.1:{NOBODY})" in caught.value.problem


def test_what_is_reported_is_bounded():
    """A client that reports for hours keeps the latest only."""
    reports = Reports()
    logger = reports.logger()
    for number in range(1_000):
        reports.add(KafkaError(KafkaError._TRANSPORT, str(number)))
        logger.warning("line %d", number)
    assert len(reports) == len(reports.lines) == 50
    assert (reports[-1].str(), reports.lines[-1]) == ("999", "line 999")


def test_an_address_that_answers_zeros_is_refused_before_librdkafka_asks_it():
    """An answer that no broker gives is one sentence: librdkafka would abort the process over it."""

    def answer_zeros(server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while request := connection.recv(65_536):
                    connection.sendall((204).to_bytes(4, "big") + request[8:12] + bytes(200))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_zeros, args=[server], daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        asked = (
            "from pipeline.kafka.access import topics_of\n"
            "from pipeline.kafka.security import PLAINTEXT\n"
            f"topics_of([{address!r}], PLAINTEXT, used='t')"
        )
        ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1, ran
    assert f"What answers at {address} is not a Kafka broker: its answer cannot be read." in ran.stderr
