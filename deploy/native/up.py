"""``portalpulse up``: the local stack in the foreground, and every notification as it is delivered."""

from __future__ import annotations

import queue
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.native.receiver import Notification
from deploy.native.signals import stopped_by_signals
from deploy.native.stack import LocalStack, StackOptions

#: Seconds between two looks at whether all parts still run.
CHECK_SECONDS = 0.5

_WHAT = {
    "http": ("API", "/api/v1/status, /api/v1/report?from=2024-01-01&to=2024-08-20, /metrics"),
    "prometheus": ("Prometheus", "rules, alerts, queries"),
    "alertmanager": ("Alertmanager", "who is told what"),
    "kafka": ("Kafka", "dossier events"),
}


def address_table(stack: LocalStack, *, topic: str) -> Table:
    """Every address of a running stack, for people."""
    table = Table(title="portalpulse is up", title_style="bold green", show_header=False, title_justify="left")
    addresses = asdict(stack.addresses)
    for name, (title, what) in _WHAT.items():
        table.add_row(title, addresses[name], f"topic {topic}" if name == "kafka" else what)
    table.add_row("Notifications", str(stack.receiver.path), "every alert that was delivered")
    table.add_row("Logs", str(stack.folder.path / "logs"), "one file a part")
    return table


def notification_line(entry: Notification) -> Text:
    """One delivered alert on one line."""
    firing = entry.status == "firing"
    line = Text("● " if firing else "○ ", style="red" if firing else "green")
    line.append(f"{entry.received_at[11:19]}Z {entry.status:8} ", style="dim")
    line.append(" ".join(part for part in (entry.alert, entry.agency, entry.labels.get("window", "")) if part), "bold")
    said = entry.annotations.get("description") or entry.annotations.get("summary") or ""
    line.append(f" {' '.join(said.split())}")
    return line


def up(options: StackOptions, *, console: Console) -> None:
    """Run the stack until Ctrl-C, SIGTERM or the end of a part.

    Raises:
        PortalPulseError: the stack cannot start, or a part ended by itself.
    """
    delivered: queue.SimpleQueue[Notification] = queue.SimpleQueue()
    try:
        with (
            stopped_by_signals(),
            LocalStack(options, on_delivery=delivered.put, on_step=lambda line: console.print(f"  {line}")) as stack,
        ):
            stack.start()
            console.print(address_table(stack, topic=options.topic))
            console.print(f"Next, beside it: portalpulse produce --scenario live --data {stack.folder.path}")
            console.print("Stop with Ctrl-C. Notifications follow.")
            follow(stack, delivered, console=console)
    except KeyboardInterrupt:
        console.print("Stopped; the data stays.")


def follow(stack: LocalStack, delivered: queue.SimpleQueue[Notification], *, console: Console) -> None:
    """Print notifications for ever; ends by KeyboardInterrupt or when a part has ended."""
    while True:
        stack.check()
        try:
            console.print(notification_line(delivered.get(timeout=CHECK_SECONDS)))
        except queue.Empty:
            continue
