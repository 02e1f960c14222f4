"""Doubles for the tests of the audit: a topic in memory, recorded progress, a manual clock."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path

from domain.errors import UnavailableError
from domain.periods import Period, civil_day
from pipeline.audit.in_hand import WorkInHand
from pipeline.audit.topic_log import Partition
from sinks.contract.tallies import Days, Span
from tests.contract.store_suite import StoreUnderTest
from tests.factories import MORNING, TOPIC

TODAY = civil_day(MORNING)
DAY = dt.timedelta(days=1)


class Log:
    """A topic in memory: per partition (begin, committed, messages from offset 0), and the number of members of the group."""

    def __init__(self, readers=0, **partitions):
        self.readers = readers
        self._partitions = {int(name[1:]): value for name, value in partitions.items()}

    def members(self):
        return self.readers

    def partitions(self):
        return [Partition(number, begin, len(kept), committed) for number, (begin, committed, kept) in self._partitions.items()]

    def messages(self, partition, begin, end, *, topic=""):  # noqa: ARG002 - it is the only topic
        kept = self._partitions[partition][2]
        for start in range(begin, end, 3):
            yield [(offset, kept[offset]) for offset in range(start, min(start + 3, end))]


class RecordedProgress:
    """Records progress."""

    def __init__(self):
        self.stages = []

    def begin(self, what, total):
        self.stages.append([what, total, 0])

    def advance(self, steps):
        self.stages[-1][2] += steps


def take(store, *events):
    """Store and recount."""
    StoreUnderTest(store, store, dict, dict, lambda *_: None).store_and_recount(list(events))


def take_only(store, day):
    """Recount the stored events of a day, as a worker does after an insert."""
    store.recount_minutes(Span(*Period(day, day).instants()))
    store.roll_up_days(Days((day,)))
    store.recount_procedures(Days((day,)))


class UnknownMembers(Log):
    """A topic whose coordinator does not list the members of the group."""

    def members(self):
        raise UnavailableError("Kafka does not list the members of the group.", remedy="See its log.")


class Unreachable:
    """A topic whose broker does not answer."""

    def partitions(self):
        raise UnavailableError("No broker answers.", remedy="Start it.")


class ManualTicks:
    """A monotonic clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def asking_every_time(store, log):
    """Asks Kafka on every call, about the topic that ``log`` creates."""
    return WorkInHand(store, (TOPIC, log), monotonic=itertools.count(0, 10).__next__)


#: The reports and answers that programs rely on: their objects, with the fields in order.
EXPECTED = json.loads(Path(__file__).with_name("json_format.json").read_text(encoding="utf-8"))


def expected(name):
    """What the command must print."""
    return json.dumps(EXPECTED[name], ensure_ascii=False, indent=2)
