"""Registers the commands of this folder, one file each."""

from __future__ import annotations

import typer

from pipeline.cli import (
    audit,
    catalogue,
    dead_letters,
    dossier,
    findings,
    indicators,
    migrate,
    report,
    schema,
    worker,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    worker.register(app)
    migrate.register(app)
    report.register(app)
    dead_letters.register(app)
    audit.register(app)
    dossier.register(app)
    findings.register(app)
    catalogue.register(app)
    indicators.register(app)
    schema.register(app)
