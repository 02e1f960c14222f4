"""One run of a contender: timed from the first visible row to the last tallied event, then stopped, rewound and restarted."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.consumer_group import ConsumerGroup
from bench.contenders.contract import Contender
from bench.corpus import Filled
from bench.measure import Usage, usage
from bench.probe import Probe, wait_for
from domain.errors import UnavailableError

#: Messages of every partition that are delivered a second time.
REWIND = 25_000
_CHECK_SECONDS = 180.0
#: A count that has not changed for this long, with no lag, is final (seconds).
_STABLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The timed part of a run."""

    events: int
    at_first_sample: int  # rows stored or tallied when the first was visible; they are not part of the rate
    seconds: float  # from then to the last event tallied
    seconds_since_start: float  # from the start of the process, its imports and the group's assignment included
    own: Usage
    server_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second, between the first visible row and the last tallied event."""
        return (self.events - self.at_first_sample) / max(self.seconds, 0.001)

    @property
    def rate_since_start(self) -> float:
        """Events a second, start-up included."""
        return self.events / self.seconds_since_start


@dataclass(frozen=True, slots=True)
class Check:
    """What was tallied after some of the messages were redelivered."""

    redelivered: int
    excess: int  # tallied minus distinct events: positive: counted twice; negative: lost
    wrong_tallies: int  # of all (agency, minute)
    excess_before: int  # the same before the redelivery

    @property
    def exact(self) -> bool:
        """Whether every tally is the number of distinct events."""
        return self.excess == 0 and self.wrong_tallies == 0


def time_run(contender: Contender, filled: Filled, probe: Probe, *, deadline: float) -> Timing:
    """Start it and measure until everything is tallied; it keeps running.

    Raises:
        UnavailableError: it ended, or did not finish within ``deadline`` seconds.
    """
    server = contender.context.stack.server.process
    server_before = usage([server]).cpu_seconds
    at_first_sample = 0

    def rows_are_there() -> bool:
        nonlocal at_first_sample
        at_first_sample = max(probe.numbers(contender.progress), default=0)
        return at_first_sample > 0

    def all_is_stored() -> bool:
        return sum(probe.numbers(contender.stored)) >= filled.events

    def all_is_counted() -> bool:
        numbers = probe.numbers(contender.progress)
        return bool(numbers) and numbers[1] >= filled.events

    started = time.perf_counter()
    contender.start()
    wait_for(rows_are_there, timeout=deadline, what="the first row", children=contender.children)
    first = time.perf_counter()
    remaining = deadline - (first - started)
    what = f"the last event ({deadline:.0f} s since the start)"
    wait_for(all_is_stored, timeout=remaining, what=what, children=contender.children)
    wait_for(all_is_counted, timeout=max(1.0, deadline - (time.perf_counter() - started)), what=what, children=contender.children)
    last = time.perf_counter()
    if at_first_sample >= filled.events:
        raise UnavailableError("All events became visible at once: too few for a rate.", remedy="Use more --events.")
    return Timing(
        events=filled.events,
        at_first_sample=at_first_sample,
        seconds=last - first,
        seconds_since_start=last - started,
        own=usage(contender.children),
        server_cpu_seconds=usage([server]).cpu_seconds - server_before,
    )


def check_redelivery(contender: Contender, filled: Filled, probe: Probe) -> Check:
    """Wait until it is idle, stop it, rewind its group, start it, wait until it is idle, and compare every tally.

    Raises:
        UnavailableError: it does not become idle, or does not leave its group.
    """
    context = contender.context
    group = ConsumerGroup(context.stack.kafka.bootstrap, group=context.group, topic=context.topic)
    before = _stable_count(contender, group, probe)
    contender.stop()
    redelivered = group.rewind(REWIND)
    contender.start()
    try:
        after = _stable_count(contender, group, probe)
        found = probe.buckets(contender.tallies)
    finally:
        contender.stop()
    wrong = sum(found[bucket] != filled.buckets[bucket] for bucket in found.keys() | filled.buckets.keys())
    return Check(redelivered, after - filled.events, wrong, before - filled.events)


def _stable_count(contender: Contender, group: ConsumerGroup, probe: Probe) -> int:
    """The events tallied, once the lag is 0 and the count no longer changes."""
    last_count, since = -1, time.monotonic()

    def idle() -> bool:
        nonlocal last_count, since
        count = (probe.numbers(contender.progress) or [0, 0])[1]
        if count != last_count or group.lag() > 0:
            last_count, since = count, time.monotonic()
        return time.monotonic() - since >= _STABLE_SECONDS

    wait_for(idle, timeout=_CHECK_SECONDS, what="its lag to be 0", children=contender.children, poll=0.25)
    return last_count
