"""``portalpulse up``: the local stack in the foreground, and every notification as it is delivered."""

from __future__ import annotations

import datetime as dt
import queue
from collections.abc import Iterator, Sequence
from contextlib import suppress

import httpx
from rich.console import Console
from rich.text import Text

from deploy.native.services.receiver import Notification
from deploy.native.stack import LocalStack
from deploy.native.stack_options import StackOptions
from deploy.native.supervision import Supervision
from domain.clock import Clock, parse_clock
from domain.periods import VIETNAM, civil_day
from pipeline.hints import command
from pipeline.shutdown import stopped_by_signals

#: Seconds between two looks at whether all parts still run.
CHECK_SECONDS = 0.5
#: Pages of Prometheus and of Alertmanager by their builds, the richest first; Debian ships neither web application.
_PROMETHEUS_PAGES = ("/alerts", "/classic/alerts", "/api/v1/alerts")
_ALERTMANAGER_PAGES = ("/", "/api/v2/alerts")
#: What Debian's Alertmanager answers, with status 200, in place of its page.
_NO_PAGE = "does not include"

#: What the first column of the addresses takes.
_TITLE_WIDTH = 15


def addresses_text(stack: LocalStack, *, topic: str, clock: Clock) -> Text:
    """Every address of a running stack, one a line; print it with ``soft_wrap``, for a cut address helps nobody."""
    addresses = stack.addresses
    today = civil_day(clock.now())
    rows = [
        ("Status", f"{addresses.http}/api/v1/status", ""),
        ("Report", f"{addresses.http}/api/v1/report?from={today.replace(month=1, day=1)}&to={today}", ""),
        ("Metrics", f"{addresses.http}/metrics", ""),
        ("Prometheus", answering_page(addresses.prometheus, _PROMETHEUS_PAGES), "alerts and their rules"),
        ("Alertmanager", answering_page(addresses.alertmanager, _ALERTMANAGER_PAGES), "alerts that are being delivered"),
        ("Kafka", addresses.kafka, f"topic {topic}"),
        ("Notifications", str(stack.receiver.path), "every alert that was delivered"),
        ("Logs", str(stack.folder.path / "logs"), "one file a part"),
    ]
    text = Text("portalpulse is up", style="bold green")
    for title, value, what in rows:
        text.append(f"\n  {title:{_TITLE_WIDTH}}", style="not bold default")
        text.append(value, style="not bold cyan")
        if what:
            text.append(f"  {what}", style="not bold dim default")
    return text


def answering_page(base: str, paths: Sequence[str]) -> str:
    """The address of the first page that is there; ``base`` alone when none is."""
    with httpx.Client(base_url=base, timeout=5.0, trust_env=False, follow_redirects=True) as client:
        for path in paths:
            try:
                answer = client.get(path)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK and _NO_PAGE not in answer.text:
                return f"{base}{path}"
    return base


def notification_line(entry: Notification) -> Text:
    """One delivered alert on one line, in the language and time of the people who get it."""
    firing = entry.status == "firing"
    at = dt.datetime.fromisoformat(entry.received_at).astimezone(VIETNAM)
    line = Text("● " if firing else "○ ", style="red" if firing else "green")
    line.append(f"{at:%H:%M:%S} ", style="dim")
    line.append("CẢNH BÁO " if firing else "KẾT THÚC ", style="bold")
    said = entry.annotations.get("description") or entry.annotations.get("summary") or entry.alert
    line.append(" ".join(said.split()))
    return line


def up(options: StackOptions, *, console: Console) -> None:
    """Run the stack until Ctrl-C, SIGTERM or the end of a part that cannot be started again.

    Raises:
        PortalPulseError: the stack cannot start, or a part ended and cannot be started again.
    """
    delivered: queue.SimpleQueue[Notification] = queue.SimpleQueue()
    try:
        with (
            stopped_by_signals(),
            LocalStack(options, on_delivery=delivered.put, on_step=lambda line: say(console, f"  {line}")) as stack,
        ):
            stack.start()
            for text in started(stack, options):
                say(console, text)
            follow(stack, delivered, console=console)
    except KeyboardInterrupt:
        say(console, "Stopped; the data stays.")


def started(stack: LocalStack, options: StackOptions) -> Iterator[str | Text]:
    """What a person wants to know about a stack that has just come up."""
    yield addresses_text(stack, topic=options.topic, clock=parse_clock(options.clock))
    produce = command("produce", "--scenario", "live", "--data", stack.folder.path)
    yield f"Next, beside it: {produce}"
    yield "Stop with Ctrl-C. Notifications follow."


def say(console: Console, text: str | Text) -> None:
    """Print a line as it is: no markup is read from it, and no path is cut or wrapped."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def follow(stack: LocalStack, delivered: queue.SimpleQueue[Notification], *, console: Console) -> None:
    """Print notifications and keep every part running, until KeyboardInterrupt.

    Raises:
        UnavailableError: a part ended that cannot be started again.
    """
    supervision = Supervision(stack, say=lambda line: say(console, f"  {line}"))
    try:
        while True:
            supervision.tick()
            with suppress(queue.Empty):
                say(console, notification_line(delivered.get(timeout=CHECK_SECONDS)))
    finally:
        while not delivered.empty():
            say(console, notification_line(delivered.get()))
