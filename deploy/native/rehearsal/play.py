"""Plays one fault: an agency is low, the fault begins, another agency falls, the fault ends, both recover, all is quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.native.processes import wait_until
from deploy.native.rehearsal.expected import Expectation, ended, low, to_operations, wrong_messages
from deploy.native.rehearsal.faults import HEARTBEAT, Fault
from deploy.native.rehearsal.sinks import Received
from deploy.native.rehearsal.stack import RehearsalStack
from deploy.native.rehearsal.traffic import HEALTHY
from domain.agencies import Agency
from domain.errors import UnavailableError
from domain.periods import civil_day

MANY: Final = 51
_MANY_LOW: Final = (
    f"{MANY} cơ quan: tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo",
    f"{MANY} agencies: an agency's online rate is below its threshold",
)


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The result of one fault. ``seconds``: by expectation, from the event to the last of the people who received the message."""

    name: str
    expected: tuple[Expectation, ...]
    seconds: dict[str, float]
    messages: Sequence[Received]
    wrong: tuple[str, ...]


@dataclass(slots=True)
class _Play:
    """The messages of one fault received so far."""

    stack: RehearsalStack
    name: str
    say: Callable[[str], None]
    first: int = 0
    expected: list[Expectation] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    recovered_at: float = float("inf")

    @property
    def messages(self) -> Sequence[Received]:
        return self.stack.sinks.received(self.first)

    def wait_for(self, *wanted: Expectation, since: float) -> None:
        """Wait until everybody has received these messages; ``outcome`` reports those that do not come."""
        self.expected += wanted

        def all_there() -> bool:
            messages = self.messages
            return not any(each.missing(messages) for each in wanted)

        try:
            wait_until(all_there, timeout=self.stack.tempo.patience, what=", ".join(each.what for each in wanted[:2]), poll=0.1)
        except UnavailableError as error:
            self.say(str(error))
        for each in wanted:
            times = [message.at for message in self.messages if each.is_met_by(message)]
            if times:
                self.seconds[each.what] = max(times) - since
        self.say(f"{self.name}: {wanted[0].what} ({time.monotonic() - since:.1f} s)")

    def outcome(self, *, agencies_of_operations: bool = False) -> FaultResult:
        """Wait until no further message can come, and compare the messages with the expected ones."""
        try:
            await_quiet(self.stack)
        except UnavailableError as error:
            self.say(str(error))
        messages = self.messages
        wrong = wrong_messages(
            messages, self.expected, recovered_at=self.recovered_at, agencies_of_operations=agencies_of_operations
        )
        return FaultResult(self.name, tuple(self.expected), self.seconds, messages, wrong)


def play(stack: RehearsalStack, fault: Fault, *, say: Callable[[str], None]) -> FaultResult:
    """Play a fault; the stack is quiet before and after it."""
    one, two = (_agency(stack, code) for code in fault.agencies)
    traffic, run = stack.traffic, _begin(stack, fault.name, say)
    since = time.monotonic()
    traffic.fall([one.code])
    run.wait_for(low(one, traffic.counts(one.code)), since=since)
    since, clock = time.monotonic(), stack.value("vector(time())")
    fault.begin(stack)
    try:
        traffic.fall([two.code])
        run.wait_for(to_operations(fault.alert, *fault.summary, firing=True), since=since)
        if fault.alert != HEARTBEAT:
            seconds = stack.tempo.outage_seconds
            lasted = f"vector(time() - {clock}) >= {seconds}"
            wait_until(lambda: stack.value(lasted) is not None, timeout=2 * seconds + 60, what="the outage", poll=0.2)
    finally:
        since = time.monotonic()
        fault.finish(stack)
    run.wait_for(
        to_operations(fault.alert, *(fault.end or fault.summary), firing=False), low(two, traffic.counts(two.code)), since=since
    )
    since = run.recovered_at = time.monotonic()
    traffic.recover([one.code, two.code])
    run.wait_for(*(ended(each, traffic.counts(each.code)) for each in (one, two)), since=since)
    return run.outcome()


def play_many(stack: RehearsalStack, *, say: Callable[[str], None]) -> FaultResult:
    """Let many agencies fall and recover at once; expected: one message each to their people, and one about all to operations."""
    today = civil_day(stack.clock.now())
    agencies = [agency for agency in stack.registry.in_force(today) if agency.code != HEALTHY][:MANY]
    codes, traffic, run = [agency.code for agency in agencies], stack.traffic, _begin(stack, "many-low", say)
    for firing, change, expect in ((True, traffic.fall, low), (False, traffic.recover, ended)):
        since = time.monotonic()
        if not firing:
            run.recovered_at = since
        _at_once(stack, change, codes)
        about_all = to_operations("", *_MANY_LOW, firing=firing, number=MANY)
        run.wait_for(about_all, *(expect(agency, traffic.counts(agency.code)) for agency in agencies), since=since)
    return run.outcome(agencies_of_operations=True)


def play_one(stack: RehearsalStack, code: str, *, say: Callable[[str], None]) -> FaultResult:
    """Let one agency fall and recover; expected: one message and one end for everybody."""
    agency, traffic, run = _agency(stack, code), stack.traffic, _begin(stack, "one-low", say)
    since = time.monotonic()
    traffic.fall([code])
    run.wait_for(low(agency, traffic.counts(code)), since=since)
    since = run.recovered_at = time.monotonic()
    traffic.recover([code])
    run.wait_for(ended(agency, traffic.counts(code)), since=since)
    return run.outcome()


def await_quiet(stack: RehearsalStack) -> None:
    """Wait until no alert fires or is pending, Alertmanager has none, the last outage is past, and two heartbeats came after it.

    Operations hear of an end up to one interval of their group later, so nobody may have received a message for this long either.

    Raises:
        UnavailableError: the stack does not become quiet in time.
    """
    rules = stack.tempo.rules
    scrapes = f"min(avg_over_time(up[{rules.meta_seconds}s]))"

    def quiet() -> bool:
        try:
            if stack.query('ALERTS{alertname!="Watchdog"}') or stack.alerts():
                return False
            heard = max((message.at for message in stack.sinks.received()), default=0.0)
            if time.monotonic() - heard < stack.tempo.longest_interval:
                return False
            return bool(stack.query("agency_info")) and (stack.value(scrapes) or 0) > rules.scrape_share
        except UnavailableError:
            return False

    wait_until(quiet, timeout=stack.tempo.patience + rules.meta_seconds, what="all alerts to end", poll=0.2)
    for _ in range(2):
        _await_beat(stack, stack.last_beat)


def _await_beat(stack: RehearsalStack, heard: float) -> None:
    wait_until(lambda: stack.last_beat > heard, timeout=stack.tempo.patience, what="a heartbeat", poll=0.1)


def _begin(stack: RehearsalStack, name: str, say: Callable[[str], None]) -> _Play:
    await_quiet(stack)
    return _Play(stack, name, say, first=len(stack.sinks.received()))


def _at_once(stack: RehearsalStack, change: Callable[[Sequence[str]], None], codes: Sequence[str]) -> None:
    """Make a change of agencies that one scrape sees as a whole: the exporter is suspended until the change is tallied."""
    stack.exporter.process.suspend()
    try:
        change(codes)
        total = stack.traffic.total()
        wait_until(lambda: stack.tallied() >= total, timeout=60, what="the tallies")
    finally:
        stack.exporter.process.resume()


def _agency(stack: RehearsalStack, code: str) -> Agency:
    today = civil_day(stack.clock.now())
    return next(agency for agency in stack.registry.in_force(today) if agency.code == code)
