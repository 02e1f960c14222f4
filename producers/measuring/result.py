"""The report of a replay or a load, as text for people and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.texts import escaped
from producers.measuring.latency import Curve, Latency, latency
from producers.sending.send_loop import SendResult


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the run: from ``start`` to ``end`` (seconds after its begin) at ``target`` messages a second (None: max)."""

    name: str
    start: float
    end: float
    target: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A window with its messages sent a second, and the latency of the events sent in it."""

    window: Window
    rate: float
    latency: Latency | None

    def as_dict(self) -> dict[str, Any]:
        """The window and its figures as JSON values for the report."""
        return {
            "name": self.window.name,
            "start": round(self.window.start, 3),
            "end": round(self.window.end, 3),
            "target_rate": _rounded(self.window.target),
            "rate": round(self.rate, 1),
            "latency_seconds": self.latency.as_dict() if self.latency else None,
        }


@dataclass(frozen=True, slots=True)
class SendReport:
    """The report of a replay or a load at its end.

    Attributes:
        visible: events that became visible; None when no process was asked.
        latency: from send to the first figure that contains an event; None when no process was asked.
        exact_latency: from send to the figure in which the event's dossier is resolved; None when the process does not tell.
        note: why no process was asked, or how the latency was measured.
        dead_letters: messages that became dead letters during the run, and so are never visible; None when it is not known.
    """

    source: str
    sent: SendResult
    target: float | None
    processes: int
    visible: int | None = None
    latency: Latency | None = None
    exact_latency: Latency | None = None
    note: str = ""
    windows: Sequence[Measured] = ()
    too_large: Sequence[str] = ()
    dead_letters: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every sent message is durable in Kafka."""
        return self.sent.complete

    def as_dict(self) -> dict[str, Any]:
        """The report for ``--json`` and ``--report``; times in seconds."""
        sent = self.sent
        return {
            "source": self.source,
            "sent": sent.sent,
            "acknowledged": sent.acknowledged,
            "distinct": sent.distinct,
            "visible": self.visible,
            "dead_letters": self.dead_letters,
            "failed": sent.failed,
            "retries": sent.retries,
            "seconds": round(sent.seconds, 3),
            "rate": round(sent.rate, 1),
            "target_rate": _rounded(self.target),
            "latency_seconds": self.latency.as_dict() if self.latency else None,
            "exact_latency_seconds": self.exact_latency.as_dict() if self.exact_latency else None,
            "method": self.note,
            "processes": self.processes,
            "position": sent.position,
            "interrupted": sent.interrupted,
            "broken": None if sent.source_error is None else sent.source_error.problem,
            "problem": sent.problem,
            "too_large": list(self.too_large),
            "windows": [window.as_dict() for window in self.windows],
        }

    def text(self) -> str:
        """The report for people."""
        sent = self.sent
        distinct = f"({sent.distinct:,} distinct; failed {sent.failed:,}, batches sent again {sent.retries:,})"
        wanted = "as many as possible" if self.target is None else f"{self.target:,.0f}/s wanted"
        visible = "-" if self.visible is None else f"{self.visible:,}"
        lines = [
            self.source,
            f"  sent          {sent.sent:>14,}",
            f"  acknowledged  {sent.acknowledged:>14,}   {distinct}",
            f"  visible       {visible:>14}",
            *(
                [f"  dead letters  {self.dead_letters:>14,}   (never visible; portalpulse dead-letters list)"]
                if self.dead_letters
                else []
            ),
            f"  rate          {sent.rate:>12,.0f}/s   ({wanted}, {sent.seconds:.1f} s)",
            f"  send->visible {_latency_text(self.latency)}",
            *([f"  send->exact   {_latency_text(self.exact_latency)}"] if self.exact_latency else []),
        ]
        if self.note:
            lines.append(f"  measured by   {self.note}")
        if len(self.windows) > 1:
            lines.append("  window                 wanted/s       sent/s   send->visible")
            lines.extend(_window_text(item) for item in self.windows)
        if sent.problem:
            lines.append(f"  first failure {sent.problem}")
        lines.extend(f"  too large     {item}" for item in self.too_large)
        return "\n".join(map(escaped, lines))  # names of files stand in them


def measured(sent: SendResult, visible: Curve | None, windows: Sequence[Window], *, repeats: bool = False) -> list[Measured]:
    """The windows of a run, each with its rate and latency."""
    curve = sent_curve(sent, repeats=repeats)
    found = []
    for window in windows:
        since, until = sent.started + window.start, sent.started + window.end
        records = sum(item.records for item in sent.acknowledgements if since <= item.sent_at < until)
        lag = latency(curve, visible, since=since, until=until) if visible is not None else None
        length = max(min(until, max(sent.ended, since)) - since, 1e-9)
        found.append(Measured(window, records / length if records else 0.0, lag))
    return found


def sent_curve(sent: SendResult, *, repeats: bool) -> Curve:
    """The curve of acknowledged events by the moment at which they were handed over, with or without repeats."""
    return Curve.of_sends((item.sent_at, item.events if repeats else item.distinct) for item in sent.acknowledgements)


def _window_text(item: Measured) -> str:
    wanted = "max" if item.window.target is None else f"{item.window.target:,.0f}"
    return f"  {item.window.name:<20} {wanted:>10} {item.rate:>12,.0f}   {_latency_text(item.latency)}"


def _latency_text(lag: Latency | None) -> str:
    if lag is None or math.isnan(lag.p50):
        return "not measured" if lag is None else f"nothing became visible ({lag.unseen:,} waited for)"
    figures = (("p50", lag.p50), ("p95", lag.p95), ("p99", lag.p99), ("max", lag.maximum))
    text = "  ".join(f"{name} {value * 1000:,.0f} ms" for name, value in figures)
    return f"{text}, {lag.unseen:,} not visible by the end" if lag.unseen else text


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 1)
