"""What the Kafka writer answers when there is no Kafka; the rest is tested against a real broker."""

from __future__ import annotations

import socket

import pytest

from domain.errors import UnavailableError
from producers.sending import kafka_writer as kafka
from producers.sending.kafka_writer import KafkaWriter


def test_an_unreachable_broker_is_one_sentence_with_a_remedy(monkeypatch):
    """Nobody waits longer than the metadata timeout, and the answer names the address and what to do."""
    monkeypatch.setattr(kafka, "_METADATA_SECONDS", 0.5)
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=address) as caught:
            KafkaWriter(bootstrap=[address], topic="t")
    assert "portalpulse up" in caught.value.remedy
    assert "portalpulse doctor" in caught.value.remedy
