"""A worker is held to the topic it began with; brokers that do not know it for a moment change nothing."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka import topic_identity
from pipeline.kafka.topic_identity import Look, TopicIdentity
from pipeline.settings import KafkaSettings

GOOD = Look("one", {0: 5, 1: 0}, {0: 0, 1: 0}, {0: 5, 1: 9})
BEYOND = Look("one", {0: 5, 1: 10}, {0: 0, 1: 0}, {0: 5, 1: 9})
GONE = Look("", {}, {}, {})
OTHER = Look("two", {}, {}, {})
SILENCE = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))


@pytest.fixture
def identity(monkeypatch):
    """``identity(*looks)``: what the brokers say, look after look, without waiting; the last one stays."""
    for name in ("LOOK_SECONDS", "_QUICK_LOOK_SECONDS"):
        monkeypatch.setattr(topic_identity, name, 0.0)

    def identity(*looks):
        made = TopicIdentity(KafkaSettings(topic="events", group="counters"))
        answers = list(looks)

        def ask():
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        made._ask = ask
        made._has_controller = lambda: True
        return made

    return identity


async def watched(identity, *, seconds=60.0):
    """Begin and watch; what the watch raises."""
    await identity.begin()
    with pytest.raises(ConfigurationError) as raised:
        await asyncio.wait_for(identity.watch(), seconds)
    return str(raised.value)


async def test_offsets_inside_the_log_begin(identity):
    """A group that has read to the end, or nothing, begins."""
    await identity(GOOD).begin()


async def test_offsets_beyond_the_end_stop_the_start(identity):
    """They belong to a topic that is gone; the sentence names partition, offset, end and the way out."""
    with pytest.raises(ConfigurationError, match=r"partition 1 of 'events' up to offset 10, but it ends at 9.*KAFKA__GROUP"):
        await identity(BEYOND).begin()


async def test_an_end_that_comes_late_stops_nothing(identity):
    """A new leader learns the end of its log a moment after it answers; silence passes, too."""
    await identity(BEYOND, SILENCE, GONE, GOOD).begin()


async def test_brokers_that_stay_silent_stop_the_start(identity):
    """Without an answer nobody knows which topic this is."""
    with pytest.raises(UnavailableError, match="does not say what the topic 'events' is"):
        await identity(SILENCE).begin()


async def test_a_topic_created_again_ends_the_worker(identity):
    """Another identity under the same name is certain at the first look, whatever its offsets are."""
    assert "deleted and created again while" in await watched(identity(GOOD, GOOD, OTHER))


async def test_a_deleted_topic_ends_the_worker(identity):
    """Three looks in a row find none."""
    assert "was deleted. Start" in await watched(identity(GOOD, GOOD, GONE))


async def test_a_log_that_became_shorter_ends_the_worker(identity):
    """Brokers that lost messages give new ones the offsets of those that were read."""
    assert "its brokers lost messages" in await watched(identity(GOOD, GOOD, BEYOND))


async def test_doubts_that_pass_end_nothing(identity):
    """Two odd looks and silence are no proof; the watch goes on."""
    mostly = [GOOD, GONE, GONE, GOOD, BEYOND, BEYOND, SILENCE, GOOD] * 20
    watching = identity(*mostly)
    await watching.begin()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watching.watch(), 0.5)


async def test_brokers_without_identities_are_read_all_the_same(identity):
    """A mock cluster of librdkafka names no controller to ask; offsets are still held to the log."""
    nameless = identity(GOOD)
    nameless._has_controller = lambda: False
    await nameless.begin()
    assert not nameless._told


async def test_a_stop_does_not_wait_for_brokers_that_are_away(identity):
    """A look that hangs hangs in a thread that nobody waits for."""
    hanging, released = identity(GOOD), threading.Event()
    await hanging.begin()
    hanging._ask = lambda: released.wait(200)
    watching = asyncio.ensure_future(hanging.watch())
    await asyncio.sleep(0.1)
    watching.cancel()
    before = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await watching
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - before < 100
    released.set()
