"""A worker ends when its topic is replaced; brokers that do not know the topic for a moment change nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka import topic_identity
from pipeline.kafka.topic_identity import TopicIdentity, TopicSnapshot
from pipeline.settings import KafkaSettings

GOOD = TopicSnapshot("one", {0: 5, 1: 0}, {0: 0, 1: 0}, {0: 5, 1: 9})
BEYOND = TopicSnapshot("one", {0: 5, 1: 10}, {0: 0, 1: 0}, {0: 5, 1: 9})
GONE = TopicSnapshot("", {}, {}, {})
OTHER = TopicSnapshot("two", {}, {}, {})
SILENCE = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))


@pytest.fixture
def identity(monkeypatch):
    """``identity(*snapshots)``: what the brokers say at each check, without waiting; the last one is repeated."""
    for name in ("CHECK_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(topic_identity, name, 0.0)

    def identity(*snapshots, topics=()):
        made = TopicIdentity(KafkaSettings(topic="events", group="counters", portal_prefix="dvc."), topics=topics)
        answers = list(snapshots)

        def ask():
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer if topics else {"events": answer}

        made._ask = ask
        made._has_controller = lambda: True
        return made

    return identity


async def watched(identity, *, seconds=60.0):
    """Begin and watch; the error that ends the watch."""
    await identity.begin()
    with pytest.raises(ConfigurationError) as raised:
        await asyncio.wait_for(identity.watch(), seconds)
    return str(raised.value)


async def test_offsets_inside_the_log_begin(identity):
    """A group that has read to the end, or nothing, begins."""
    await identity(GOOD).begin()


async def test_offsets_beyond_the_end_stop_the_start(identity):
    """They belong to a deleted topic; the sentence names partition, offset, end and the way out."""
    with pytest.raises(ConfigurationError, match=r"partition 1 of 'events' up to offset 10, but it ends at 9.*KAFKA__GROUP"):
        await identity(BEYOND).begin()


async def test_an_end_that_comes_late_stops_nothing(identity):
    """A new leader learns the end of its log a moment after it answers; silence passes, too."""
    await identity(BEYOND, SILENCE, GONE, GOOD).begin()


async def test_brokers_that_stay_silent_stop_the_start(identity):
    """Without an answer the identity of the topic is unknown."""
    with pytest.raises(UnavailableError, match="did not describe the topic 'events'"):
        await identity(SILENCE).begin()


async def test_a_topic_created_again_ends_the_worker(identity):
    """Another identity under the same name is certain at the first check, whatever its offsets are."""
    assert "deleted and created again while" in await watched(identity(GOOD, GOOD, OTHER))


async def test_a_deleted_topic_ends_the_worker(identity):
    """Three consecutive checks find no topic."""
    assert "was deleted. Create it again" in await watched(identity(GOOD, GOOD, GONE))


async def test_a_log_that_became_shorter_ends_the_worker(identity):
    """Brokers that lost messages give new ones the offsets of those that were read."""
    assert "its brokers lost messages" in await watched(identity(GOOD, GOOD, BEYOND))


async def test_doubts_that_pass_end_nothing(identity):
    """Two odd snapshots and silence prove nothing; the watch continues."""
    mostly = [GOOD, GONE, GONE, GOOD, BEYOND, BEYOND, SILENCE, GOOD] * 20
    watching = identity(*mostly)
    await watching.begin()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watching.watch(), 0.5)


@pytest.mark.parametrize(("then", "words"), [([OTHER], "deleted and created again"), ([GONE], "was deleted"), ([BEYOND], "lost")])
async def test_a_consumer_that_ended_has_lost_its_topic(identity, then, words):
    """The check after a consumer ended finds what became of its topic without waiting for the next regular one."""
    checked = identity(GOOD, *then)
    await checked.begin()
    with pytest.raises(topic_identity.TopicGoneError, match=words):
        await checked.confirm()


@pytest.mark.parametrize("then", [[GOOD], [GONE, GOOD], [SILENCE], [GONE, SILENCE]])
async def test_a_consumer_that_ended_for_another_reason(identity, then):
    """A topic that is the same, or brokers that do not answer, do not explain why a consumer ended."""
    checked = identity(GOOD, *then)
    await checked.begin()
    await asyncio.wait_for(checked.confirm(), 60)


async def test_brokers_without_identities_are_read_all_the_same(identity):
    """A mock cluster of librdkafka names no controller to ask; offsets are still compared with the log."""
    nameless = identity(GOOD)
    nameless._has_controller = lambda: False
    await nameless.begin()
    assert not nameless._has_identities


PORTALS = ("dvc.H17", "dvc.H30")


async def test_a_portal_may_get_its_topic_later(identity):
    """Of several topics one may be missing at first; when it is created its identity is known."""
    before, after = dict(zip(PORTALS, (GOOD, GONE), strict=True)), dict(zip(PORTALS, (GOOD, OTHER), strict=True))
    watching = identity(before, before, after, topics=PORTALS)
    await watching.begin()
    assert watching.topic_ids == {"dvc.H17": "one"}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watching.watch(), 0.3)
    assert watching.topic_ids == {"dvc.H17": "one", "dvc.H30": "two"}


@pytest.mark.parametrize("changed", [GONE, OTHER, BEYOND])
async def test_a_fault_of_one_topic_names_it(identity, changed):
    """A topic of a portal that is deleted, created again or cut ends the worker by its name; the others stay sound."""
    both, then = dict(zip(PORTALS, (GOOD, GOOD), strict=True)), dict(zip(PORTALS, (GOOD, changed), strict=True))
    watching = identity(both, both, then, topics=PORTALS)
    await watching.begin()
    with pytest.raises(topic_identity.TopicGoneError, match=r"'dvc\.H30'") as raised:
        await asyncio.wait_for(watching.watch(), 60)
    assert raised.value.topic == "dvc.H30"


async def test_a_stop_does_not_wait_for_brokers_that_are_away(identity):
    """A check that hangs does so in a thread that the stop does not wait for."""
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


def test_the_id_of_a_new_topic_is_never_paired_with_ends_of_the_old_one(monkeypatch):
    """When the topic is created again between the two requests, the id is the old one: what is accepted applies to no message."""

    class Recreated:
        """Brokers on which the topic is created again, with fewer messages, after the first request about it."""

        def __init__(self, _options):
            self.topics = [("old", 100), ("new", 7)]

        def _answer(self, value):
            future = Future()
            future.set_result(value)
            return future

        def list_topics(self, **_):
            return SimpleNamespace(controller_id=1, brokers={1: "b"})

        def describe_topics(self, _topics, **_options):
            return {"events": self._answer(SimpleNamespace(topic_id=self.topics.pop(0)[0], partitions=[]))}

        def list_offsets(self, asked, **_):
            end = self.topics.pop(0)[1]
            return {where: self._answer(SimpleNamespace(offset=end)) for where in asked}

    monkeypatch.setattr(topic_identity, "AdminClient", Recreated)
    assert topic_identity.topic_ends(KafkaSettings(topic="events"), [0]) == ("old", {0: 7})
