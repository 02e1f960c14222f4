"""``portalpulse schema``: the message contract as JSON Schema."""

from __future__ import annotations

import typer

from domain.message_schema import schema_text


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("schema")(_schema)


def _schema() -> None:
    """Print the message contract as JSON Schema (draft 2020-12): what a portal sends, field by field.

    A message that the schema accepts can still be dead-lettered for what it cannot express: an agency that is not in the
    registry on that day, a time in the future, a number such as 9.0, the size. `portalpulse replay FILE --check` judges a file
    by all rules.

    Example: portalpulse schema > dossier_event.schema.json
    """
    typer.echo(schema_text().encode(), nl=False)
