"""Every command that uses Kafka logs in as the settings say, and says in one sentence why it is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from deploy.native.ports import LOOPBACK, free_port
from domain.errors import UnavailableError
from pipeline.kafka.access import topics_of
from pipeline.kafka.resend import Resender
from pipeline.settings import KafkaSettings
from tests.factories import a_message
from tests.integration.silence.conftest import NO_NAME, NOBODY
from tests.proxies import Proxy

EVENTS = 6
#: Arguments of every command that opens a connection to the brokers; FILE and TOPIC are put in.
COMMANDS = {
    "produce": ("produce", "--scenario", "live", "--rate", "max", "--duration", "0.01", "--json"),
    "replay of a file": ("replay", "FILE", "--json"),
    "replay by processes": ("replay", "FILE", "--processes", "2", "--json"),
    "replay of a topic": ("replay", "--from-topic", "TOPIC", "--json"),
    "load": ("load", "--duration", "1", "--rate", "10", "--json"),
    "audit": ("audit", "--kafka", "deep"),
    "doctor": ("doctor",),
}
#: The others that need the brokers.
OTHERS = {
    "produce to a new topic": (*COMMANDS["produce"], "--topic", "new", "--create-topic"),
    "replay to a new topic": ("replay", "FILE", "--topic", "new", "--create-topic"),
    "accept": ("dead-letters", "accept", "--partition", "0"),
}
#: One for each client library; the others use one of these, too.
EACH_WAY = {"replay of a topic", "audit"}


def each(names, fast=EACH_WAY):
    """The commands as parameters; all but ``fast`` are long tests."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.long) for name in names]


@pytest.fixture
def runner(site, tmp_path, commands):
    """Runs a command on a topic that holds a few events."""
    site.send(EVENTS)
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(a_message() + b"\n" for _ in range(EVENTS)))

    def run(name, **changes):
        if name in {"audit", "accept"}:
            call(("migrate",))  # they make no tables
        return call((COMMANDS | OTHERS | {"worker": ("worker",)})[name], **changes)

    def call(arguments, **changes):
        words = {"FILE": str(file), "TOPIC": site.topic}
        return commands(
            *(words.get(word, word) for word in arguments),
            environment=site.environment | {"COLUMNS": "1000"} | changes,
            folder=tmp_path,
            timeout=200,
        )

    return run


@pytest.fixture
def run(site, runner):
    """Runs a command with password and TLS and only the access rights that it needs."""
    site.through("tls")
    for operation in ("READ", "WRITE"):
        site.kafka.allow(site.user, "TOPIC", site.topic, operation)
    return runner


@pytest.mark.parametrize("name", each(COMMANDS))
def test_a_command_works_with_password_and_tls(site, run, name):
    """With the settings' login and certificate authority the command does its work over TLS."""
    ended = run(name)
    said = ended.stdout + ended.stderr
    if name == "doctor":
        assert f"answers; {site.topic} has 2 partitions" in said
    else:
        # The events are not stored: no worker runs, which the audit says with status 1 at most.
        assert ended.returncode in ((0, 1) if name == "audit" else (0,)), said
    if name.startswith("replay"):
        site.await_messages(2 * EVENTS)
    assert "Traceback" not in said


