"""How Faust acknowledges, restarts and logs in, seen by running it: the reasons why pipeline/kafka is built as it is.

None of these is a wish. A release that changes one turns its test red, and the place in pipeline/kafka that rests on it may be
made simpler, or must be made otherwise.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import faust
import pytest
from faust.exceptions import ImproperlyConfigured
from faust.transport.conductor import ConductorCompiler
from faust.types.tuples import TP, ConsumerMessage

from pipeline.ingest.memory_budget import MemoryBudget
from pipeline.kafka.app import create_app
from pipeline.settings import KafkaSettings

PATIENCE = 60.0


class Rig:
    """A Faust app without a broker: messages go straight into an agent, and what is acknowledged is written down."""

    def __init__(self, folder):
        self.app = faust.App("pins", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False, datadir=folder)
        self.messages = []
        self.app.flow_control.resume()

    @property
    def acknowledged(self):
        """Offsets that count as done."""
        return [message.offset for message in self.messages if message.acked]

    def message(self, value=b"1"):
        """The next message of the partition, held once."""
        place = len(self.messages)
        message = ConsumerMessage("pins", 0, place, 0.0, 0, [], None, value, None, 0, 0, TP("pins", 0), generation_id=0)
        message.incref()
        self.messages.append(message)
        return message

    async def send(self, agent, count=1):
        """Put messages where the consumer would."""
        for _ in range(count):
            message = self.message()
            await agent.stream().channel.put(faust.Event(self.app, None, message.value, message.headers, message))

    async def run(self, fun, count, until):
        """Run an agent over ``count`` messages until a condition holds."""
        agent = self.app.agent(self.app.channel())(fun)
        async with agent.test_context() as running:
            await self.send(running, count)
            async with asyncio.timeout(PATIENCE):
                while not until():  # noqa: ASYNC110 - Faust tells nobody
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)  # whatever it would acknowledge besides


@pytest.fixture
async def rig(tmp_path):
    """A fresh one; Faust wants a running loop."""
    return Rig(tmp_path)


async def test_leaving_a_stream_acknowledges_the_message_in_hand(rig):
    """A loop over a stream that is left by an error, or cancelled, counts its message as done: it never comes again."""
    channel = rig.app.channel()
    stream = rig.app.stream(channel)
    values = aiter(stream)
    first = asyncio.create_task(anext(values))
    await asyncio.sleep(0.05)
    message = rig.message()
    await channel.put(faust.Event(rig.app, None, message.value, message.headers, message))
    assert await asyncio.wait_for(first, PATIENCE) == b"1"
    assert rig.acknowledged == []
    await values.aclose()  # what happens to the loop's iterator when its body raises
    assert rig.acknowledged == [0]
    await stream.stop()


async def test_take_acknowledges_a_batch_that_failed(rig):
    """``take`` acknowledges every message of a batch whose processing raised."""
    seen = []

    async def agent(stream):
        async for batch in stream.take(3, within=1):
            seen.append(len(batch))
            raise ValueError

    await rig.run(agent, 3, lambda: seen and len(rig.acknowledged) == 3)
    assert sorted(rig.acknowledged) == [0, 1, 2]


async def test_noack_take_acknowledges_nothing(rig):
    """``noack_take`` hands out events and leaves them, also after an error; acknowledging one is explicit."""
    seen = []

    async def agent(stream):
        async for batch in stream.noack_take(3, within=1):
            seen.extend(batch)
            await stream.ack(batch[0])
            raise ValueError

    await rig.run(agent, 3, lambda: len(seen) == 3)
    assert all(isinstance(event, faust.events.Event) for event in seen)
    assert rig.acknowledged == [0]


async def test_noack_events_acknowledge_nothing(rig):
    """What our agent reads with leaves every message to us, after it was handled and after an error."""
    seen = []

    async def agent(stream):
        async for event in stream.noack().events():
            seen.append(event.message.offset)  # noqa: PERF401 - as our agent does it

    await rig.run(agent, 5, lambda: len(seen) == 5)
    assert rig.acknowledged == []


async def test_a_message_that_cannot_be_decoded_is_acknowledged(rig):
    """What Faust cannot decode never reaches an agent and never comes again; so topics are declared as raw bytes."""
    topic = rig.app.topic("pins", value_type=int, value_serializer="json")
    errors = []

    async def on_error(error, message):
        errors.append(error)

    topic.on_value_decode_error = on_error
    message = rig.message(b"{")
    message.decref()  # the conductor holds it itself, once for each topic
    await ConductorCompiler().build(rig.app.topics, message.tp, {topic})(message)
    assert len(errors) == 1
    assert rig.acknowledged == [0]


async def test_raw_bytes_are_not_decoded(rig):
    """A topic of raw bytes hands every value on as it came, so that none can be acknowledged for not being decoded."""
    topic = rig.app.topic("pins", value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    values = [b"{", b"\xff\x00", b""]
    assert [(await topic.decode(rig.message(value))).value for value in values] == values
    assert rig.acknowledged == []


def test_sasl_without_a_context_is_not_encrypted():
    """Faust's SASL credentials without a TLS context mean an open line, and without a mechanism the plain password."""
    bare = faust.SASLCredentials(username="u", password="p")
    assert (bare.protocol.value, bare.mechanism.value) == ("SASL_PLAINTEXT", "PLAIN")
    full = faust.SASLCredentials(username="u", password="p", mechanism="SCRAM-SHA-512", ssl_context=ssl.create_default_context())
    assert full.protocol.value == "SASL_SSL"


async def test_a_session_longer_than_a_request_is_refused(rig):
    """Faust wants the session timeout within the request timeout; the range of our setting ends where its default does."""
    rig.app.conf.broker_session_timeout = rig.app.conf.broker_request_timeout + 1
    with pytest.raises(ImproperlyConfigured, match="cannot be greater"):
        rig.app.consumer._thread._create_worker_consumer(rig.app.transport)
    longest = next(bound.le for bound in KafkaSettings.model_fields["session_timeout_seconds"].metadata if hasattr(bound, "le"))
    assert longest == rig.app.conf.broker_request_timeout


@pytest.mark.parametrize("name", ["plain", "{a,b}", "{conf.id}", "{", "~", "${x}"])
async def test_the_folder_of_faust_is_the_one_that_it_was_given(tmp_path, monkeypatch, name):
    """Faust fills in braces and expands a tilde; of our folder's name it must do neither."""
    monkeypatch.chdir(tmp_path)
    for folder in (Path(name), tmp_path / name):
        app = create_app(
            KafkaSettings(),
            topics=("events",),
            offer=print,
            fail=print,
            record_unread=print,
            budget=MemoryBudget(rows=1, size=1),
            data_dir=folder / "faust",
            loop=asyncio.get_running_loop(),
        )
        assert app.conf.datadir == tmp_path / name / "faust"


async def test_our_app(tmp_path):
    """It opens no port when it is started from code, and one coroutine alone reads: of several a later one may be done first."""
    app = create_app(
        KafkaSettings(),
        topics=("events", "others"),
        offer=print,
        fail=print,
        record_unread=print,
        budget=MemoryBudget(rows=1, size=1),
        data_dir=tmp_path,
        loop=asyncio.get_running_loop(),
    )
    assert list(app.boot_strategy.web_server()) == []
    assert not [service for service in app.boot_strategy.server() if "web" in type(service).__module__]
    assert [agent.concurrency for agent in app.agents.values()] == [1]
