"""Which offsets a restore sets, and what it refuses, with a reader of the topic that only remembers."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from pipeline.audit.topic_log import Partition
from pipeline.kafka import offset_backup
from pipeline.kafka.offset_backup import Again, restore_offsets, save_offsets
from pipeline.settings import KafkaSettings

SETTINGS = KafkaSettings(group="workers")
TOPICS = ("events",)


class Topic:
    """A topic with three partitions, the last without an acknowledged offset."""

    name, topic_id = "events", "one"
    running = 0
    parts = (Partition(0, 0, 900, 500), Partition(1, 100, 900, 700), Partition(2, 10, 20, None))

    def __init__(self):
        self.committed = {}

    def __call__(self, _settings, topics):
        assert topics == TOPICS
        return self

    def topic_ids(self):
        return {self.name: self.topic_id}

    def partitions(self):
        return self.parts

    def members(self):
        return self.running

    def commit(self, offsets):
        self.committed |= offsets


@pytest.fixture
def topic(monkeypatch):
    """The topic that the reader shows."""
    topic = Topic()
    monkeypatch.setattr(offset_backup, "KafkaTopicReader", topic)
    return topic


def test_a_restore_sets_back_and_never_forward(topic):
    """Each partition is set to what was saved; a group that is farther back stays there; a new partition is read as a whole.

    Offsets that left the log are not replaced by later ones: the worker must see that they are gone.
    """
    saved = save_offsets(SETTINGS, TOPICS)
    assert saved.topics["events"].offsets == {0: 500, 1: 700, 2: 10}
    topic.parts = (Partition(0, 600, 900, 800), Partition(1, 100, 900, 650), Partition(2, 10, 20, 15), Partition(3, 5, 8, None))
    again = restore_offsets(SETTINGS, TOPICS, saved)
    assert topic.committed == {("events", 0): 500, ("events", 1): 650, ("events", 2): 10, ("events", 3): 5}
    rows = [(0, 500, 300, 100), (1, 650, 250, 0), (2, 10, 10, 0), (3, 5, 3, 0)]
    assert again == [Again("events", *row) for row in rows]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"running": 2}, "2 workers of the group 'workers' run."),
        ({"name": "others"}, "do not read the topic 'events', whose offsets the file has."),
        ({"topic_id": "another"}, "was deleted and created again"),
        ({"topic_id": "", "parts": (Partition(0, 0, 100, None),)}, "was deleted and created again"),
    ],
)
def test_offsets_of_other_messages_are_refused(topic, change, words):
    """While workers run, and for a topic that was created again, nothing is set."""
    saved = save_offsets(SETTINGS, TOPICS)
    for name, value in change.items():
        setattr(topic, name, value)
    with pytest.raises(ConfigurationError, match=words):
        restore_offsets(SETTINGS, TOPICS, saved)
    assert topic.committed == {}
