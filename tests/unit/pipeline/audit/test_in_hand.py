"""Which events the workers have in hand."""

from __future__ import annotations

from pipeline.audit.in_hand import InHand, WorkInHand
from sinks.contract.audit import Acknowledged
from tests.factories import LATEST, TOPIC
from tests.unit.pipeline.audit.helpers import Log, ManualTicks


def test_kafka_is_not_asked_for_every_day(store):
    """One answer of Kafka serves all comparisons within a second; afterwards Kafka is asked again."""
    asked, ticking = [], ManualTicks()

    def reader():
        asked.append(ticking.now)
        return Log(1, p0=(0, None, [b""] * 3), p1=(0, 2, [b""] * 2))

    in_hand = WorkInHand(store, (TOPIC, reader), monotonic=ticking)
    assert in_hand() == InHand(Acknowledged.of_topic(TOPIC, LATEST, {0: (0, 3), 1: (2, 2)}), kafka_answers=True)
    assert in_hand() == in_hand()
    ticking.now += 1.5
    in_hand()
    assert asked == [100.0, 101.5]
