"""``portalpulse demo``: reproduces the published figures of 2024 with every real service and compares the result.

The demo uses a fresh folder, the scenario's clock, and alert rules in seconds instead of minutes. The portals are realistic: one
dossier in two has a fault that misleads a count of events. The demo passes when every figure is exact, the figures of every
agency and month are those of the truth that the portals know, and Alertmanager delivers the alert of exactly the agencies below
their threshold.
"""

from __future__ import annotations

import datetime as dt
import queue
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from deploy.native.demo.comparison import ranking, result_panel
from deploy.native.demo.figures import (
    ALERT,
    RUNGS,
    WINDOW,
    AlertComparison,
    Expectations,
    SimulatedFigures,
    all_passed,
    compare,
    compare_alerts,
)
from deploy.native.phases import SentBar, json_of, phase, steps
from deploy.native.processes import wait_until
from deploy.native.services.receiver import Notification
from deploy.native.stack import LocalStack
from deploy.native.stack_options import StackOptions
from deploy.native.up import addresses_text, follow, notification_line, say
from domain.agencies import AgencyRegistry
from domain.clock import parse_clock
from domain.errors import UnavailableError
from pipeline.shutdown import stopped_by_signals
from producers.portals.dossier_faults import FaultShares
from producers.portals.produce import produce_scenario
from producers.portals.scenarios import load_scenario
from producers.portals.truth import Truth
from producers.portals.truth_comparison import report_differences
from producers.sending.worker_processes import Broker

#: The scenario and the time at which its figures were taken.
SCENARIO = "emc-2024"
CLOCK = "2024-08-20T23:59:59+07:00"
SEED = 1
PARTITIONS = 4
#: Messages a second into the in-memory broker: it drops messages that the worker does not fetch in time.
MEMORY_RATE = 20_000.0

TALLY_SECONDS = 120.0
CORRECTION_SECONDS = 60.0
ALERT_SECONDS = 90.0
#: Rule evaluations without a new alert after which no more alerts are expected.
STABLE_EVALUATIONS = 2


def demo_options(data_dir: Path, *, topic: str, group: str, memory_broker: bool) -> StackOptions:
    """The options of the demo's stack, which let no setting of the caller change a figure."""
    return StackOptions(
        data_dir=data_dir,
        topic=topic,
        group=group,
        partitions=PARTITIONS,
        clock=CLOCK,
        broker="memory" if memory_broker else "kafka_if_possible",
        quick=True,
        inherit=False,
    )


def demo(options: StackOptions, *, exit_when_done: bool, console: Console) -> bool:
    """Run the demo and return whether every figure and alert was right.

    Raises:
        PortalPulseError: the stack cannot start, or a service ended by itself.
        KeyboardInterrupt: stopped before there was a result.
    """
    expectations = Expectations.of(load_scenario(SCENARIO))
    started = time.monotonic()
    delivered: queue.SimpleQueue[Notification] = queue.SimpleQueue()
    passed: bool | None = None
    try:
        with (
            stopped_by_signals(),
            LocalStack(options, on_delivery=delivered.put, on_step=lambda line: say(console, f"    {line}")) as stack,
        ):
            stack.folder.wipe_for_demo()
            passed = _run(stack, options, expectations=expectations, console=console, delivered=delivered, started=started)
            if not exit_when_done:
                say(console, addresses_text(stack, topic=options.topic, clock=parse_clock(CLOCK)))
                say(console, f"Everything stays up; the board is at {stack.addresses.http}/. Stop with Ctrl-C.")
                follow(stack, delivered, console=console)
    except KeyboardInterrupt:
        if passed is None:
            raise
    return passed


def _run(
    stack: LocalStack,
    options: StackOptions,
    *,
    expectations: Expectations,
    console: Console,
    delivered: queue.SimpleQueue[Notification],
    started: float,
) -> bool:
    with phase("Kafka, worker, Prometheus and Alertmanager", console=console), console.status("Starting every service"):
        stack.start()
    with phase("Every dossier of the scenario, produced", console=console):
        truth = _produce(stack, options.topic, console=console)
    with httpx.Client(timeout=10.0, trust_env=False) as client:
        with phase(f"{truth.events:,} distinct events of {truth.dossiers:,} dossiers stored and tallied", console=console):
            _await_tallies(client, stack, truth, expectations, console=console)
        with phase("Report, compared with the source and with the simulated portals", console=console):
            rows = compare(expectations, _report(client, stack, expectations))
        console.print(ranking(rows))
        with (
            phase("Alerts of the agencies below 5 %, delivered by Alertmanager", console=console),
            console.status("Waiting until the rules have fired and are stable"),
        ):
            alerts = _await_alerts(client, stack, expectations)
        rows = compare(expectations, _report(client, stack, expectations))  # the figures must not have changed since
        differences = _differences(client, stack, truth, expectations.periods())
    while not delivered.empty():
        say(console, notification_line(delivered.get()))
    simulated = SimulatedFigures(truth.dossiers, len(expectations.periods()), tuple(differences))
    seconds = time.monotonic() - started
    console.print(result_panel(rows, alerts, expectations=expectations, simulated=simulated, seconds=seconds))
    return all_passed(rows) and alerts.passed and simulated.passed


