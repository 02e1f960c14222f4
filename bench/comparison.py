"""One contender's run: timed from the first row seen to the last event counted, then stopped, set back and started again."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.contenders.contract import Contender
from bench.corpus import Filled
from bench.measure import STABLE_SECONDS, Group, Probe, Usage, usage, wait_for
from domain.errors import UnavailableError

#: Messages of every partition that are delivered a second time.
REWIND = 25_000
_CHECK_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The timed part of a run."""

    events: int
    at_first_sight: int  # rows stored or counted when the first was seen: their work is done, so they are no part of the rate
    seconds: float  # from then to the last event counted
    seconds_since_start: float  # from the start of the process, its imports and the group's assignment included
    own: Usage
    server_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second, steady: what was counted while we watched."""
        return (self.events - self.at_first_sight) / max(self.seconds, 0.001)

    @property
    def rate_since_start(self) -> float:
        """Events a second, everything included."""
        return self.events / self.seconds_since_start


@dataclass(frozen=True, slots=True)
class Check:
    """What was counted after a part of the messages had come twice."""

    redelivered: int
    excess: int  # counted less distinct events: above 0 counted twice, below 0 lost
    wrong_tallies: int  # of all (agency, minute)
    excess_before: int  # the same before the redelivery

    @property
    def exact(self) -> bool:
        """Whether every tally is the number of distinct events."""
        return self.excess == 0 and self.wrong_tallies == 0


def time_run(contender: Contender, filled: Filled, probe: Probe, *, deadline: float) -> Timing:
    """Start it and watch until everything is counted; it keeps running.

    Raises:
        UnavailableError: it ended, or did not finish within ``deadline`` seconds.
    """
    server = contender.place.stack.server.process
    server_before = usage([server]).cpu_seconds
    at_first_sight = 0

    def rows_are_there() -> bool:
        nonlocal at_first_sight
        at_first_sight = max(probe.numbers(contender.progress), default=0)
        return at_first_sight > 0

    def all_is_stored() -> bool:
        return sum(probe.numbers(contender.stored)) >= filled.events

    def all_is_counted() -> bool:
        numbers = probe.numbers(contender.progress)
        return bool(numbers) and numbers[1] >= filled.events

    started = time.perf_counter()
    contender.start()
    wait_for(rows_are_there, timeout=deadline, what="the first row", children=contender.children)
    first = time.perf_counter()
    left = deadline - (first - started)
    what = f"the last event ({deadline:.0f} s since the start)"
    wait_for(all_is_stored, timeout=left, what=what, children=contender.children)
    wait_for(all_is_counted, timeout=max(1.0, deadline - (time.perf_counter() - started)), what=what, children=contender.children)
    last = time.perf_counter()
    if at_first_sight >= filled.events:
        raise UnavailableError("All events became visible at once: too few for a rate.", remedy="Use more --events.")
    return Timing(
        events=filled.events,
        at_first_sight=at_first_sight,
        seconds=last - first,
        seconds_since_start=last - started,
        own=usage(contender.children),
        server_cpu_seconds=usage([server]).cpu_seconds - server_before,
    )


def check_redelivery(contender: Contender, filled: Filled, probe: Probe) -> Check:
    """Let it come to rest, stop it, set its group back, start it, let it come to rest, and compare every tally.

    Raises:
        UnavailableError: it does not come to rest, or does not leave its group.
    """
    place = contender.place
    group = Group(place.stack.kafka.bootstrap, group=place.group, topic=place.topic)
    before = _settled(contender, group, probe)
    contender.stop()
    redelivered = group.rewind(REWIND)
    contender.start()
    try:
        after = _settled(contender, group, probe)
        found = probe.buckets(contender.tallies)
    finally:
        contender.stop()
    wrong = sum(found[bucket] != filled.buckets[bucket] for bucket in found.keys() | filled.buckets.keys())
    return Check(redelivered, after - filled.events, wrong, before - filled.events)


def _settled(contender: Contender, group: Group, probe: Probe) -> int:
    """The events counted, once no message is left to read and the count does not move any more."""
    seen, since = -1, time.monotonic()

    def at_rest() -> bool:
        nonlocal seen, since
        now = (probe.numbers(contender.progress) or [0, 0])[1]
        if now != seen or group.lag() > 0:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= STABLE_SECONDS

    wait_for(at_rest, timeout=_CHECK_SECONDS, what="its lag to be 0", children=contender.children, poll=0.25)
    return seen
