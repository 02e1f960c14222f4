"""``portalpulse migrate``: apply missing migrations."""

from __future__ import annotations

import typer

from pipeline.settings import load_settings
from pipeline.wiring.storage import migrate_storage


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command(rich_help_panel="Maintenance")
    def migrate() -> None:
        """Apply the SQL migrations that the database lacks. Workers do this when they start; no other command does.

        Example: PORTALPULSE_CLICKHOUSE__URL=http://default@127.0.0.1:8123/portalpulse portalpulse migrate
        """
        applied = migrate_storage(load_settings())
        if not applied:
            typer.echo("The database is up to date.")
        for migration in applied:
            typer.echo(f"applied {migration.number:04d} {migration.name.replace('_', ' ')}")
