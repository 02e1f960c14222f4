"""``portalpulse dead-letters``: look at messages set aside, send them again, drop them, let a worker set more aside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError
from domain.periods import VIETNAM
from pipeline import wiring
from pipeline.cli.remote import AnswerError, NotRunningError, Process, is_absent, is_embedded, running
from pipeline.dead_letters.routes import NO_DEAD_LETTER
from pipeline.dead_letters.service import DeadLetterService, filter_fields, parse_filter
from pipeline.folders import folder
from pipeline.logs import configure_logging
from pipeline.settings import Settings, load_settings
from sinks.contract.dead_letters import DeadLetterFilter, Position

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only of this reason; may be repeated.")]
Topics = Annotated[list[str] | None, typer.Option("--topic", help="Only of this topic; may be repeated.")]
Since = Annotated[str | None, typer.Option("--from", help="First seen at or after this.", metavar="TIME")]
Until = Annotated[str | None, typer.Option("--to", help="First seen before this.", metavar="TIME")]
Data = Annotated[Path | None, typer.Option("--data", parser=folder, help="Folder of the running stack.", metavar="DIR")]

#: A replay waits for Kafka page by page.
_REPLAY_SECONDS = 3_600.0
#: Where a running process has its dead letters.
_PATH = "/api/v1/dead-letters"


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
    with _desk(data) as desk:
        page = desk.page(wanted, limit=limit, after=_position(after))
        if not page["counts"]:
            typer.echo(_nothing(desk, wanted))
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
    with _desk(data) as desk:
        letter = desk.show((topic, partition, offset))
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
    with _desk(data) as desk:
        if dry_run:
            verdict = desk.preview(wanted)
            typer.echo(f"{verdict['accepted']} would be accepted, {sum(verdict['refused'].values())} refused again.")
            for name, count in verdict["refused"].items():
                typer.echo(f"  {name}: {count}")
        else:
            typer.echo(f"{desk.replay(wanted)['sent']} sent again.")


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
    with _desk(data) as desk:
        if not yes:
            count = sum(desk.page(wanted, limit=1)["counts"].values())
            raise ConfigurationError(f"This would remove {count} dead letters for good.", remedy="Add --yes to do it.")
        typer.echo(f"{desk.drop(wanted)['dropped']} removed.")


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
    with _desk_or_folder(settings, data) as desk:
        for number in sorted(set(partition)):
            accepted = desk.accept(topic or settings.kafka.topic, number, until=until)
            typer.echo(
                f"Partition {number} of {accepted['topic']}: what stands below offset {accepted['until']} may be set aside."
            )


class _RemoteDesk:
    """The desk of a running process, over HTTP."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def page(self, wanted: DeadLetterFilter, *, limit: int, after: Position | None = None) -> dict[str, Any]:
        fields = filter_fields(wanted) | {"limit": limit, "replayed": "1" if wanted.replayed else "0"}
        if after is not None:
            fields["after"] = "/".join(map(str, after))
        page: dict[str, Any] = self._process.ask("GET", _PATH, params=fields)
        return page

    def show(self, position: Position) -> dict[str, Any] | None:
        topic, partition, offset = position
        try:
            letter: dict[str, Any] = self._process.ask("GET", f"{_PATH}/{quote(topic, safe='')}/{partition}/{offset}")
        except AnswerError as error:
            if is_absent(error, NO_DEAD_LETTER):
                return None
            raise
        return letter

    def preview(self, wanted: DeadLetterFilter) -> dict[str, Any]:
        return self._change("replay", filter_fields(wanted) | {"dry_run": True})

    def replay(self, wanted: DeadLetterFilter) -> dict[str, Any]:
        return self._change("replay", filter_fields(wanted))

    def drop(self, wanted: DeadLetterFilter) -> dict[str, Any]:
        return self._change("drop", filter_fields(wanted))

    def accept(self, topic: str, partition: int, *, until: int | None) -> dict[str, Any]:
        return self._change("accept", {"topic": topic, "partition": partition, "until": until})

    def _change(self, what: str, fields: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._process.ask("POST", f"{_PATH}/{what}", timeout=_REPLAY_SECONDS, json=fields)
        return answer


@contextmanager
def _desk(data: Path | None) -> Iterator[DeadLetterService | _RemoteDesk]:
    """On a server the desk itself; with an embedded storage that of the process that owns it."""
    settings: Settings = load_settings()
    if data is not None or is_embedded(settings):
        yield _RemoteDesk(running(settings, data))
        return
    with wiring.opened_storage(settings) as clickhouse:
        yield wiring.dead_letter_desk(settings, clickhouse)


@contextmanager
def _desk_or_folder(settings: Settings, data: Path | None) -> Iterator[DeadLetterService | _RemoteDesk]:
    """As ``_desk``; when no process runs on an embedded storage, the desk over its folder.

    Raises:
        UnavailableError: no process runs, and there is no such folder.
    """
    try:
        process = running(settings, data) if data is not None or is_embedded(settings) else None
    except NotRunningError:
        if data is not None:
            url = SecretStr(f"chdb:{data / 'clickhouse'}")
            settings = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"url": url})})
        folder = wiring.target_of(settings).folder
        if folder is None or not folder.is_dir():
            raise
        process = None
    if process is not None:
        yield _RemoteDesk(process)
        return
    with wiring.opened_storage(settings) as clickhouse:
        yield wiring.dead_letter_desk(settings, clickhouse)


def _nothing(desk: DeadLetterService | _RemoteDesk, wanted: DeadLetterFilter) -> str:
    """Why a list is empty: nothing was set aside, everything was replayed, or the filter leaves nothing over."""
    if wanted.has_criteria:
        return "No message that was set aside fits the filter."
    replayed = 0 if wanted.replayed else sum(desk.page(replace(wanted, replayed=True), limit=1)["counts"].values())
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