@pytest.mark.parametrize("name", each(COMMANDS, fast={"produce"}))
def test_a_wrong_password_is_one_sentence(site, run, name):
    """A refused login is reported at once with user and mechanism, without the password and without advice for a local stack."""
    ended = run(name, PORTALPULSE_KAFKA__PASSWORD="hunter2")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    sentence = f"refuses user '{site.user}' (SCRAM-SHA-512). Correct PORTALPULSE_KAFKA__USER and PORTALPULSE_KAFKA__PASSWORD."
    if name == "doctor":
        assert f"refuses user '{site.user}' (SCRAM-SHA-512)" in said
        assert "Correct PORTALPULSE_KAFKA__USER" in said
    else:
        (line,) = [line for line in said.splitlines() if line.startswith("portalpulse: ")]
        assert line.removesuffix(" Then run it again." if name == "audit" else "").endswith(sentence)
    for word in ("hunter2", "Traceback", "Start the local stack"):
        assert word not in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"PORTALPULSE_KAFKA__CA_FILE": ""}, "is not accepted. Renew it, or name the authority"),
        ({"PORTALPULSE_KAFKA__SASL_MECHANISM": "PLAIN"}, "does not take PLAIN. Set PORTALPULSE_KAFKA__SASL_MECHANISM"),
        pytest.param(
            {"PORTALPULSE_KAFKA__CA_FILE": "/nowhere/ca.pem"}, "in /nowhere/ca.pem cannot be read", marks=pytest.mark.long
        ),
        pytest.param(
            {"PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PORTALPULSE_KAFKA__CA_FILE": ""},
            "does not speak SASL_PLAINTEXT",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_does_not_fit_is_named(run, changes, sentence):
    """A wrong certificate, mechanism or protocol is named together with the setting to change."""
    ended = run("replay of a file", **changes)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", each(["produce", "audit", "doctor"], fast={"produce"}))
def test_a_login_at_a_port_without_one_is_named(site, run, name):
    """A port that takes no logins refuses the protocol, not the user: the sentence names the setting of the protocol."""
    plain = {"PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PORTALPULSE_KAFKA__CA_FILE": ""}
    ended = run(name, PORTALPULSE_KAFKA__BOOTSTRAP=site.kafka.bootstrap, **plain)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    assert "takes no login on this port (SASL_PLAINTEXT was tried)" in said
    assert "Set PORTALPULSE_KAFKA__SECURITY_PROTOCOL" in said
    for word in ("refuses user", "KAFKA__PASSWORD", "Traceback"):
        assert word not in said


@pytest.mark.parametrize("name", each(["produce", "replay of a file"], fast={"produce"}))
def test_a_right_that_is_missing_is_named(site, run, name):
    """A sender that may read but not write gets an error that names the topic and the user."""
    site.kafka.forbid(site.user, "TOPIC", site.topic, "WRITE")
    ended = run(name)
    assert ended.returncode == 1
    assert (
        f"does not let user '{site.user}' write to the topic {site.topic}: grant WRITE on the topic"
        in ended.stdout + ended.stderr
    )


@pytest.mark.parametrize(
    ("name", "listener"),
    [
        *(pytest.param(*way.values, "lost", marks=way.marks) for way in each(COMMANDS | OTHERS, fast={"accept"})),
        pytest.param("worker", "lost", marks=pytest.mark.chaos),  # it waits longer: 20 s
        pytest.param("replay of a file", "nameless", marks=pytest.mark.long),
    ],
)
def test_an_address_that_nobody_reaches_is_named(site, runner, name, listener):
    """When brokers advertise an address that cannot be reached, every command says so in one sentence with the remedy."""
    site.through(listener)
    ended = runner(name)
    said = ended.stdout + ended.stderr
    named = NOBODY if listener == "lost" else NO_NAME
    at = site.environment["PORTALPULSE_KAFKA__BOOTSTRAP"]
    sentence = f"Kafka at {at} answers, but a broker that it names cannot be reached (it names {named}): "
    remedy = "Start that broker, or correct advertised.listeners, which has to name addresses that this machine reaches."
    assert said.count(sentence) == 1, said
    assert remedy in said
    assert ended.returncode in ((1, 2) if name == "audit" else (2,)), said  # the tallies are audited all the same
    assert "Traceback" not in said
    assert "Unable" not in said or name == "worker"  # whose log is written while it waits for a broker that starts


@pytest.mark.long
@pytest.mark.parametrize("listener", ["lost", "nameless"])
def test_an_address_that_nobody_reaches_is_named_by_a_slow_broker(site, listener):
    """An answer that comes after the first check has ended names the address, too."""
    proxy = Proxy(free_port(), getattr(site.kafka, listener))
    proxy.delay = 0.4  # a first answer takes two round trips
    at, named = f"{LOOPBACK}:{proxy.port}", NOBODY if listener == "lost" else NO_NAME
    try:
        with pytest.raises(UnavailableError) as caught:
            topics_of([at], KafkaSettings(bootstrap=(at,)), used=site.topic, timeout=5.0)
    finally:
        proxy.close()
    begin = f"Kafka at {at} answers, but a broker that it names cannot be reached (it names {named}): {named}: "
    assert caught.value.problem.startswith(begin)


def test_dead_letters_are_not_sent_to_an_address_that_nobody_reaches(site):
    """A replay of dead letters says so too, and counts none of them as sent."""
    site.through("lost")
    bootstrap = (site.environment["PORTALPULSE_KAFKA__BOOTSTRAP"],)
    letter = SimpleNamespace(topic=site.topic, key=b"k", partition=0, offset=0)
    with pytest.raises(UnavailableError, match=f"answers, but a broker that it names cannot be reached .it names {NOBODY}"):
        Resender(KafkaSettings(bootstrap=bootstrap, topic=site.topic)).send([letter], [b"{}"])
