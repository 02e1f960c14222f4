"""``portalpulse boards`` and ``portalpulse alerts``: write, check and publish the generated boards and alert files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dashboards.alertmanager import bundle
from dashboards.alertmanager import generate as routes
from dashboards.grafana import generate as grafana
from dashboards.rules import generate as rules
from domain.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands of this folder to the command line."""
    app.add_typer(_boards(), name="boards")
    app.add_typer(_alerts(), name="alerts")


def _boards() -> typer.Typer:
    boards = typer.Typer(no_args_is_help=True, help="Grafana boards.")

    @boards.command("build")
    def build() -> None:
        """Regenerate the JSON files of the boards."""
        _list(grafana.write_boards())

    @boards.command("check")
    def check() -> None:
        """Check that the JSON files are up to date."""
        _require_unchanged(grafana.changed_files(), rebuild="portalpulse boards build")

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


def _alerts() -> typer.Typer:
    alerts = typer.Typer(no_args_is_help=True, help="Alert rules and the routes of alerts.")

    @alerts.command("build")
    def build() -> None:
        """Regenerate the rule files and the example of alertmanager.yml."""
        _list([*rules.write_rules(rules.COMMITTED, rules.RuleTiming.production()), *routes.write_committed()])

    @alerts.command("check")
    def check() -> None:
        """Check that the rule files and alertmanager.yml are up to date."""
        _require_unchanged([*rules.changed_files(), *routes.changed_files()], rebuild="portalpulse alerts build")

    @alerts.command("render")
    def render(
        out: Annotated[Path, typer.Option(help="Folder to write into.", file_okay=False)],
        webhook: Annotated[str, typer.Option(help="Address (http or https) that receives the alerts.", metavar="URL")],
        *,
        demo: Annotated[bool, typer.Option("--demo", help="Intervals in seconds instead of minutes.")] = False,
    ) -> None:
        """Write rules, routes and message templates for your own Prometheus and Alertmanager.

        The folder can be copied to other machines as it is. amtool and promtool check it when they are installed.

        Example: portalpulse alerts render --out alerting --webhook https://alerts.example.vn/portalpulse
        """
        rule_timing = rules.RuleTiming.demo() if demo else rules.RuleTiming.production()
        route_timing = routes.AlertTiming.demo() if demo else routes.AlertTiming.production()
        _list(bundle.write_bundle(out, webhook_url=webhook, rules=rule_timing, routes=route_timing))
        checked, missing = bundle.verify_bundle(out)
        if checked:
            typer.echo(f"checked with {' and '.join(checked)}")
        for name in missing:
            typer.echo(f"{name} is not installed here. Check the folder with it on a machine that has it.", err=True)

    return alerts


def _list(paths: Sequence[Path]) -> None:
    for path in paths:
        typer.echo(f"wrote {path}")


def _require_unchanged(changed: Sequence[Path], *, rebuild: str) -> None:
    if changed:
        names = ", ".join(path.name for path in changed)
        raise ConfigurationError(f"Generated files are out of date: {names}.", remedy=f"Run `{rebuild}` and commit the result.")
    typer.echo("unchanged")
