"""The accounting of the chaos traffic, with a producer in memory, and the time limits scaled by the machine."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from confluent_kafka import KafkaError, KafkaException

from bench.chaos.limits import LIVE_SECONDS, Limits, measure
from bench.chaos.message_choice import ChosenMessage
from bench.chaos.sent_messages import SentMessages
from bench.chaos.traffic import Traffic
from domain.errors import UnavailableError
from domain.periods import VIETNAM

NOW = dt.datetime(2026, 1, 5, 9, tzinfo=VIETNAM)


SILENT = object()


class Broker:
    """Receives what is flushed. ``answers``, one a message: None accepts it, an error rejects it, SILENT gives no answer."""

    def __init__(self):
        self.taken, self.producers, self.answers = [], [], itertools.repeat(None)
        self.fatal = False

    def producer(self, _options):
        self.producers.append(MemoryProducer(self))
        return self.producers[-1]


class MemoryProducer:
    """Holds messages until it is flushed."""

    def __init__(self, broker):
        self._broker, self.waiting = broker, []

    def __len__(self):
        return len(self.waiting)

    def produce(self, _topic, value, _key, *, on_delivery):
        if self._broker.fatal:
            self._broker.fatal = False
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of sequence", fatal=True))
        self.waiting.append((value, on_delivery))

    def poll(self, _seconds):
        return 0

    def purge(self):
        waiting, self.waiting = self.waiting, []
        for _, on_delivery in waiting:
            on_delivery(KafkaError(KafkaError._PURGE_INFLIGHT, "purged"), None)

    def flush(self, _seconds):
        waiting, self.waiting = self.waiting, []
        for value, on_delivery in waiting:
            answer = next(self._broker.answers)
            if answer is SILENT:
                self.waiting.append((value, on_delivery))
                continue
            if answer is None:
                self._broker.taken.append(value)
            on_delivery(answer, None)
        return len(self.waiting)


@pytest.fixture
def broker():
    """An empty one."""
    return Broker()


@pytest.fixture
def traffic(broker):
    """Traffic at rate 0: only the events that a test sends."""
    with Traffic("nowhere", "topic", rate=0.0, seed=1, new_producer=broker.producer) as traffic:
        yield traffic


def send(traffic, count):
    """Send ``count`` events while it is paused."""
    traffic.send_at([NOW] * count)


def test_a_producer_is_replaced_only_when_its_messages_are_acknowledged(traffic, broker):
    """Messages in flight are waited for before the next producer starts, so every message in Kafka is counted."""
    send(traffic, 300)
    assert traffic.sent.distinct == 0
    traffic.resume()
    traffic.pause()
    assert len(broker.producers) == 2
    assert len(broker.taken) == traffic.sent.distinct == traffic.sent.acknowledged == len(traffic.sent.identities()) == 300


def test_unacknowledged_messages_are_sent_again(traffic, broker):
    """A message that failed may be in Kafka or not: it is sent until it is acknowledged, and its event counts once."""
    failed = KafkaError(KafkaError._MSG_TIMED_OUT, "too late")
    broker.answers = itertools.chain([failed, None, failed, failed], itertools.repeat(None))
    send(traffic, 3)
    traffic.pause()
    assert len(set(broker.taken)) == traffic.sent.distinct == 3
    assert sum(figures[0] for figures in traffic.tables()["agency_minute"].values()) == traffic.sent.events == 3


def test_messages_without_an_answer_end_with_an_error(traffic, broker):
    """Pausing and resuming both report messages without an answer within the time limit."""
    broker.answers = itertools.repeat(SILENT)
    send(traffic, 7)
    for action in (traffic.pause, traffic.resume):
        with pytest.raises(UnavailableError, match="not acknowledged 7 messages"):
            action(timeout=0.0)
    assert len(broker.producers) == 1


def test_a_producer_with_a_fatal_error_is_replaced(traffic, broker):
    """After a fatal error another producer sends the messages in flight of the first, and the one that met the error."""
    send(traffic, 4)
    broker.fatal = True
    send(traffic, 1)
    traffic.pause()
    assert len(broker.producers) == 2
    assert len(set(broker.taken)) == traffic.sent.distinct == 5


def test_how_far_tallies_are_behind():
    """The delay is the time since as many events had been created as are tallied; an event that is sent again counts once."""
    now = itertools.count(10.0)
    sent = SentMessages(monotonic=lambda: next(now))
    for events in (range(100), range(200), range(200)):
        for event in events:
            sent.created(ChosenMessage(b"", b"", identity=event, event=event))
        sent.mark()
    assert [sent.behind(tallied) for tallied in (0, 99, 100, 250)] == [14.0 - 10, 15.0 - 10, 16.0 - 11, 17.0 - 13]
    assert [sent.created_before(moment) for moment in (9.0, 10.0, 11.5, 99.0)] == [0, 100, 200, 200]


def measured(*seconds):
    """Measure delays that take these values in turn, then the last one, with a clock by which each takes three seconds."""
    found = itertools.chain(seconds, itertools.repeat(seconds[-1]))
    clock = itertools.count(0.0, 3.0)
    return measure(lambda: next(found), rate=1_000, monotonic=lambda: next(clock))


@pytest.mark.parametrize(
    ("found", "behind"),
    [
        ((0.4,), 0.4),  # quick
        ((2.5, 0.7), 0.7),  # quick after its start
        ((9.0, 5.0, 3.1, 3.0, 2.9, 3.0), 3.1),  # slow, and no slower with time
        ((26.0, 24.0, 22.0, 20.0, 9.0, 0.5), 0.5),  # quick, once it has caught up with its start
    ],
)
def test_limits_follow_the_machine(found, behind):
    """The delay without faults, once some measurements agree, decides what is live and scales every limit."""
    limits = measured(*found)
    assert limits == Limits(behind)
    assert limits.live_seconds == max(LIVE_SECONDS, 1.5 * behind)
    assert limits.of(60) == pytest.approx(60 * max(1, 1.5 * behind))
    assert f"{behind:.2f} s behind" in str(limits)


def test_limits_do_not_grow_beyond_measure():
    """A very slow machine gets ten times the limit, not hundreds of times."""
    assert Limits(100.0).of(1.0) == 10.0


def test_a_machine_of_varying_speed_keeps_up():
    """When other programs use the machine, measurements never agree: the longest of the latest ones decides."""
    found, clock = itertools.cycle((2.0, 5.0, 3.0, 2.4, 4.0)), itertools.count(0.0, 3.0)
    limits = measure(lambda: next(found), rate=1_000, monotonic=lambda: next(clock))
    assert limits == Limits(5.0)


def test_a_machine_that_does_not_keep_up_ends_the_run():
    """A delay that keeps growing without any fault ends the run before the first fault, with a remedy."""
    with pytest.raises(UnavailableError, match="does not keep up") as raised:
        measured(*(2.0**number for number in range(1, 60)))
    assert "--rate" in raised.value.remedy
