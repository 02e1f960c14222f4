"""``portalpulse workers``: which worker reads which partition, how far each is behind, and the removal of one that stopped."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.kafka.partition_lag import PartitionState, partition_states
from pipeline.kafka.removal import remove_worker
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.registry import registry_of
from pipeline.settings import load_settings

Instance = Annotated[str, typer.Argument(metavar="INSTANCE_ID", help="Its PORTALPULSE_KAFKA__INSTANCE_ID.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(
        name="workers",
        no_args_is_help=True,
        help="The workers of the consumer group: who reads which partition, and how far it is behind (docs/deployment.md).",
    )
    app.add_typer(group, rich_help_panel="Maintenance")
    group.command("list")(_list)
    group.command("remove")(_remove)


def _list(*, as_json: AsJson = False) -> None:
    """Print each partition with its lag and the worker that reads it. The brokers are asked, to show partitions without a worker.

    The lag counts messages that are not acknowledged. Status 1 when nobody reads a partition although the group is at rest.

    Example: portalpulse workers list
    """
    settings = load_settings()
    topics = settings.kafka.topics(registry_of(settings).codes)
    found = partition_states(KafkaTopicReader(settings.kafka, topics=topics), topic=settings.kafka.topic).partitions
    if as_json:
        typer.echo(json.dumps({"group": settings.kafka.group, "partitions": [_as_json(part) for part in found]}, indent=1))
    else:
        _print(found, group=settings.kafka.group)
    if any(part.readers == () for part in found):
        raise typer.Exit(1)


def _remove(instance_id: Instance) -> None:
    """Remove a worker that was stopped for good, so that the others have its partitions at once and not after its session.

    Only workers with an instance id need this; those of PORTALPULSE_KAFKA__LEAVE_ON_STOP leave by themselves. Stop it before: one
    that runs joins again.

    Example: portalpulse workers remove worker-4
    """
    settings = load_settings()
    remove_worker(settings.kafka, instance_id)
    typer.echo(f"The group {settings.kafka.group} has removed {instance_id}.")


def _as_json(part: PartitionState) -> dict[str, object]:
    readers = None if part.readers is None else [{"worker": each.name, "host": each.host} for each in part.readers]
    return {"topic": part.topic, "partition": part.number, "lag": part.lag, "readers": readers}


def _print(found: tuple[PartitionState, ...], *, group: str) -> None:
    table = Table("topic", title=f"group {escape(group)}")
    for name in ("partition", "lag"):
        table.add_column(name, justify="right")
    table.add_column("worker")
    table.add_column("host")
    for part in found:
        names = ", ".join(each.name for each in part.readers or ())
        hosts = ", ".join(each.host for each in part.readers or ())
        shown = "[dim]given out now[/dim]" if part.readers is None else escape(names) or "[bold red]nobody[/bold red]"
        table.add_row(escape(part.topic), str(part.number), f"{part.lag:,}", shown, escape(hosts))
    Console().print(table)
