"""``portalpulse offsets``: keeps the offsets of the workers with a backup, and sets the workers back to them after a restore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError
from pipeline.bounded_files import bounded_content
from pipeline.kafka.offset_backup import SavedOffsets, restore_offsets, save_offsets
from pipeline.registry import registry_of
from pipeline.settings import Settings, load_settings
from pipeline.whole_files import write_whole

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file; keep it with the backup.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(
        name="offsets",
        no_args_is_help=True,
        help="The place in Kafka that belongs to a backup of ClickHouse: save it before the backup, restore it after a restore "
        "(docs/backup.md).",
    )
    app.add_typer(group, rich_help_panel="Maintenance")
    group.command("save")(_save)
    group.command("restore")(_restore)


def _save(file: File) -> None:
    """Write the offsets that the workers have acknowledged to a file. Run it before each backup; workers may run.

    Example: portalpulse offsets save backups/2026-11-28.json
    """
    settings = load_settings()
    saved = save_offsets(settings.kafka, _topics(settings))
    write_whole(file, saved.model_dump_json(indent=1).encode() + b"\n")
    partitions = sum(len(topic.offsets) for topic in saved.topics.values())
    typer.echo(f"The offsets of {partitions} partitions of {len(saved.topics)} topics are in {file}. Begin the backup now.")


def _restore(file: File) -> None:
    """Set the workers back to the offsets of a file, so that they read again what the backup lacks. Stop all workers before.

    Nothing counts twice. It never moves an offset forward. Offsets that left Kafka meanwhile are reported by the next worker.

    Example: portalpulse offsets restore backups/2026-11-28.json
    """
    settings = load_settings()
    try:
        saved = SavedOffsets.model_validate_json(bounded_content(file))
    except ValidationError:
        raise ConfigurationError(
            f"{file} is not a file of saved offsets.", remedy="`portalpulse offsets save` writes one before each backup."
        ) from None
    again = restore_offsets(settings.kafka, _topics(settings), saved)
    table = Table("topic", title=f"group {settings.kafka.group}")
    for name in ("partition", "reads from", "reads again", "gone from Kafka"):
        table.add_column(name, justify="right")
    for part in again:
        table.add_row(part.topic, *(f"{number:,}" for number in (part.partition, part.offset, part.messages, part.gone)))
    Console().print(table)
    if gone := sum(part.gone for part in again):
        typer.echo(f"{gone:,} offsets are in no backup and left Kafka: portals must send their messages again.")


def _topics(settings: Settings) -> Sequence[str]:
    """The topics that the workers of these settings read."""
    return settings.kafka.topics(registry_of(settings).codes)
