"""An address at which no broker answers is found before a client asks it, and skipped where others answer."""

from __future__ import annotations

import struct

import pytest

from domain.errors import UnavailableError
from pipeline.kafka import false_broker
from pipeline.kafka.false_broker import answers_falsely, refuse_false_brokers, without_false
from pipeline.kafka.security import PLAINTEXT, librdkafka_options
from pipeline.settings import KafkaSettings
from tests.false_brokers import API_VERSIONS, METADATA, FalseBroker, brokers, versions

LOGIN = KafkaSettings(security_protocol="SASL_PLAINTEXT", user="u", password="p")
RIGHT = brokers(1)
#: What no broker says about its brokers.
FALSE_METADATA = {
    "zeros": bytes(200),
    "ones": b"\xff" * 200,
    "nothing": b"",
    "half": RIGHT[:-3],
    "more": RIGHT + b"\0",
    "a text below zero": RIGHT[:8] + struct.pack(">h", -2) + RIGHT[10:],
    "brokers below zero": struct.pack(">iii", -1, 0, 0),
    "more brokers than bytes": struct.pack(">i", 1 << 30) + RIGHT[4:],
    "a page": b"<html>" * 40,
}


def answering(metadata, *, api_versions=None, delay=0.0):
    """A broker that gives these bodies to the two requests."""

    def answer(key, version):
        if key == API_VERSIONS:
            return versions(version) if api_versions is None else api_versions
        return metadata if key == METADATA else None

    return FalseBroker(answer, delay=delay)


@pytest.mark.parametrize("kind", FALSE_METADATA)
def test_what_no_broker_says_about_its_brokers_is_refused(kind):
    """Right versions do not make a broker: an answer about the brokers that none gives is one sentence with the address."""
    with answering(FALSE_METADATA[kind]) as server:
        with pytest.raises(UnavailableError) as refused:
            refuse_false_brokers([server.address], PLAINTEXT)
        assert refused.value.problem == f"What answers at {server.address} is not a Kafka broker: its answer cannot be read."
        assert answers_falsely(server.address, PLAINTEXT)


@pytest.mark.parametrize("api_versions", [bytes(200), struct.pack(">hi", 0, 7) + bytes(6), bytes(2)])
@pytest.mark.parametrize("security", [PLAINTEXT, LOGIN])
def test_what_no_broker_says_about_versions_is_refused(api_versions, security):
    """With a login, too: it is the only request that is answered before one."""
    with answering(RIGHT, api_versions=api_versions) as server, pytest.raises(UnavailableError):
        refuse_false_brokers([server.address], security)


@pytest.mark.parametrize(
    "server",
    [
        lambda: answering(RIGHT, delay=0.3),
        lambda: answering(brokers(1, count=200)),
        lambda: answering(brokers(1, count=0)),  # one that starts
        lambda: answering(None),
        lambda: answering(RIGHT, api_versions=struct.pack(">hi", 35, 0)),
    ],
    ids=["far away", "of many", "that starts", "that is silent", "that takes no such version"],
)
def test_no_honest_broker_is_refused(server):
    """A broker that is slow, silent, new or of another release is left to the client."""
    with server() as broker:
        refuse_false_brokers([broker.address], PLAINTEXT)
        assert without_false([broker.address], PLAINTEXT) == [broker.address]


def test_the_remedy_names_where_the_address_stands():
    """An option of the command line is named beside the setting."""
    with answering(bytes(200)) as server:
        for option, words in (("", "Correct PORTALPULSE_"), ("--bootstrap", "Correct --bootstrap or PORTALPULSE_")):
            with pytest.raises(UnavailableError) as refused:
                refuse_false_brokers([server.address], PLAINTEXT, option=option)
            assert words in refused.value.remedy


def test_a_false_address_beside_a_broker_is_left_out(capsys):
    """Clients ask the others, the false one is named, and it may become a broker later."""
    with answering(bytes(200)) as false, answering(RIGHT) as good:
        both = [false.address, good.address]
        refuse_false_brokers(both, PLAINTEXT, option="--bootstrap")
        assert without_false(both, PLAINTEXT) == [good.address]
        assert librdkafka_options(PLAINTEXT, both)["bootstrap.servers"] == good.address
        written = capsys.readouterr()
        assert f"What answers at {false.address} is not a Kafka broker" in written.out + written.err
        false._answer = good._answer
        refuse_false_brokers(both, PLAINTEXT)
        assert without_false(both, PLAINTEXT) == both


def test_no_client_is_opened_without_the_check():
    """Whatever a command asks first: the options of a client are refused for an address that was never judged."""
    with answering(bytes(200)) as server, pytest.raises(UnavailableError, match=f"What answers at {server.address} is not"):
        librdkafka_options(PLAINTEXT, [server.address])


def test_a_silent_address_beside_a_broker_costs_no_time(monkeypatch):
    """When one broker has answered, the others are not waited for."""
    monkeypatch.setattr(false_broker, "_SECONDS", 3600.0)
    with FalseBroker(lambda *_: None) as silent, answering(RIGHT) as good:
        refuse_false_brokers([silent.address, good.address], PLAINTEXT)


def test_a_false_address_beside_a_silent_one_is_refused(monkeypatch):
    """Nothing is left that a client may ask."""
    monkeypatch.setattr(false_broker, "_SECONDS", 0.5)
    with (
        FalseBroker(lambda *_: None) as silent,
        answering(bytes(200)) as false,
        pytest.raises(UnavailableError, match=f"What answers at {false.address} is not"),
    ):
        refuse_false_brokers([silent.address, false.address], PLAINTEXT)
