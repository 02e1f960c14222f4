"""``portalpulse up``: runs the local stack in the foreground, and prints every notification as it is delivered."""

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
from deploy.native.stack_supervision import Supervision
from domain.clock import Clock, parse_clock
from domain.periods import VIETNAM, civil_day
from pipeline.hints import command
from pipeline.shutdown import stopped_by_signals

#: Seconds between two checks of the services.
CHECK_SECONDS = 0.5
#: Pages of Prometheus and of Alertmanager in their different builds, the best first; Debian ships neither web application.
_PROMETHEUS_PAGES = ("/alerts", "/classic/alerts", "/api/v1/alerts")
_ALERTMANAGER_PAGES = ("/", "/api/v2/alerts")
#: Debian's Alertmanager answers this, with status 200, instead of its page.
_NO_PAGE = "does not include"
#: The alert about a storage without events: on a new stack nobody has sent any.
_NO_EVENTS = "NoEventsYet"

#: Width of the first column of the addresses.
_TITLE_WIDTH = 15


def addresses_text(stack: LocalStack, *, topic: str, clock: Clock) -> Text:
    """Every address of a running stack, one a line; print it with ``soft_wrap``, so that no address is cut."""
    addresses = stack.addresses
    today = civil_day(clock.now())
    rows = [
        ("Board", f"{addresses.http}/", "every agency, live"),
        ("Status", f"{addresses.http}/api/v1/status", ""),
        ("Report", f"{addresses.http}/api/v1/report?from={today.replace(month=1, day=1)}&to={today}", ""),
        ("Metrics", f"{addresses.http}/metrics", ""),
        ("Runbook", f"{addresses.http}/runbook", "what to do when an alert arrives"),
        ("Prometheus", answering_page(addresses.prometheus, _PROMETHEUS_PAGES), "alerts and their rules"),
        ("Alertmanager", answering_page(addresses.alertmanager, _ALERTMANAGER_PAGES), "alerts that are being delivered"),
        ("Kafka", addresses.kafka, f"topic {topic}"),
        ("Notifications", str(stack.receiver.path), "every alert that was delivered"),
        ("Logs", str(stack.folder.path / "logs"), "one file a service"),
    ]
    text = Text("portalpulse is up", style="bold green")
    for title, value, what in rows:
        text.append(f"\n  {title:{_TITLE_WIDTH}}", style="not bold default")
        text.append(value, style="not bold cyan")
        if what:
            text.append(f"  {what}", style="not bold dim default")
    return text


def answering_page(base: str, paths: Sequence[str]) -> str:
    """The address of the first page that exists; ``base`` alone when none does."""
    with httpx.Client(base_url=base, timeout=5.0, trust_env=False, follow_redirects=True) as client:
        for path in paths:
            try:
                response = client.get(path)
            except httpx.HTTPError:
                continue
            if response.status_code == httpx.codes.OK and _NO_PAGE not in response.text:
                return f"{base}{path}"
    return base


def notification_line(entry: Notification) -> Text:
    """One delivered alert on one line, in the language and time zone of its recipients."""
    firing = entry.status == "firing"
    at = dt.datetime.fromisoformat(entry.received_at).astimezone(VIETNAM)
    line = Text("● " if firing else "○ ", style="red" if firing else "green")
    line.append(f"{at:%H:%M:%S} ", style="dim")
    line.append("CẢNH BÁO " if firing else "KẾT THÚC ", style="bold")
    text = entry.annotations.get("description") or entry.annotations.get("summary") or entry.alert
    line.append(" ".join(text.split()))
    return line


def up(options: StackOptions, *, console: Console) -> None:
    """Run the stack until Ctrl-C, SIGTERM or the end of a service that cannot be restarted.

    Raises:
        PortalPulseError: the stack cannot start, or a service ended and cannot be restarted.
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
        say(console, "Stopped; the data is kept.")


def started(stack: LocalStack, options: StackOptions) -> Iterator[str | Text]:
    """The texts to print when a stack has started."""
    yield addresses_text(stack, topic=options.topic, clock=parse_clock(options.clock))
    yield f"Next, in another terminal: {_first_events(stack)}"
    yield "Stop with Ctrl-C. Notifications follow."


def hint_for(entry: Notification, stack: LocalStack) -> str | None:
    """What to do about a notification that a new stack causes by itself; None for other notifications."""
    if entry.alert != _NO_EVENTS or entry.status != "firing":
        return None
    return f"No event was sent to this stack yet. To send the first ones, in another terminal: {_first_events(stack)}"


def _first_events(stack: LocalStack) -> str:
    return command("produce", "--scenario", "live", "--data", stack.folder.path)


def say(console: Console, text: str | Text) -> None:
    """Print a line unchanged: without markup, cuts or wraps."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def follow(stack: LocalStack, delivered: queue.SimpleQueue[Notification], *, console: Console) -> None:
    """Print notifications and supervise every service, until KeyboardInterrupt.

    Raises:
        UnavailableError: a service ended that cannot be restarted.
    """
    supervision = Supervision(stack, say=lambda line: say(console, f"  {line}"))
    try:
        while True:
            supervision.tick()
            with suppress(queue.Empty):
                entry = delivered.get(timeout=CHECK_SECONDS)
                say(console, notification_line(entry))
                if hint := hint_for(entry, stack):
                    say(console, f"  {hint}")
    finally:
        while not delivered.empty():
            say(console, notification_line(delivered.get()))
