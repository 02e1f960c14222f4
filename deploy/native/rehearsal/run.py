"""``portalpulse rehearse``: plays faults on real parts and prints who was told what, how soon, and whether that was right."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from deploy.native.environment import child_environment
from deploy.native.folder import DataFolder
from deploy.native.phases import phase, verdict_panel
from deploy.native.rehearsal.faults import BY_NAME
from deploy.native.rehearsal.people import READERS
from deploy.native.rehearsal.play import MANY, FaultResult, play, play_many
from deploy.native.rehearsal.stack import Base, RehearsalStack
from deploy.native.rehearsal.tempo import Tempo
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from domain.errors import ConfigurationError
from pipeline.shutdown import stopped_by_signals

MANY_LOW: Final = "many-low"
FAULTS: Final = (*BY_NAME, MANY_LOW)
_SHOWN_WRONG: Final = 5


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What to play: names of ``FAULTS``, in a folder, with every duration divided by ``factor``."""

    faults: tuple[str, ...]
    folder: Path
    factor: int


def check_faults(names: Sequence[str]) -> tuple[str, ...]:
    """The faults to play: the named ones, or all when none is named.

    Raises:
        ConfigurationError: a name is not known.
    """
    for name in names:
        if name not in FAULTS:
            raise ConfigurationError(f"No fault is called {name[:40]!r}.", remedy=f"Choose from {', '.join(FAULTS)}.")
    return tuple(dict.fromkeys(names)) or FAULTS


def rehearse(wanted: Rehearsal, *, console: Console) -> bool:
    """Play the faults one after the other; returns whether every message was right.

    Raises:
        PortalPulseError: a part cannot start.
        KeyboardInterrupt: stopped before the end.
    """
    begun, outcomes = time.monotonic(), []
    tempo = Tempo.divided(wanted.factor)
    with stopped_by_signals(), ExitStack() as exits:
        folder = exits.enter_context(DataFolder(wanted.folder)).path / f"rehearsal-{uuid.uuid4().hex[:8]}"
        logs = folder / "logs"
        kafka = KafkaNode(data_dir=folder / "kafka", log_dir=logs)
        storage = ClickHouseServer(data_dir=folder / "clickhouse", log_dir=logs)
        exits.callback(kafka.stop)
        exits.callback(storage.stop)
        with phase("Kafka, ClickHouse, worker, exporter, Prometheus, Alertmanager and relay", console=console):
            kafka.start()
            storage.start()
            base = Base(
                broker=kafka,
                storage=storage,
                folder=folder,
                environment=child_environment(os.environ, ours={}, inherit=False),
                name=f"rehearsal_{uuid.uuid4().hex[:8]}",
            )
            stack = exits.enter_context(RehearsalStack(base, tempo))
        for name in wanted.faults:
            with phase(_what(name), console=console):
                outcomes.append(_play(stack, name, console=console))
    console.print(table_of(outcomes))
    wrong = [f"{outcome.name}: {line}" for outcome in outcomes for line in outcome.wrong]
    shown = [f"[red]✗ {line}[/red]" for line in wrong[:_SHOWN_WRONG]]
    right = sum(not outcome.wrong for outcome in outcomes)
    lines = [f"{right} of {len(outcomes)} faults were told right; every duration divided by {wanted.factor}", *shown]
    if len(wrong) > _SHOWN_WRONG:
        lines.append(f"… and {len(wrong) - _SHOWN_WRONG} more")
    console.print(verdict_panel(lines, passed=not wrong, seconds=time.monotonic() - begun))
    return not wrong


def table_of(outcomes: Sequence[FaultResult]) -> Table:
    """A table with a line for each expected message: who received it, over how many channels, how soon.

    For many agencies the slowest.
    """
    table = Table(title="Messages in the rehearsal", title_justify="left")
    for heading in ("Fault", "Message", "Received by"):
        table.add_column(heading)
    table.add_column("Seconds", justify="right")
    table.add_column("Right")
    for outcome in outcomes:
        for number, row in enumerate(_rows(outcome)):
            table.add_row(outcome.name if number == 0 else "", *row)
        verdict = "[green]✓[/green]" if not outcome.wrong else f"[red]✗ {len(outcome.wrong)}[/red]"
        table.add_row("", f"{len(outcome.messages)} messages in all", "", "", verdict, end_section=True)
    return table


def _rows(outcome: FaultResult) -> list[tuple[str, str, str, str]]:
    rows = []
    for wanted in outcome.expected:
        met = [message for message in outcome.messages if wanted.is_met_by(message)]
        people = [reader.key for reader in READERS if any(message.to == reader.key for message in met)]
        seconds = outcome.seconds.get(wanted.what)
        whole = not wanted.missing(outcome.messages)
        rows.append(
            (
                wanted.subjects["en"],
                f"{', '.join(people) or 'nobody'}: {len(met)} messages",
                "—" if seconds is None else f"{seconds:.1f}",
                "[green]✓[/green]" if whole else "[red]✗[/red]",
            )
        )
    return rows if len(rows) < MANY else _shortened(rows)


def _shortened(rows: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The rows about all agencies together, and of the rows about single agencies the worst: a failed one, else the slowest."""
    about_all = [row for row in rows if f"] {MANY} " in row[0]]
    each = [row for row in rows if row not in about_all]
    worst = max(each, key=lambda row: ("✗" in row[3], row[2] == "—", len(row[2]), row[2]))
    return [*about_all, (f"{worst[0]} (the slowest of {len(each)})", *worst[1:])]


def _play(stack: RehearsalStack, name: str, *, console: Console) -> FaultResult:
    def say(line: str) -> None:
        console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)

    return play_many(stack, say=say) if name == MANY_LOW else play(stack, BY_NAME[name], say=say)


def _what(name: str) -> str:
    return f"{MANY} agencies are low at once" if name == MANY_LOW else BY_NAME[name].what
