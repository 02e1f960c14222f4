"""A broker whose answers are changed on their way: every command says so in one sentence, with a status and without a signal."""

from __future__ import annotations

import pytest

from deploy.native.processes import wait_until

PRODUCE, LIST_OFFSETS, METADATA, CREATE_TOPICS = 0, 2, 3, 19
PRODUCING = ("produce", "--scenario", "feb-2025", "--events", "5")


def zeros(answer):
    """Nothing but zeros."""
    return bytes(len(answer))


@pytest.fixture
def falsified(site):
    """Changes the answers to requests with these keys."""
    site.through("proxy")
    proxy = site.kafka.proxy
    yield lambda *keys: proxy.falsified.update(dict.fromkeys(keys, zeros))
    proxy.falsified.clear()


def ended(site, *words, **changes):
    """What a command said, and its status."""
    process = site.launch(*words, **changes)
    wait_until(lambda: process.process.exit_code is not None, timeout=150, what="it to end")
    sentences = [line for line in process.log().splitlines() if line.startswith("portalpulse: ")]
    assert len(sentences) == 1, process.log()
    return sentences[0], process.process.exit_code


@pytest.mark.parametrize(
    ("words", "key", "expected"),
    [
        (PRODUCING, METADATA, ("is not a Kafka broker: its answer cannot be read. Correct --bootstrap or PORTALPULSE_", 2)),
        (PRODUCING, PRODUCE, ("messages were not delivered: an answer about the messages did not come from a Kafka broker", 1)),
        pytest.param(
            (*PRODUCING, "--topic", "other", "--create-topic"),
            CREATE_TOPICS,
            ("does not answer whether 'other' was created", 2),
            marks=pytest.mark.long,
        ),
        (("offsets", "save", "offsets.json"), LIST_OFFSETS, ("failed: Failed to get watermark offsets", 2)),
        (("worker",), METADATA, ("is not a Kafka broker: its answer cannot be read. Correct PORTALPULSE_KAFKA__BOOTSTRAP;", 2)),
    ],
    ids=["metadata", "batches", "creation", "offsets", "worker"],
)
def test_an_answer_of_zeros_is_one_sentence(site, falsified, words, key, expected):
    """The sentence says what happened, and not that batches are too large, brokers are starting, or no answer came."""
    falsified(key)
    sentence, status = ended(site, *words)
    assert expected[0] in sentence
    assert status == expected[1]
