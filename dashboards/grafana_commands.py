"""``portalpulse boards``: the Grafana boards as files, and on a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dashboards.generated import require_unchanged
from dashboards.grafana import generate as grafana


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(_boards(), name="boards")


def _boards() -> typer.Typer:
    boards = typer.Typer(no_args_is_help=True, help="Grafana boards.")

    @boards.command("build")
    def build() -> None:
        """Regenerate the JSON files of the boards."""
        _list(grafana.write_boards())

    @boards.command("check")
    def check() -> None:
        """Check that the JSON files are up to date."""
        require_unchanged(grafana.changed_files(), rebuild="portalpulse boards build")

    @boards.command("push")
    def push(
        url: Annotated[str, typer.Option(help="Address of Grafana.")],
        token: Annotated[str, typer.Option(envvar="GRAFANA_TOKEN", help="Token of a service account with the role Editor.")],
        folder: Annotated[
            str, typer.Option(help="uid of the folder; created when it is missing.", metavar="UID")
        ] = "portalpulse",
        *,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; only show what would change.")] = False,
    ) -> None:
        """Push the boards to a running Grafana. Boards that are already there and unchanged are not written.

        Example: GRAFANA_TOKEN=glsa_... portalpulse boards push --url https://grafana.example.vn --dry-run
        """
        from dashboards.grafana.publish import push as push_boards  # noqa: PLC0415 - its client is slow to import

        done = push_boards(grafana.boards(), url=url, token=token, folder=folder, dry_run=dry_run)
        for pushed in done.boards:
            action = f"would be {pushed.action}" if dry_run and pushed.action != "unchanged" else pushed.action
            typer.echo(f"{action:<9} {url.rstrip('/')}/d/{pushed.uid}")
            if dry_run:
                for line in pushed.changes:
                    typer.echo(f"  {line}")
        for note in done.notes:
            typer.echo(note, err=True)

    return boards


def _list(paths: Sequence[Path]) -> None:
    for path in paths:
        typer.echo(f"wrote {path}")
