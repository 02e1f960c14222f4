"""``portalpulse dead-letters``: look at messages set aside, send them again, drop them, let a worker set more aside."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError
from domain.periods import VIETNAM
from pipeline import wiring
from pipeline.cli.remote_dead_letters import RemoteDeadLetters
from pipeline.cli.services import opened_service
from pipeline.dead_letters.service import DeadLetterService, parse_filter
from pipeline.folders import folder
from pipeline.logs import configure_logging
from pipeline.settings import Settings, load_settings
from sinks.contract.dead_letters import DeadLetterFilter, Position

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only of this reason; may be repeated.")]
Topics = Annotated[list[str] | None, typer.Option("--topic", help="Only of this topic; may be repeated.")]
Since = Annotated[str | None, typer.Option("--from", help="First seen at or after this.", metavar="TIME")]
Until = Annotated[str | None, typer.Option("--to", help="First seen before this.", metavar="TIME")]
Data = Annotated[Path | None, typer.Option("--data", parser=folder, help="Folder of the running stack.", metavar="DIR")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(
        name="dead-letters",
        no_args_is_help=True,
        help="Messages that are no event, kept whole: look at them, send them again after a fix, drop them; and let a worker "
        "that stopped at its limit go on.",
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
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that were replayed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Letters on the page.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on behind this position.", metavar="TOPIC/PARTITION/OFFSET")] = None,
    data: Data = None,
) -> None:
    """Print how many wait, by reason, and a page of them in the order of topic, partition and offset.

    Times are civil (Asia/Ho_Chi_Minh) unless they carry an offset: 2024-08-20, "2024-08-20 08:00", or RFC 3339.

    Example: portalpulse dead-letters list --reason unknown_agency --from 2024-08-20
    """
    wanted = _filter(reason, topic, since, until, replayed=replayed)
    with _service(data) as service:
        page = service.page(wanted, limit=limit, after=_position(after))
        if not page["counts"]:
            typer.echo(_nothing(service, wanted))
            return
    Console().print(_counts(page["counts"]), _letters(page["letters"]))
    if page["next"]:
        typer.echo(f"More: --after {'/'.join(map(str, page['next']))}")


def _show(
    topic: Annotated[str, typer.Argument(help="Topic of the message.")],
    partition: Annotated[int, typer.Argument(help="Its partition.")],
    offset: Annotated[int, typer.Argument(help="Its offset.")],
    data: Data = None,
) -> None:
    """Print one letter whole: key and value as text when they are UTF-8, else in hexadecimal digits.

    Example: portalpulse dead-letters show dvc.dossier-events.v1 0 4711
    """
    with _service(data) as service:
        letter = service.show((topic, partition, offset))
    if letter is None:
        raise ConfigurationError(f"There is no dead letter at {topic}/{partition}/{offset}.")
    for name in ("reason", "error", "first_seen", "replayed_at"):
        typer.echo(f"{name}: {_printable(str(letter[name] or '-'))}")
    for name in ("key", "value"):
        typer.echo(f"{name}: {_content(letter[name])}")


def _replay(
    *,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that were replayed already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing; say what the rules would make of them now.")] = False,
    data: Data = None,
) -> None:
    """Send the raw bytes to their topic again, with their key. Events have ids: sending twice counts once.

    What is refused again becomes a new dead letter at its new offset.

    Example: portalpulse dead-letters replay --reason unknown_agency --dry-run
    """
    wanted = _filter(reason, topic, since, until, replayed=replayed)
    with _service(data) as service:
        if dry_run:
            verdict = service.preview(wanted)
            typer.echo(f"{verdict['accepted']} would be accepted, {sum(verdict['refused'].values())} refused again.")
            for name, count in verdict["refused"].items():
                typer.echo(f"  {name}: {count}")
        else:
            typer.echo(f"{service.replay(wanted)['sent']} sent again.")


def _drop(
    *,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that were replayed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, remove them for good.")] = False,
    data: Data = None,
) -> None:
    """Remove letters for good, bytes and all; they do not come back when their message is delivered again.

    Example: portalpulse dead-letters drop --reason empty --to 2024-08-01 --yes
    """
    wanted = _filter(reason, topic, since, until, replayed=replayed)
    if not wanted.has_criteria:
        raise ConfigurationError("Dropping needs a filter.", remedy="Give --reason, --topic, --from or --to.")
    with _service(data) as service:
        if not yes:
            count = sum(service.page(wanted, limit=1)["counts"].values())
            raise ConfigurationError(f"This would remove {count} dead letters for good.", remedy="Add --yes to do it.")
        typer.echo(f"{service.drop(wanted)['dropped']} removed.")


def _accept(
    *,
    partition: Annotated[list[int], typer.Option("--partition", help="Partition; may be repeated.", metavar="N", min=0)],
    topic: Annotated[str | None, typer.Option("--topic", help="Its topic; else that of the settings.")] = None,
    until: Annotated[
        int | None, typer.Option("--until", help="Accept below this offset, at most up to the end; else up to the end.", min=1)
    ] = None,
    data: Data = None,
) -> None:
    """Let workers set aside what stands in a partition now, and go on: for a worker that stopped at its dead-letter limit.

    What it refuses of these messages becomes dead letters, all of it, and counts in no limit; what is good is counted as ever.
    The limit holds again for what comes later. To accept twice does no harm; a worker that runs or is started again finds it
    by itself. Works beside a running process and while none runs.

    Example: portalpulse dead-letters accept --partition 3
    """
    settings = load_settings()
    configure_logging(settings.log)
    with _service(data, settings, open_folder=True) as service:
        for number in sorted(set(partition)):
            accepted = service.accept(topic or settings.kafka.topic, number, until=until)
            typer.echo(
                f"Partition {number} of {accepted['topic']}: what stands below offset {accepted['until']} may be set aside."
            )


def _service(
    data: Path | None, settings: Settings | None = None, *, open_folder: bool = False
) -> AbstractContextManager[DeadLetterService | RemoteDeadLetters]:
    return opened_service(
        settings or load_settings(),
        data,
        local=wiring.dead_letter_service,
        remote=RemoteDeadLetters,
        open_folder=open_folder,
    )


def _nothing(service: DeadLetterService | RemoteDeadLetters, wanted: DeadLetterFilter) -> str:
    """Why a list is empty: nothing was set aside, everything was replayed, or the filter leaves nothing over."""
    if wanted.has_criteria:
        return "No message that was set aside fits the filter."
    replayed = 0 if wanted.replayed else sum(service.page(replace(wanted, replayed=True), limit=1)["counts"].values())
    return f"No message waits; {replayed} were replayed (--replayed lists them)." if replayed else "No message was set aside."


def _filter(
    reason: list[str] | None, topic: list[str] | None, since: str | None, until: str | None, *, replayed: bool
) -> DeadLetterFilter:
    fields: dict[str, Any] = {"reason": reason or [], "topic": topic or [], "replayed": replayed}
    for name, text in (("from", since), ("to", until)):
        if text is not None:
            fields[name] = _civil(text)
    return parse_filter(fields)


def _civil(text: str) -> str:
    """A time without an offset is one of Viet Nam."""
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        return text  # refused with its name by parse_filter
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=VIETNAM)).isoformat()


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        topic, partition, offset = text.split("/")
        return topic, int(partition), int(offset)
    except ValueError as error:
        raise ConfigurationError(f"--after must be TOPIC/PARTITION/OFFSET, this is {text!r}.") from error


def _counts(counts: dict[str, int]) -> Table:
    table = Table(title=f"{sum(counts.values())} dead letters")
    table.add_column("reason")
    table.add_column("letters", justify="right")
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(reason, str(count))
    return table


def _letters(letters: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("position", "reason", "first seen", "bytes", "replayed", "error"):
        table.add_column(name, overflow="fold", justify="right" if name == "bytes" else "left")
    for letter in letters:
        table.add_row(
            f"{letter['topic']}/{letter['partition']}/{letter['offset']}",
            letter["reason"],
            _local(letter["first_seen"]),
            "-" if letter["size"] is None else str(letter["size"]),
            _local(letter["replayed_at"]),
            _printable(letter["error"]).replace("[", r"\["),
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
    """Without anything that could move a terminal's cursor or colour it: a message is whatever a stranger sent."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in text)
