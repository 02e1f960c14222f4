"""``portalpulse boards``: writes the Grafana boards as files, and pushes them to a Grafana server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.generated import require_unchanged
from dashboards.grafana import generate as grafana
from domain.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands of ``portalpulse boards`` to the command line."""
    app.add_typer(_boards(), name="boards")


def _boards() -> typer.Typer:
    boards = typer.Typer(no_args_is_help=True, help="Grafana boards.")

    @boards.command("render")
    def render(
        out: Annotated[
            Path, typer.Option("--out", metavar="DIR", help="Folder to write into; default: the folder of the committed files.")
        ] = grafana.COMMITTED,
    ) -> None:
        """Write the boards as JSON files, for provisioning or for an import in the browser.

        Example: portalpulse boards render --out /etc/grafana/boards
        """
        try:
            paths = grafana.write_boards(out)
        except OSError as error:
            raise ConfigurationError(
                f"{out} cannot be written: {error.strerror or error}.", remedy="Choose another one."
            ) from error
        for path in paths:
            typer.echo(f"wrote {path}")

    @boards.command("check")
    def check() -> None:
        """Check that the JSON files are up to date."""
        require_unchanged(grafana.changed_files(), rebuild="portalpulse boards render")

    @boards.command("push")
    def push(
        url: Annotated[str, typer.Option(help="Address of Grafana.", metavar="URL")],
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