def _produce(stack: LocalStack, topic: str, *, console: Console) -> Truth:
    """Send the scenario; returns what it must count as.

    Raises:
        UnavailableError: not every message was acknowledged.
    """
    with steps(console) as bar:
        report = produce_scenario(
            scenario=SCENARIO,
            seed=SEED,
            rate=MEMORY_RATE if stack.is_ephemeral else None,
            broker=Broker((stack.bootstrap,), topic),
            progress=SentBar(bar),
            shares=FaultShares.realistic(),
        )
    if not report.complete:
        raise UnavailableError(
            f"{report.sent - report.result.acknowledged:,} of {report.sent:,} messages were not confirmed by Kafka"
            f" ({report.result.problem or 'interrupted'}).",
            remedy=f"See the logs below {stack.folder.path / 'logs'}.",
        )
    assert report.truth is not None
    return report.truth


def _await_tallies(
    client: httpx.Client, stack: LocalStack, truth: Truth, expectations: Expectations, *, console: Console
) -> None:
    """Wait until every event is tallied, then until all corrections are.

    Corrections that are missing after a time limit raise no error: the comparison names them.

    Raises:
        UnavailableError: events are not tallied in time, or a service ended.
    """
    url = f"{stack.api}/api/v1/status"
    with steps(console) as bar:
        task = bar.add_task("tallied", total=truth.events)

        def tallied() -> bool:
            stack.check()
            events = json_of(client, url)["events"]
            bar.update(task, completed=events["tallied"])
            return bool(events["stored"] >= truth.events and events["tallied"] >= truth.events)

        def corrected() -> bool:
            return tallied() and not _differences(client, stack, truth, expectations.periods()[:1])

        wait_until(tallied, timeout=TALLY_SECONDS, what=f"{truth.events:,} events to be tallied")
        with suppress(UnavailableError):  # the comparison names what is wrong
            wait_until(corrected, timeout=CORRECTION_SECONDS, what="the corrections of all dossiers")
    stack.check()


def _report(client: httpx.Client, stack: LocalStack, expectations: Expectations) -> list[dict[str, Any]]:
    return _report_of(client, stack, expectations.first_day, expectations.last_day)


def _report_of(client: httpx.Client, stack: LocalStack, first: str, last: str) -> list[dict[str, Any]]:
    # Without a wait: a report of a month that is over waits for dossiers as long as this client waits for an answer.
    parameters = {"from": first, "to": last, "wait": "0"}
    rows: list[dict[str, Any]] = json_of(client, f"{stack.api}/api/v1/report", **parameters)["rows"]
    return rows


def _differences(
    client: httpx.Client, stack: LocalStack, truth: Truth, periods: tuple[tuple[dt.date, dt.date], ...]
) -> list[str]:
    """A line for every indicator of an agency and period that differs from the true one."""
    registry = AgencyRegistry.packaged()
    return [
        difference
        for first, last in periods
        for difference in report_differences(
            truth, _report_of(client, stack, str(first), str(last)), first=first, last=last, registry=registry
        )
    ]


def _await_alerts(client: httpx.Client, stack: LocalStack, expectations: Expectations) -> AlertComparison:
    """Wait for all expected alerts, then until alerts are stable; compare the alerts delivered by then."""
    notifications = stack.receiver.notifications
    prometheus = stack.addresses.prometheus

    def complete() -> bool:
        stack.check()
        return expectations.below_threshold <= notifications.agencies(ALERT, window=WINDOW, rungs=RUNGS)

    def evaluated() -> str:
        groups = json_of(client, f"{prometheus}/api/v1/rules")["data"]["groups"]
        of_alert = (group for group in groups if any(rule["name"] == ALERT for rule in group["rules"]))
        return str(next(of_alert)["lastEvaluation"])

    def in_state(state: str) -> frozenset[str]:
        alerts = json_of(client, f"{prometheus}/api/v1/alerts")["data"]["alerts"]
        return frozenset(
            alert["labels"]["agency"]
            for alert in alerts
            if (alert["labels"]["alertname"], alert["labels"].get("window"), alert["state"]) == (ALERT, WINDOW, state)
            and alert["labels"].get("rung") in RUNGS
        )

    seen: set[str] = set()

    def stable() -> bool:
        """Whether no alert is pending and every firing alert was delivered, over several evaluations."""
        stack.check()
        last = evaluated()
        if in_state("pending") or in_state("firing") - notifications.agencies(ALERT, window=WINDOW, rungs=RUNGS):
            seen.clear()
            return False
        seen.add(last)
        return len(seen) > STABLE_EVALUATIONS

    try:
        wait_until(complete, timeout=ALERT_SECONDS, what="the alerts of all agencies below their threshold")
        wait_until(stable, timeout=ALERT_SECONDS, what="the alerts to be stable")
    except UnavailableError:
        stack.check()  # a service that ended is the better explanation; else the comparison names what is missing
    return compare_alerts(expectations, notifications.agencies(ALERT, window=WINDOW, rungs=RUNGS))
