"""``portalpulse dossier``: what is known of one dossier, which message counts where and why; excludes it from the figures."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError
from pipeline.cli import options
from pipeline.cli.remote import AnswerError, Process, is_absent
from pipeline.cli.services import opened_service
from pipeline.dossiers.routes import NO_DOSSIER
from pipeline.settings import load_settings
from pipeline.wiring.features import dossier_service, exclusion_service

#: A change counts the days of the dossier again, which may take minutes on a large table (seconds).
_CHANGE_SECONDS: Final = 3_600.0


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("dossier", rich_help_panel="Figures")(_dossier)


def _dossier(
    code: Annotated[str, typer.Argument(help="Dossier code (mã hồ sơ), as the portals send it.")],
    *,
    exclude: Annotated[
        str | None,
        typer.Option(
            "--exclude",
            metavar="REASON",
            help="Exclude the dossier (loại khỏi thống kê), which was sent by mistake or for a test: it is part of no figure but "
            "events until it is included again. The reason is kept, at most 500 characters.",
        ),
    ] = None,
    include: Annotated[bool, typer.Option("--include", help="Include an excluded dossier in the figures again.")] = False,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who decides, kept with --exclude and --include. Default: the login name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: options.Data = None,
) -> None:
    """Print what is known of one dossier: its messages in order, what each of them counts as and why, and its findings.

    With --exclude or --include, decide whether it counts; running the same command again completes one that broke off.

    Example: portalpulse dossier 000.00.16.H62-250105-0007

    Example: portalpulse dossier 000.00.16.H62-250105-0007 --exclude "test of the new portal" --by "Lan, Sở TTTT"
    """
    if exclude is not None or include:
        if exclude is not None and include:
            raise ConfigurationError("--exclude and --include contradict each other.", remedy="Give one of them.")
        name = _login_name() if by is None else by
        _change(code, excluded=not include, reason=exclude or "", name=name, as_json=as_json, data=data)
        return
    if by is not None:
        raise ConfigurationError("--by is kept with a decision.", remedy="Give --exclude REASON or --include with it.")
    with opened_service(load_settings(), data, local=dossier_service, remote=_Remote) as service:
        found = service.explain(code)
    if found is None:
        raise ConfigurationError(
            f"No message with the dossier code {code!r} is stored.",
            remedy="Compare the code with the portal's. A message that was just sent appears within a second.",
        )
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    console = Console()
    for line in _summary(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found["messages"]:
        console.print(_table(found["messages"]))


def _change(code: str, *, excluded: bool, reason: str, name: str, as_json: bool, data: options.Data) -> None:
    """Exclude a dossier or include it again, and print what changed."""
    with opened_service(load_settings(), data, local=exclusion_service, remote=_RemoteExclusion) as service:
        changed = service.change(code, excluded=excluded, reason=reason, name=name)
    if as_json:
        typer.echo(json.dumps(changed, ensure_ascii=False, indent=2))
        return
    console = Console()
    for line in _changes(changed):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:  # a container may run under a number without a name
        raise ConfigurationError("This user has no login name.", remedy="Say who decides with --by NAME.") from error


def _changes(changed: dict[str, Any]) -> list[str]:
    decision, excluded = changed["decision"], changed["excluded"]
    again = " It had been decided before; what was missing is complete now." if changed["repeated"] else ""
    reason = f": {decision['reason']}" if excluded else ""
    lines = [
        f"Dossier {changed['code']} is {'excluded' if excluded else 'included again'}{reason}",
        f"  {_decided(decision)}.{again}",
    ]
    if not changed["messages"]:
        lines.append(
            "  No message with this code is stored. "
            + (
                "A message that comes will be part of no figure but events."
                if excluded
                else "The dossier will count when a message comes."
            )
        )
    elif changed["milestones"]:
        lines.append("  No longer counted:" if excluded else "  Counted again:")
        lines += [
            f"    {milestone['name'].replace('_', ' ')}: {milestone['day']}, {milestone['unit']}"
            for milestone in changed["milestones"]
        ]
    else:
        lines.append("  It has no milestones, so no figure changes.")
    return lines


def _decided(decision: dict[str, Any]) -> str:
    return f"decided by {decision['name']}, {decision['decided_at']}"


class _RemoteExclusion:
    """Has the methods of ``pipeline.dossiers.exclusion.ExclusionService``, and calls those of a running process over HTTP."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def change(self, code: str, *, excluded: bool, reason: str = "", name: str) -> dict[str, Any]:
        """Exclude a dossier, or include it again."""
        fields = {"excluded": excluded, "reason": reason, "name": name}
        path = f"/api/v1/dossiers/{quote(code, safe='')}/exclusion"
        changed: dict[str, Any] = self._process.request_json("POST", path, timeout=_CHANGE_SECONDS, json=fields)
        return changed


class _Remote:
    """Has the methods of ``pipeline.dossiers.service.DossierService``, and calls those of a running process over HTTP."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def explain(self, code: str) -> dict[str, Any] | None:
        """What is known of a dossier, or None."""
        try:
            found: dict[str, Any] = self._process.request_json("GET", f"/api/v1/dossiers/{quote(code, safe='')}")
        except AnswerError as error:
            if is_absent(error, NO_DOSSIER):
                return None
            raise
        return found


def _summary(found: dict[str, Any]) -> list[str]:
    lines = [f"Dossier {found['code']}"]
    if "remark" in found:
        lines.append(found["remark"])
    for decision in found["decisions"]:
        what = f"excluded: {decision['reason']}" if decision["excluded"] else "included again"
        lines.append(f"  {what} ({_decided(decision)})")
    for name, milestone in found.get("milestones", {}).items():
        if milestone is not None:
            extra = ""
            if name == "submitted":
                extra = ", online" if found["online"] else ", not online"
            if name == "settled":
                level = (found["level"] or "level unknown") + (
                    " (of the catalogue)" if found["level_from"] == "catalogue" else ""
                )
                extra = f", {level}" + (", counts as toàn trình" if found["settled_full"] else "")
            lines.append(f"  {name.replace('_', ' ')}: {milestone['day']}, {milestone['unit']}{extra}")
    if found.get("due_at"):
        lines.append(f"  due: {found['due_at']}")
    for finding in found["findings"]:
        place = f" ({finding['day']}, {finding['unit']})" if "day" in finding else ""
        lines.append(f"  finding: {finding['kind'].replace('_', ' ')}{place}")
    return lines


def _table(messages: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("time", "status", "unit", "channel", "level", "returned", "counts as", "why"):
        table.add_column(name)
    for message in messages:
        table.add_row(
            message["occurred_at"],
            str(message["status"]),
            message["unit"],
            str(message["channel"] or "-"),
            message["level"] or "-",
            message["returned_by"] or "-",
            ", ".join(message["counts_as"]) or "-",
            message["why"],
        )
    return table
