"""``portalpulse dead-letters``: list, show, replay and drop dead letters; let a worker continue beyond its limit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError
from domain.periods import VIETNAM, parse_instant
from pipeline.cli import options
from pipeline.cli.remote_dead_letters import RemoteDeadLetters
from pipeline.cli.services import opened_service
from pipeline.dead_letters.service import DeadLetterService, parse_filter
from pipeline.logs import configure_logging
from pipeline.settings import Settings, load_settings
from pipeline.texts import escaped
from pipeline.wiring.features import dead_letter_service
from sinks.contract.dead_letters import DeadLetterFilter, Position

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only this reason; may be repeated.")]
Topics = Annotated[list[str] | None, typer.Option("--topic", help="Only this topic; may be repeated.")]
Since = Annotated[str | None, typer.Option("--from", help="First seen at or after this time.", metavar="TIME")]
Until = Annotated[str | None, typer.Option("--to", help="First seen before this time.", metavar="TIME")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(
        name="dead-letters",
        no_args_is_help=True,
        help="Messages that are not valid events: list them, replay them after a fix, drop them; and let "
        "a worker that stopped at its dead-letter limit continue.",
    )
    app.add_typer(group, rich_help_panel="Maintenance")

    group.command("list")(_list)
    group.command("show")(_show)
    group.command("replay")(_replay)
    group.command("drop")(_drop)
    group.command("accept")(_accept)


def _list(
    *,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also dead letters that were replayed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Dead letters on the page.")] = 50,
    after: Annotated[str | None, typer.Option(help="Continue after this position.", metavar="TOPIC/PARTITION/OFFSET")] = None,
    data: options.Data = None,
) -> None:
    """Print counts by reason, and a page of dead letters in the order of topic, partition and offset.

    Times are in Asia/Ho_Chi_Minh unless they have an offset: 2024-08-20, "2024-08-20 08:00", or RFC 3339.

    Example: portalpulse dead-letters list --reason unknown_agency --from 2024-08-20
    """
    criteria = _filter(reason, topic, since, until, replayed=replayed)
    with _service(data) as service:
        page = service.page(criteria, limit=limit, after=_position(after))
        if not page["counts"]:
            typer.echo(_nothing(service, criteria))
            return
    Console().print(_counts(page["counts"]), _entries(page["letters"]))
    if page["next"]:
        typer.echo(f"More: --after {'/'.join(map(str, page['next']))}")


def _show(
    topic: Annotated[str, typer.Argument(help="Topic of the message.")],
    partition: Annotated[int, typer.Argument(help="Its partition.")],
    offset: Annotated[int, typer.Argument(help="Its offset.")],
    data: options.Data = None,
) -> None:
    """Print one dead letter with key and value: as text when they are UTF-8, else in hexadecimal digits.

    Of a message that parses, only the known fields are kept. The bytes of any other are removed after some days.

    Example: portalpulse dead-letters show dvc.dossier-events.v1 0 4711
    """
    with _service(data) as service:
        entry = service.show((topic, partition, offset))
    if entry is None:
        raise ConfigurationError(f"There is no dead letter at {topic}/{partition}/{offset}.")
    _print_dead_letter(entry)
    for earlier in entry.get("earlier", ()):
        typer.echo("\nAn earlier dead letter at the same offset, from before the topic was recreated or truncated:")
        _print_dead_letter(earlier)


def _print_dead_letter(entry: Mapping[str, Any]) -> None:
    for name in ("reason", "error", "first_seen", "replayed_at"):
        typer.echo(f"{name}: {_printable(str(entry[name] or '-'))}")
    kept = entry.get("kept", "message")  # a process of an earlier release says nothing
    typer.echo(f"kept: {_KEPT.get(kept, kept)}")
    if kept == "removed":
        typer.echo(f"removed: {_local(entry['removed_at'])}")
        return
    for name in ("key", "value"):
        typer.echo(f"{name}: {_content(entry[name])}")


#: What a dead letter holds, in words.
_KEPT: Final = {
    "message": "the message as it was received",
    "fields": "the known fields of the message; the worker kept nothing else",
    "removed": "neither key nor value: kept for PORTALPULSE_DEAD_LETTERS__BYTES_DAYS, as the message does not parse",
}


def _replay(
    *,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also dead letters that were replayed already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing; print which messages would be valid now.")] = False,
    data: options.Data = None,
) -> None:
    """Send what is kept of the messages to their topic again. An event that is sent twice counts once.

    A message whose bytes were removed cannot be sent.

    A message that is rejected again becomes a new dead letter at its new offset.

    Example: portalpulse dead-letters replay --reason unknown_agency --dry-run
    """
    criteria = _filter(reason, topic, since, until, replayed=replayed)
    with _service(data) as service:
        if dry_run:
            verdict = service.preview(criteria)
            typer.echo(f"{verdict['accepted']} would be accepted, {sum(verdict['refused'].values())} rejected again.")
            for name, count in verdict["refused"].items():
                typer.echo(f"  {name}: {count}")
            removed = verdict.get("removed", 0)
        else:
            answer = service.replay(criteria)
            typer.echo(f"{answer['sent']} sent again.")
            removed = answer.get("removed", 0)
    if removed:
        typer.echo(f"{removed} cannot be sent: their bytes were removed.")


def _drop(
    *,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also dead letters that were replayed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the removal.")] = False,
    data: options.Data = None,
) -> None:
    """Remove dead letters permanently, with their bytes. They do not come back when their message is redelivered.

    Example: portalpulse dead-letters drop --reason empty --to 2024-08-01 --yes
    """
    criteria = _filter(reason, topic, since, until, replayed=replayed)
    if not criteria.has_criteria:
        raise ConfigurationError("Dropping needs a filter.", remedy="Give --reason, --topic, --from or --to.")
    with _service(data) as service:
        if not yes:
            count = sum(service.page(criteria, limit=1)["counts"].values())
            raise ConfigurationError(f"This would remove {count} dead letters permanently.", remedy="Add --yes to do it.")
        typer.echo(f"{service.drop(criteria)['dropped']} removed.")


def _accept(
    *,
    partition: Annotated[list[int], typer.Option("--partition", help="Partition; may be repeated.", metavar="N", min=0)],
    topic: Annotated[str | None, typer.Option("--topic", help="Topic. Default: the one of the settings.")] = None,
    until: Annotated[
        int | None,
        typer.Option("--until", help="Accept messages below this offset, not beyond the end. Default: the end.", min=1),
    ] = None,
    data: options.Data = None,
) -> None:
    """Let workers that stopped at the dead-letter limit continue: accept the messages that are in a partition now.

    Of these messages, invalid ones become dead letters without a limit, and valid ones are counted as usual. The limit
    applies again to later messages. Accepting twice is harmless. A running or restarted worker notices it by itself. Works
    with and without a running process.

    Example: portalpulse dead-letters accept --partition 3
    """
    settings = load_settings()
    configure_logging(settings.log)
    chosen = topic or settings.kafka.topic
    if not topic and settings.kafka.portal_prefix and settings.kafka.portal_of(chosen) is None:
        raise ConfigurationError("Every portal has a topic of its own.", remedy="Name one with --topic.")
    with _service(data, settings, open_folder=True) as service:
        for number in sorted(set(partition)):
            accepted = service.accept(chosen, number, until=until)
            typer.echo(
                f"Partition {number} of {accepted['topic']}: messages below offset {accepted['until']} may be dead-lettered "
                "without a limit."
            )


def _service(
    data: Path | None, settings: Settings | None = None, *, open_folder: bool = False
) -> AbstractContextManager[DeadLetterService | RemoteDeadLetters]:
    return opened_service(
        settings or load_settings(),
        data,
        local=dead_letter_service,
        remote=RemoteDeadLetters,
        open_folder=open_folder,
    )


def _nothing(service: DeadLetterService | RemoteDeadLetters, criteria: DeadLetterFilter) -> str:
    """The sentence for an empty list: there are no dead letters, all were replayed, or none matches the filter."""
    if criteria.has_criteria:
        return "No dead letter matches the filter."
    replayed = 0 if criteria.replayed else sum(service.page(replace(criteria, replayed=True), limit=1)["counts"].values())
    return f"All {replayed} dead letters were replayed. List them with --replayed." if replayed else "There are no dead letters."


def _filter(
    reason: list[str] | None, topic: list[str] | None, since: str | None, until: str | None, *, replayed: bool
) -> DeadLetterFilter:
    fields: dict[str, Any] = {"reason": reason or [], "topic": topic or [], "replayed": replayed}
    for name, text in (("from", since), ("to", until)):
        if text is not None:
            fields[name] = _civil(text)
    return parse_filter(fields)


def _civil(text: str) -> str:
    """Add Viet Nam's UTC offset to a time that has no offset."""
    try:
        instant = parse_instant(text)
    except ValueError:
        return text  # parse_filter refuses it by name
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=VIETNAM)).isoformat()


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        topic, partition, offset = text.split("/")
        return topic, int(partition), int(offset)
    except ValueError as error:
        raise ConfigurationError(f"--after must be TOPIC/PARTITION/OFFSET, not {text!r}.") from error


def _counts(counts: dict[str, int]) -> Table:
    table = Table(title=f"{sum(counts.values())} dead letters")
    table.add_column("reason")
    table.add_column("messages", justify="right")
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(reason, str(count))
    return table


def _entries(entries: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("position", "reason", "first seen", "bytes", "replayed", "error"):
        table.add_column(name, overflow="fold", justify="right" if name == "bytes" else "left")
    for entry in entries:
        table.add_row(
            f"{entry['topic']}/{entry['partition']}/{entry['offset']}",
            entry["reason"],
            _local(entry["first_seen"]),
            "removed" if entry.get("removed_at") else "-" if entry["size"] is None else str(entry["size"]),
            _local(entry["replayed_at"]),
            _printable(entry["error"]).replace("[", r"\["),
        )
    return table


def _local(text: str | None) -> str:
    if text is None:
        return ""
    return dt.datetime.fromisoformat(text).astimezone(VIETNAM).isoformat(sep=" ", timespec="seconds")


def _content(content: dict[str, str] | None) -> str:
    if content is None:
        return "(none)"
    return _printable(content["text"]) if "text" in content else f"(not UTF-8, hex) {content['hex']}"


def _printable(text: str) -> str:
    return escaped(text, keep="\n\t")
