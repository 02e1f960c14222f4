"""The commands of this folder: name of the command -> module that registers it."""

from __future__ import annotations

from typing import Final

COMMANDS: Final = {
    "worker": "pipeline.cli.worker",
    "exporter": "pipeline.cli.worker",
    "migrate": "pipeline.cli.migrate",
    "offsets": "pipeline.cli.offsets",
    "workers": "pipeline.cli.workers",
    "report": "pipeline.cli.report",
    "dead-letters": "pipeline.cli.dead_letters",
    "audit": "pipeline.cli.audit",
    "retention": "pipeline.cli.retention",
    "dossier": "pipeline.cli.dossier",
    "findings": "pipeline.cli.findings",
    "catalogue": "pipeline.cli.catalogue",
    "indicators": "pipeline.cli.indicators",
    "schema": "pipeline.cli.schema",
}
